"""Run on a board: what models compute for sequences of several lengths, as JSON of digests.

python -m tests.arm.integers [--model NAME or FILE]… [--length N]…
"""

from __future__ import annotations

import argparse
import hashlib
import json

import numpy as np

import edge_runtime
from edge_runtime.model import Model
from edge_runtime.model_file import bundled_names

LENGTHS = (1, 2, 7, 16, 33, 128)
"""tokens: the least, odd ones, whole tiles of XNNPACK's and one more, a stream's window"""
SPREAD = 7919
"""a prime, so that ids come from all over the vocabulary"""


def digest(model: Model, length: int) -> str:
    """SHA-256 of all outputs for a sequence of spread ids, its second half of the second type where there is one."""
    about = model._manifest
    ids = [SPREAD * (place + length) % about.vocabulary for place in range(length)]
    kinds = [int(about.token_types > 1 and 2 * place >= length) for place in range(length)]
    found = hashlib.sha256()
    for head, logits in model.run(ids, kinds).items():
        # dequantised values are exact multiples of one scale: equal bytes here are equal integers
        found.update(head.encode() + np.ascontiguousarray(logits, dtype="<f4").tobytes())
    return found.hexdigest()


def digests(models: tuple[str, ...] = (), lengths: tuple[int, ...] = ()) -> dict[str, dict[int, str]]:
    """Model → length → digest; of `models`, by default all bundled ones; at `lengths`, by default at `LENGTHS`, and for
    one model at the longest that it takes: an emulated core needs a minute for all.
    """
    found: dict[str, dict[int, str]] = {}
    tried = set(LENGTHS)
    for name in models or bundled_names():
        with edge_runtime.load(name) as model:
            longest = {model.info.max_length} - tried
            tried |= longest
            found[name] = {length: digest(model, length) for length in lengths or (*LENGTHS, *sorted(longest))}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--length", type=int, action="append", default=[])
    given = parser.parse_args()
    print(json.dumps(digests(tuple(given.model), tuple(given.length))))


if __name__ == "__main__":
    main()
