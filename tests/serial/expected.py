"""What the model in this process says, in both forms of the link, so that every answer can be checked."""

from __future__ import annotations

import json
from typing import Any

from edge_runtime.model import Model
from edge_runtime.serial_link import compact_replies, compact_requests
from edge_runtime.serial_link.labels import Tables
from tests.serve import questions


def tables(model: Model) -> Tables:
    return Tables.of({"heads": model.info.heads, "labels": model.info.labels})


class Question:
    """A text, how it is asked, and what must come back."""

    def __init__(self, model: Model, text: str, compact: bool) -> None:
        self.compact = compact
        result = model.understand(text).to_json()
        message = {"op": "understand", "text": text}
        if compact:
            self.body = compact_requests.write(message)
            self._expected: Any = compact_replies.reply("understand", {"result": result}, tables(model), 0)
        else:
            self.body = json.dumps({"id": text, **message}).encode()
            self._expected = {"id": text, "result": result}

    def is_answered_by(self, reply: bytes) -> bool:
        """Whether a reply is right."""
        if self.compact:
            return bool(reply == self._expected)
        found = json.loads(reply)
        return questions.same({name: found.get(name) for name in self._expected}, self._expected)


def some(model: Model, count: int) -> list[Question]:
    """So many different questions, every second one compact."""
    return [Question(model, text, number % 2 == 0) for number, text in enumerate(questions.texts(count))]
