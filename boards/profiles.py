"""The profiles that came with this install."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from boards.errors import BoardError
from boards.schema import Board, understand

FOLDER = Path(__file__).parent
FILE = "board.toml"


def identities() -> list[str]:
    """The boards that have a profile, generic ones last."""
    found = sorted(path.parent.name for path in FOLDER.glob(f"*/{FILE}"))
    return sorted(found, key=lambda each: each.startswith("generic-"))


@cache
def board(identity: str) -> Board:
    """One board's profile.

    Raises:
        BoardError: there is none of that name, or its file cannot be used.
    """
    if identity not in identities():
        raise BoardError(f"no board is called {identity!r}; there are {', '.join(identities())}")
    return read(FOLDER / identity / FILE)


def every() -> list[Board]:
    """All profiles.

    Raises:
        BoardError: a file cannot be used.
    """
    return [board(identity) for identity in identities()]


def read(path: Path) -> Board:
    """The profile in a file; the board is called like its folder.

    Raises:
        BoardError: it cannot be read, is no TOML, or says what no profile says.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BoardError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise BoardError(f"{path} is no TOML: {error}") from None
    return understand(path.parent.name, told)
