"""A model's self-test, in a process of its own with limits on time and memory.

What the process does with the model is what a server would do: load it and ask it. If that ends in an illegal
instruction, in a loop or in all of the memory, it ends there, and the model is refused.

A model may bring its questions in its manifest (`edge_runtime.self_test`); one that brings none is asked those below.
Its outputs must be finite and not all the same.

    python -m firmware_hooks.slots.self_test MODEL.tflite
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_hooks.errors import Refused

if TYPE_CHECKING:
    from edge_runtime.self_test import Question

SECONDS = 120
"""a Raspberry Pi Zero 2 W loads the largest model in a few; doubled for a slow card, and again"""
MEMORY = 1 << 30
"""bytes of private memory (RLIMIT_DATA); SqueezeBERT-base takes 60 MB and the libraries' threads map some for stacks"""

BUILT_IN: tuple[Question, ...] = (
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
    from edge_runtime.self_test import wrong
    from edge_runtime.server.worker import canary

    try:
        # no packed weights are kept for a model that may never be switched to
        model = load(path, overflow="truncate", cache=False)
        canary(model)
        for question in questions(path):
            reason = wrong(model, question)
            if reason:
                return reason
    except EdgeError as error:
        return str(error)
    except (TypeError, ValueError) as error:
        return f"its answer is none: {error}"
    except MemoryError:
        return "it needs more memory than it may have"
    return None


def questions(path: Path) -> Sequence[Question]:
    """The model's own questions, or the built-in ones.

    Raises:
        InputError: those in its manifest are none.
    """
    from edge_runtime.self_test import FIELD, checked
    from firmware_hooks.slots.description import manifest

    own = manifest(path).get(FIELD)
    return BUILT_IN if own is None else checked(own)


if __name__ == "__main__":
    main()
