"""What of a distribution goes onto a device: `left_out.toml` says what does not."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

EVERY = "every"


@cache
def _rules() -> dict[str, dict[str, str]]:
    with Path(__file__).with_name("left_out.toml").open("rb") as file:
        return tomllib.load(file)


def reason(distribution: str, version: str, path: str) -> str | None:
    """Why a file is left out; None if it is not.

    Args:
        distribution: whose file it is.
        version: of the distribution.
        path: from the folder of packages on.
    """
    rules = _rules()
    for group in (EVERY, distribution, f"{distribution}-{version.partition('.')[0]}"):
        for pattern, why in rules.get(group, {}).items():
            # a leading slash, so that */tests/* meets a folder at the top too
            if fnmatchcase(path, pattern) or fnmatchcase(f"/{path}", pattern):
                return why
    return None
