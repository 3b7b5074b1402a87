"""The tutorial of docs/models.md, run to the letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import edge_runtime
from tests.integer_walk import walk

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BLOCK = re.compile(r"<!-- tutorial: (?P<what>\S+) -->\n```\w+\n(?P<content>.*?)```\n", re.DOTALL)


def test_from_a_table_of_sentences_to_answers(tmp_path: Path) -> None:
    """Its table and its commands, as they stand in the document, end in an integer model that answers."""
    blocks = [(match["what"], match["content"]) for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]
    commands = [content for what, content in blocks if what == "run"]
    assert len(commands) == 3
    for name, content in blocks:
        if name != "run":
            (tmp_path / name).write_text(content, encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    printed = ""
    for command in commands:
        done = subprocess.run(
            ["sh", "-euc", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert "brew" in printed
    assert walk((tmp_path / "coffee.tflite").read_bytes()).strangers == []
    model = edge_runtime.load(tmp_path / "coffee.tflite")
    texts = {
        "make me an espresso please": "brew",
        "stop it": "stop",
        "make the coffee stronger": "stronger",
        "how much water is in the tank": "water",
        "clean the machine": "clean",
    }
    assert {text: model.classify(text)[0].label for text in texts} == texts
