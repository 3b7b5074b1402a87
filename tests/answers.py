"""What the model at hand answers to the test sentences on this interpreter, runtime and core, as JSON.

    python -m tests.answers [MODEL]          default: the bundled `assistant`

It imports nothing but `edge_runtime` and NumPy, so that it runs wherever a board's packages are installed.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_runtime

SENTENCES = Path(__file__).parent / "data/assistant_sentences.tsv"
NO_COMMAND = "-"
KERNELS_DIFFER = 2
"""steps: kernels of different CPUs, off by one in each of two labels, may turn them round"""
SCORES_DIFFER = 0.05
"""what they may move a probability by, and so carry it over the threshold below which nothing is recognised"""


def sentences() -> dict[str, set[str]]:
    """Each test sentence and the intents that are right for it, none where it is no command."""
    lines = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {text: set(right.split()) - {NO_COMMAND} for text, right in (line.split("\t") for line in lines)}


def answers(name: str = "assistant") -> dict[str, Any]:
    """Intent, slots and a digest of the output integers for each sentence, and what computed them."""
    model = edge_runtime.load(name)
    found: dict[str, dict[str, object]] = {}
    for text in sentences():
        understood = model.understand(text)
        encoding = model.encode(text)
        digest = hashlib.sha256()
        outputs = model.run(encoding.ids, encoding.types)
        for head, logits in outputs.items():
            # Dequantised values are exact multiples of one scale: equal bytes here are equal integers.
            digest.update(head.encode() + np.ascontiguousarray(logits, dtype="<f4").tobytes())
        found[text] = {
            "intent": understood.intent,
            "score": understood.score,
            "slots": [[slot.type, slot.text] for slot in understood.slots],
            "steps": steps_apart(outputs["slots"][1:-1]),
            "digest": digest.hexdigest(),
        }
    info = model.info
    return {
        "backend": info.backend,
        "weight_cache": info.weight_cache,
        "machine": platform.machine(),
        "answers": found,
    }


def steps_apart(logits: NDArray[np.float32]) -> int:
    """By how many steps of their scale the two best labels of the least certain row differ: all are multiples of it."""
    second, best = np.sort(logits, axis=1)[:, -2:].T
    return round(float((best - second).min() / np.diff(np.unique(logits)).min()))


def differences(one: dict[str, Any], other: dict[str, Any], tied: int | None = None) -> dict[str, object]:
    """Sentences to which two results of `answers` give different intents or slots.

    `tied`: slots may differ where some word's two best labels are no more than so many steps apart, and one may refuse
    what the other recognises where their scores are within `SCORES_DIFFER`.
    """
    found: dict[str, object] = {}
    for text, a in one["answers"].items():
        b = other["answers"][text]
        is_tie = tied is not None and min(a["steps"], b["steps"]) <= tied
        if tied is not None and (a["intent"] is None) != (b["intent"] is None):
            if abs(a["score"] - b["score"]) > SCORES_DIFFER:
                found[text] = (a, b)
            continue
        if a["intent"] != b["intent"] or (a["slots"] != b["slots"] and not is_tie):
            found[text] = (a, b)
    return found


if __name__ == "__main__":
    print(json.dumps(answers(*sys.argv[1:2])))
