"""A model's self-test, in a process of its own with limits on time and memory.

What the process does with the model is what a server would do: load it and ask it. If that ends in an illegal
instruction, in a loop or in all of the memory, it ends there, and the model is refused.

A model may bring its questions in its manifest:

    "self_test": [{"text": "turn off the kitchen lights", "expect": {"intent": "light_off"}}, …]

`op` (understand, classify, tag, answer, embed, fill; left out: the model's own), `pair` and `choices` are as in
docs/protocol.md. `expect`, which may be left out, holds what the answer must agree with: of an object the fields that
are named, of a list the first elements, of numbers within `TOLERANCE`; the rest exactly. Without questions of its own
a model is asked those below, and its outputs must be finite and not all the same.

    python -m firmware_hooks.slots.self_test MODEL.tflite
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_hooks.errors import Refused

if TYPE_CHECKING:
    from edge_runtime.model import Model

SECONDS = 120
"""a Raspberry Pi Zero 2 W loads the largest model in a few; doubled for a slow card, and again"""
MEMORY = 1 << 30
"""bytes of private memory (RLIMIT_DATA); SqueezeBERT-base takes 60 MB and the libraries' threads map some for stacks"""
TOLERANCE = 0.05
"""by which scores may differ: boards' runtimes round the last steps differently"""
MAX_QUESTIONS = 64
"""a self-test is no evaluation"""

BUILT_IN: tuple[Mapping[str, Any], ...] = (
    {"text": "turn off the kitchen lights"},
    {"text": "what's the weather in paris tomorrow?"},
    {"text": "é – 中文 42"},
)

_REFUSED = 3
"""exit status of a process that says on its standard output why the model will not do"""


def run(model: Path, seconds: float = SECONDS, memory: int = MEMORY) -> None:
    """Let a process try the model.

    Raises:
        Refused: it could not, not in time, not within `memory` bytes, or the answers were wrong.
    """
    command = [sys.executable, "-m", "firmware_hooks.slots.self_test", os.fspath(model), str(memory)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise Refused(f"the self-test cannot be started: {error.strerror}") from None
    try:
        said, noise = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Refused(f"the self-test did not end within {seconds:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode == 0:
        return
    reason = " ".join(said.decode("utf-8", "replace").split())
    if process.returncode != _REFUSED or not reason:
        last = noise.decode("utf-8", "replace").strip().splitlines()[-1:]
        reason = "; ".join([_end(process.returncode), *last])
    raise Refused(f"the self-test failed: {reason}")


def _end(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"its process was ended by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"


def main() -> None:
    """The process: the model's path and the limit on memory are its arguments."""
    path, memory = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reason = examine(Path(path))
    sys.stdout.write(reason or "")
    sys.stdout.flush()
    # LiteRT talks while its interpreter is freed in order
    os._exit(0 if reason is None else _REFUSED)


def examine(path: Path) -> str | None:
    """What is wrong with a model's answers; None if nothing is."""
    from edge_runtime.errors import EdgeError
    from edge_runtime.model import load
    from edge_runtime.server.worker import canary

    try:
        # no packed weights are kept for a model that may never be switched to
        model = load(path, overflow="truncate", cache=False)
        canary(model)
        for question in questions(path):
            wrong = _wrong(model, question)
            if wrong:
                return wrong
    except (EdgeError, Refused) as error:
        return str(error)
    except MemoryError:
        return "it needs more memory than it may have"
    return None


def questions(path: Path) -> Sequence[Mapping[str, Any]]:
    """The model's own questions, or the built-in ones.

    Raises:
        Refused: those in its manifest are none.
    """
    from firmware_hooks.slots.description import manifest

    own = manifest(path).get("self_test")
    if own is None:
        return BUILT_IN
    if (
        not isinstance(own, list)
        or not 1 <= len(own) <= MAX_QUESTIONS
        or not all(isinstance(each, dict) and isinstance(each.get("text"), str) for each in own)
    ):
        raise Refused(f"manifest.json: self_test must be a list of 1 to {MAX_QUESTIONS} objects with a text")
    return own


def _wrong(model: Model, question: Mapping[str, Any]) -> str | None:
    from edge_runtime.server.worker import encode

    text, expected = question["text"], question.get("expect")
    op = question.get("op") or model.info.task
    try:
        match op:
            case "understand" | "tag" | "embed":
                answer = getattr(model, op)(text)
            case "classify":
                answer = model.classify(text, question.get("pair"))
            case "answer":
                answer = model.answer(text, question.get("pair") or text)
            case "fill":
                answer = model.fill(text if "[MASK]" in text else f"{text} [MASK]")
            case "choose":
                answer = model.choose(text, question.get("choices") or [text, f"{text}?"])
            case "run":
                # heads that no operation is for: the canary ran them
                return None
            case _:
                return f"manifest.json: self_test knows no operation {op!r}"
    except (TypeError, ValueError) as error:
        return f"asked {text!r} it failed: {error}"
    found = json.loads(encode(answer))
    if expected is not None and not agrees(expected, found):
        return f"asked {text!r} it says {_short(found)}, and its manifest {_short(expected)}"
    return None


def agrees(expected: object, found: object) -> bool:
    """Whether an answer has all that is expected of it."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and agrees(expected[key], found[key]) for key in expected)
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) <= len(found)
            and all(agrees(one, other) for one, other in zip(expected, found, strict=False))
        )
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(expected - found) <= TOLERANCE
    return expected == found


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


if __name__ == "__main__":
    main()
