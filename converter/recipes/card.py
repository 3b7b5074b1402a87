"""What of a bundled model's card is measured after its conversion, as Markdown for `edge-converter card --add`.

python -m converter.recipes.card --scores score.json… --counts count.json --limits limits.md --made-by "sh …"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAMES = {
    "intent_accuracy": "intent accuracy",
    "intent_macro_f1": "intent macro F1",
    "slot_f1": "slot F1",
    "refused": "in scope, refused all the same",
    "out_of_scope_refused": "out of scope, refused",
    "out_of_scope_auroc": "out of scope, AUROC",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "entity_f1": "entity F1",
    "exact_match": "exact match",
    "f1": "F1",
    "spearman": "Spearman",
    "pearson": "Pearson",
}
"""of what `edge-converter score --json` says"""


def sections(
    scores: Sequence[Mapping[str, Any]], counts: Sequence[Mapping[str, Any]], limits: str, made_by: str
) -> str:
    """Markdown.

    Args:
        scores: outputs of `edge-converter score --json`, with a reference.
        counts: output of `python -m tests.arm.count --json`.
        limits: Markdown.
        made_by: commands, a line each.
    """
    parts = [
        _scores(scores),
        _cost(counts),
        f"## Limits\n\n{limits.strip()}",
        f"## How it was made\n\n```\n{made_by}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    lines = ["## Scores", "", "On examples that were not trained on:", ""]
    lines += ["| data | what | integers | float32 | examples |", "|---|---|---|---|---|"]
    for each in scores:
        own, reference = each["model"], each.get("reference", {})
        for name, value in own.items():
            if name in NAMES:
                float32 = f"{reference[name]:.4f}" if name in reference else "–"
                examples = each["out_of_scope"] if name.startswith("out_of_scope") else each["examples"]
                what = NAMES[name]
                lines.append(f"| {', '.join(each['data'])} | {what} | {value:.4f} | {float32} | {examples:,} |")
    return "\n".join(lines)


def _cost(counts: Sequence[Mapping[str, Any]]) -> str:
    if not counts:
        return ""
    lines = ["## Cost", "", "Instructions of one inference, counted on emulated cores:", ""]
    lines += ["| core | tokens | instructions | more where the text before had another length |", "|---|---|---|---|"]
    lines += [
        f"| {each['core']} | {each['length']} | {each['instructions']:,} | {each['change']:,} |" for each in counts
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="what is measured of a bundled model, as Markdown for its card")
    parser.add_argument("--scores", type=Path, nargs="+", required=True)
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--limits", type=Path, required=True)
    parser.add_argument("--made-by", required=True)
    given = parser.parse_args()
    counts = json.loads(given.counts.read_text(encoding="utf-8")) if given.counts else []
    scores = [json.loads(path.read_text(encoding="utf-8")) for path in given.scores]
    print(sections(scores, counts, given.limits.read_text(encoding="utf-8"), given.made_by), end="")


if __name__ == "__main__":
    main()
