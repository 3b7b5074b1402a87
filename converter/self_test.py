"""What a model file brings to be judged by on a board: its version, and questions with the answers it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edge_runtime
from converter import model_file
from converter.errors import FormatError
from edge_runtime.errors import EdgeError
from edge_runtime.self_test import FIELD, MAX_QUESTIONS, Question, ask, checked, wrong

NUMBERS = 8
"""of a vector that are written down; more would say nothing more"""


def read(path: Path) -> Sequence[Question]:
    """Questions of a file: one a line, a text or a JSON object (`edge_runtime.self_test`).

    Raises:
        FormatError: they are none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read: {error}") from error
    questions: list[Any] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            questions.append({"text": line})
            continue
        try:
            questions.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path}, line {number} is no JSON: {error}") from None
    if len(questions) > MAX_QUESTIONS:
        raise FormatError(f"{path} has {len(questions)} questions; a board is asked at most {MAX_QUESTIONS}")
    try:
        return checked(questions)
    except EdgeError as error:
        raise FormatError(f"{path}: {error}") from None


def add(path: Path, questions: Sequence[Question], version: int | None = None) -> list[Question]:
    """Write questions, and a version, into a model file's manifest → the questions with their answers.

    Where no answer is expected, the one that the model gives here is filled in. The file is replaced in one step; its
    flatbuffer stays as it is. A signature made before does not fit any more.

    Args:
        path: the model file.
        questions: what to ask it; none leaves those it has.
        version: a number from 1, higher than that of its forerunner; None leaves the one it has.

    Raises:
        FormatError: it is no model file of ours.
        EdgeError: it does not answer as it should; the file stays as it was.
    """
    flatbuffer, entries = model_file.read(path)
    if not entries:
        raise FormatError(f"{path} has no manifest; it was not made by edge-converter")
    manifest = json.loads(entries[model_file.MANIFEST])
    if version is not None:
        manifest["version"] = version
    answered: list[Question] = []
    if questions:
        with edge_runtime.load(path, overflow="truncate", cache=False) as model:
            for question in questions:
                reason = wrong(model, question)
                if reason:
                    raise FormatError(f"{path} stays without this self-test, for {reason}")
                answered.append({**question, "expect": question.get("expect", _recorded(ask(model, question)))})
        manifest[FIELD] = answered
    entries[model_file.MANIFEST] = json.dumps(manifest, ensure_ascii=False, indent=1)
    model_file.write(path, model_file.assemble(flatbuffer, entries))
    return answered


def _recorded(answer: Any) -> Any:
    """An answer as it is written down: scores to three digits, of a vector the beginning."""
    if isinstance(answer, float):
        return round(answer, 3)
    if isinstance(answer, dict):
        return {key: _recorded(value) for key, value in answer.items()}
    if isinstance(answer, list):
        numbers = bool(answer) and all(isinstance(value, float) for value in answer)
        return [_recorded(value) for value in (answer[:NUMBERS] if numbers else answer)]
    return answer
