"""`edge-runtime call --stream`: a text of any length from standard input, read by a running server while it arrives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from edge_runtime.client import Client
from edge_runtime.commands.call import listed
from edge_runtime.commands.found import Found
from edge_runtime.tasks.results import WindowResult

_READ = 1 << 16
"""bytes of standard input that are taken at once: as much as a message to the server carries"""


class Listener:
    """Feeds a source to a stream; says what is found in each window, and in the end in all of it."""

    def __init__(
        self,
        client: Client,
        source: int,
        task: str | None = None,
        model: str | None = None,
        question: str | None = None,
    ) -> None:
        """`source` is a file descriptor. Raises EdgeError if the server does not open the stream."""
        self._stream = client.stream(task, model=model, question=question)
        self._source = source

    def windows(self) -> Iterator[WindowResult]:
        """What was found in each window, as soon as the server has read it. Raises EdgeError."""
        with self._stream as stream:
            while data := os.read(self._source, _READ):
                yield from stream.feed(data)
            stream.close()
        yield from stream.rest

    def window_text(self, window: WindowResult) -> str:
        """For a terminal."""
        lines = self._found(window.result).to_text().splitlines()
        return "\n".join([f"window {window.index}  [{window.start}:{window.end}]", *(f"  {line}" for line in lines)])

    def window_json(self, window: WindowResult) -> dict[str, Any]:
        """As the protocol's events have it."""
        places = {"index": window.index, "start": window.start, "end": window.end, "tokens": window.tokens}
        return {"window": {**places, "result": self._found(window.result).to_json()["result"]}}

    def final_text(self) -> str:
        """All of it for a terminal, once the windows are through."""
        reading = self._stream.reading
        more = ", cut short: there was more" if reading.truncated else ""
        read = f"{reading.characters} characters in {reading.windows} windows{more}"
        return f"{read}\n{self._found(reading.final).to_text()}"

    def final_json(self) -> dict[str, Any]:
        """All of it, once the windows are through."""
        reading = self._stream.reading
        said = self._found(reading.final).to_json()
        counts = {"windows": reading.windows, "characters": reading.characters, "truncated": reading.truncated}
        return {"model": said["model"], "task": said["task"], "final": said["result"], **counts}

    def _found(self, result: Any) -> Found:
        return Found(self._stream.reading.model, self._stream.reading.task, listed(result))
