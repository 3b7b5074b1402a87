"""Cards of models, and what is added to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import edge_runtime
from converter import model_file
from converter.card import with_note, with_sections
from converter.cli import main
from converter.errors import FormatError
from edge_runtime.model_file import BUNDLED

CARD = "# name\n\nWhat it is.\n\n## Heads\n\n- one\n\n## Scores\n\nold\n"


def test_sections_are_replaced_and_added() -> None:
    """A section of a known title takes the old one's place, another comes last, all else stays."""
    added = "## Scores\n\nnew\n\n## How it was made\n\n```\n## not a title\n```\n"
    assert with_sections(CARD, added) == (
        "# name\n\nWhat it is.\n\n## Heads\n\n- one\n\n## Scores\n\nnew\n\n"
        "## How it was made\n\n```\n## not a title\n```\n"
    )
    assert with_sections(with_sections(CARD, added), added) == with_sections(CARD, added)


def test_a_note_ends_the_first_paragraph() -> None:
    """One more does not take its place."""
    twice = with_note(with_note(CARD, "Trimmed."), "Renewed.")
    assert twice == CARD.replace("What it is.", "What it is. Trimmed. Renewed.")


def test_text_without_a_title_is_refused() -> None:
    """Loose text has no place on a card."""
    with pytest.raises(FormatError, match="section's title"):
        with_sections(CARD, "new scores")


def test_the_command_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    """A bundled model with a longer card has the same flatbuffer, still loads, and prints what was added."""
    path = tmp_path / "model.tflite"
    shutil.copyfile(BUNDLED / "assistant.tflite", path)
    before, entries = model_file.read(path)
    (tmp_path / "more.md").write_text("## Remarks\n\nEnglish only.\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["card", str(path), "--add", str(tmp_path / "more.md")])
    assert result.exit_code == 0, result.output
    after, changed = model_file.read(path)
    assert after == before
    assert {name for name in entries if entries[name] != changed[name]} == {"card.md"}
    printed = CliRunner().invoke(main, ["card", str(path)]).stdout
    assert printed == changed["card.md"]
    assert printed.endswith("## Remarks\n\nEnglish only.\n")
    edge_runtime.load(path).understand("turn off the lights")
