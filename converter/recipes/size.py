"""One line of `sizes.json`: what an assistant costs, and what it understands where nothing is refused.

python -m converter.recipes.size NAME FILE.tflite COUNTS.json HWU64 SNIPS

COUNTS is what `python -m tests.arm.count FILE.tflite --length 16 --json` prints; HWU64 and SNIPS are data that it was
not trained on. The intent that counts is the likeliest in scope, so that no threshold plays a part.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import edge_runtime
from converter.data_sets import Spoken, read, read_label_map
from converter.recipes.sizes import Point
from converter.scoring import score
from edge_runtime.model import Model

LABELS = Path(__file__).with_name("assistant_labels.json")
CORE, TOKENS = "cortex-a72", 16
OUT_OF_SCOPE = "out_of_scope"


def measure(name: str, file: Path, counts: Path, hwu64: Path, snips: Path) -> Point:
    """What the model in `file` costs, by `counts`, and reaches on two data sets."""
    rows = json.loads(counts.read_text(encoding="utf-8"))
    (instructions,) = (r["instructions"] for r in rows if (r["core"], r["length"]) == (CORE, TOKENS))
    names = read_label_map(LABELS)
    with edge_runtime.load(file) as model:
        reached = {}
        for path in (hwu64, snips):
            examples = [e for e in names.apply(read(path, "understand")).examples if isinstance(e, Spoken)]
            reached[path] = (in_scope(model, examples), score(model, "understand", examples).figures["slot_f1"])
        about = model.info.architecture
    (hwu64_intents, hwu64_slots), (snips_intents, snips_slots) = reached[hwu64], reached[snips]
    return Point(
        name=name,
        layers=int(about["layers"]),
        width=int(about["hidden_size"]),
        megabytes=round(file.stat().st_size / 1e6, 2),
        million_instructions=round(instructions / 1e6, 2),
        hwu64_intents=round(hwu64_intents, 3),
        hwu64_slots=round(hwu64_slots, 3),
        snips_intents=round(snips_intents, 3),
        snips_slots=round(snips_slots, 3),
    )


def in_scope(model: Model, examples: Sequence[Spoken]) -> float:
    """The share of examples whose intent is the likeliest of those in scope."""
    right = 0
    for example in examples:
        likeliest = [label.label for label in model.classify(example.text, top_k=2)]
        right += next(label for label in likeliest if label != OUT_OF_SCOPE) == example.label
    return right / len(examples)


def main() -> int:
    if len(sys.argv) != 6:
        print(__doc__, file=sys.stderr)
        return 2
    print(json.dumps(asdict(measure(sys.argv[1], *map(Path, sys.argv[2:])))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
