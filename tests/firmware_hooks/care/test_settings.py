"""What care.toml may say."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from firmware_hooks.care.settings import Settings, read
from firmware_hooks.errors import HookError
from firmware_hooks.system import files


def test_the_file_that_comes_along_is_the_defaults(tmp_path: Path) -> None:
    """Every setting stands in the file, commented out, with its default."""
    shipped = next(file.content for file in files() if file.path == "etc/edge-runtime/care.toml").decode()
    place = tmp_path / "care.toml"
    place.write_text(shipped)
    assert read(place) == Settings()
    place.write_text(re.sub(r"^#(?=\w+ = )", "", shipped, flags=re.MULTILINE))
    assert read(place) == Settings()
    told = set(re.findall(r"^#?(\w+) = ", shipped, re.MULTILINE))
    assert told == {name for part in asdict(Settings()).values() for name in part}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thermal = 1", "thermal must be a table"),
        ("[thermal]\nmargin = 'x'", "thermal.margin must be a number, not 'x'"),
        ("[thermal]\nleast_duty = 0", "must be 0.01 to 1"),
        ("[thermal]\nenabled = 1", "true or false"),
        ("[models]\nrequests = 1.5", "a whole number"),
        ("[heat]\n", "nothing is called heat; there are server, thermal"),
        ("[led]\ncolour = 'red'", "nothing in [led] is called colour; there are name"),
        ("[led", "is no TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    """A mistake is told with its place and what may stand there."""
    place = tmp_path / "care.toml"
    place.write_text(text)
    with pytest.raises(HookError, match=re.escape(said)):
        read(place)


def test_no_file(tmp_path: Path) -> None:
    """Without a file the defaults hold; whole numbers are numbers."""
    assert read(tmp_path / "none") == Settings()
    (tmp_path / "some").write_text("[thermal]\nlimit = 70\n")
    assert read(tmp_path / "some").thermal.limit == 70.0
