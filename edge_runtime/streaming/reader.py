"""A stream that is read by a model: windows out, what the network says of each back in, one result in the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import InputError
from edge_runtime.tasks.results import WindowResult

if TYPE_CHECKING:
    from edge_runtime.model import Model
    from edge_runtime.streaming.stream import Stream
    from edge_runtime.tasks.merging import Merger
    from edge_runtime.windows import Window

__all__ = ["Reader", "WindowResult"]


class Reader:
    """Reads a text of any length in constant memory; `Model.read_stream` makes it.

    Feed it, run every window it gives, in order, then close it, run the last ones, and ask for the result:

        for window in reader.feed(data):
            found = reader.run(window)

    One thread may feed while another runs.
    """

    def __init__(self, model: Model, stream: Stream, merger: Merger) -> None:
        self._model = model
        self._stream = stream
        self._merger = merger
        self._given = 0
        self._run = 0
        self._closed = False
        self._result: Any = None
        self._merged = False
        self.window = stream.window
        """tokens of a window, special ones included"""
        self.overlap = stream.overlap
        """tokens that neighbouring windows share"""

    @property
    def truncated(self) -> bool:
        """Whether the merged result leaves something out, for there was too much (`tasks.merging.MAX_ENTITIES`)."""
        return self._merger.truncated

    def feed(self, data: bytes | bytearray | memoryview) -> list[Window]:
        """Take the next bytes of the text: the windows that are ready to be run. Raises what `Stream.feed` does."""
        began = time.perf_counter()
        windows = self._stream.feed(data)
        self._model.count_tokenising(time.perf_counter() - began)
        self._given += len(windows)
        return windows

    def close(self) -> list[Window]:
        """The text has ended: the last windows. Raises what `Stream.close` does."""
        windows = self._stream.close()
        self._given += len(windows)
        self._closed = True
        return windows

    def run(self, window: Window, model: Model | None = None) -> WindowResult:
        """Run the network on the next window and merge what it says.

        Args:
            window: in the order they came.
            model: another object of the same model file to run it on.

        Raises:
            InputError: it is not that window's turn, or `model` is another one.
            BackendError: the network failed; the window may be run again.
        """
        if window.index != self._run:
            raise InputError(f"window {window.index} cannot be run now; it is the turn of window {self._run}")
        if model is not None and model.info.digest != self._model.info.digest:
            raise InputError(f"the stream is read by {self._model.info.name}, and cannot go on with another model")
        found = self._merger.add(window, (model or self._model).run(window.ids, window.types))
        self._run += 1
        start, end = window.span
        return WindowResult(window.index, start, end, len(window.ids), found)

    def result(self) -> Any:
        """What the model says of the whole text: what its method for a whole text returns.

        Raises:
            InputError: the text is empty, not at its end yet, or a window was not run.
        """
        if not self._closed:
            raise InputError("the stream is still open; close it and run its last windows first")
        if self._run < self._given:
            raise InputError(f"{self._run} of {self._given} windows have been run; run the others first")
        if not self._given:
            raise InputError("the text is empty")
        if not self._merged:
            self._result = self._merger.result()
            self._merged = True
        return self._result
