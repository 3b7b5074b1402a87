"""card.md: what a model is, where it comes from and how good it is, for the person who finds it on a board."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST_LABELS = 200
"""more are counted, not listed"""


def write(manifest: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Markdown from the manifest and from what the checkpoint says of its own training."""
    lines = [
        f"# {manifest['name']}",
        "",
        _about(manifest),
        "",
        f"Licence: {manifest['source']['licence'] or 'not stated by the checkpoint'}",
        "",
        "## Heads",
        "",
    ]
    for name, head in manifest["heads"].items():
        labels = head.get("labels", [])
        listed = ": " + ", ".join(f"`{label}`" for label in labels) if 0 < len(labels) <= MOST_LABELS else ""
        count = f", {len(labels)} labels" if labels else ""
        lines.append(f"- `{name}` ({head['kind']}{count}){listed}")
    lines += ["", "## Integers against float32", ""]
    accuracy = manifest["accuracy"]
    if accuracy.get("heads"):
        lines += [f"On {accuracy['texts']} texts that were held out of calibration:", ""]
        lines += ["| head | cosine, mean | cosine, worst | same label |", "|---|---|---|---|"]
        for name, score in accuracy["heads"].items():
            agreement = f"{score['agreement']:.1%}" if "agreement" in score else "–"
            lines.append(f"| {name} | {score['cosine_mean']:.4f} | {score['cosine_worst']:.4f} | {agreement} |")
    else:
        lines.append("Not measured: there was too little calibration text to hold any out.")
    if details:
        lines += ["", "## What the checkpoint says of itself", ""]
        for key, value in details.items():
            lines += [f"### {key}", "", *_plain(value)]
    return "\n".join(lines).rstrip() + "\n"


def _about(manifest: Mapping[str, Any]) -> str:
    a = manifest["architecture"]
    return (
        f"A {a['family']} encoder in integers: {a['layers']} layers × {a['hidden_size']}, "
        f"{a['parameters']:,} parameters, {a['vocabulary']:,} wordpieces, at most {manifest['max_length']} tokens. "
        f"Made from `{manifest['source']['checkpoint']}` by {manifest['created_with']}."
    )


def _plain(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        shown = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in value.items()}
        return [f"- {k}: {v}" for k, v in shown.items()]
    if isinstance(value, list):
        return [f"- {v}" for v in value]
    return [str(value)]
