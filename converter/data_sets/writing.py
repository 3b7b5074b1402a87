"""Examples of any task as JSON lines, which `read` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from converter.data_sets.examples import Example, Question, Similar, Spoken, Tagged


def write(path: Path, examples: Iterable[Example]) -> None:
    """One object a line; those with tags first, so that the first line tells the task."""
    records = sorted((_record(example) for example in examples), key=lambda record: "tags" not in record)
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _record(example: Example) -> dict[str, Any]:
    if isinstance(example, Question):
        answers = {
            "text": [answer.text for answer in example.answers],
            "answer_start": [answer.start for answer in example.answers],
        }
        return {"id": example.id, "question": example.question, "context": example.context, "answers": answers}
    if isinstance(example, Similar):
        return {"text": example.text, "pair": example.pair, "score": example.score}
    if isinstance(example, Tagged):
        return {"words": example.words, "tags": example.tags}
    if isinstance(example, Spoken):
        if example.tags is None:
            return {"text": example.text, "label": example.label}
        return {"words": example.words, "tags": example.tags, "label": example.label}
    pair = {} if example.pair is None else {"pair": example.pair}
    return {"text": example.text, **pair, "label": example.label}
