"""Which board this is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boards.errors import BoardError
from boards.profiles import every
from boards.schema import Board
from boards.system import System


@dataclass(frozen=True, slots=True)
class Detected:
    """A board and how it was told."""

    board: Board
    by: str


def detect(system: System, boards: Sequence[Board] | None = None) -> Detected:
    """The board that the device tree names, else the generic one of the architecture.

    The root's `compatible` strings come first, the most particular of them before the others; then the beginning of
    `model`, the longest that fits, for firmware adds a revision there.

    Raises:
        BoardError: not even a generic profile fits.
    """
    known = every() if boards is None else boards
    for string in system.compatible:
        for board in known:
            if string in board.detect.compatible:
                return Detected(board, f"the device tree says {string}")
    model = system.model
    fitting = [(prefix, board) for board in known for prefix in board.detect.model if model.startswith(prefix)]
    if fitting:
        prefix, board = max(fitting, key=lambda pair: len(pair[0]))
        return Detected(board, f"the device tree's model begins with {prefix!r}")
    machine = system.machine
    if machine in ("aarch64", "arm64") and system.word == 4:
        machine = "armv8l"
    for board in known:
        if machine in board.detect.machine:
            named = f" ({model})" if model else ""
            return Detected(board, f"no profile fits this board{named}, and its kernel says {machine}")
    raise BoardError(f"there is no profile for machines that call themselves {machine!r}")
