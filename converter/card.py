"""card.md: what a model is, where it comes from and how good it is, for the person who finds it on a board."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from converter.errors import FormatError

MOST_LABELS = 200
"""more are counted, not listed"""


def write(manifest: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Markdown from the manifest and from what the checkpoint says of its own training."""
    lines = [
        f"# {manifest['name']}",
        "",
        about(manifest),
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


def with_sections(card: str, added: str) -> str:
    """`card` with the sections of `added`, both Markdown: one of a title that the card has takes its place.

    Raises:
        FormatError: `added` does not begin with a section's title ("## …").
    """
    old, new = _sections(card), _sections(added)
    if added.strip() and not new[0][0].startswith("## "):
        raise FormatError("what is added to a card must begin with a section's title: ## Title")
    by_title = dict(new)
    kept = [(title, by_title.pop(title, text)) for title, text in old]
    return _joined([*kept, *by_title.items()])


def with_introduction(card: str, manifest: Mapping[str, Any], note: str) -> str:
    """`card` with what stands at its beginning as `manifest` now has it, and a sentence more."""
    (title, text), *others = _sections(card)
    _, _, rest = text.partition("\n\n")
    return _joined([(title, f"{about(manifest)} {note}\n\n{rest}"), *others])


def with_note(card: str, note: str) -> str:
    """`card` with a sentence more at the end of its first paragraph."""
    (title, text), *others = _sections(card)
    first, gap, rest = text.partition("\n\n")
    return _joined([(title, f"{first} {note}{gap}{rest}"), *others])


def _joined(sections: Iterable[tuple[str, str]]) -> str:
    return "\n\n".join(f"{title}\n\n{text}".strip() for title, text in sections) + "\n"


def _sections(card: str) -> list[tuple[str, str]]:
    """Titles ("## …"; what stands before the first has the card's own, "# …") and the text below them."""
    sections: list[tuple[str, list[str]]] = []
    code = False
    for line in card.strip().split("\n"):
        code ^= line.startswith("```")
        if not sections or (line.startswith("## ") and not code):
            sections.append((line, []))
        else:
            sections[-1][1].append(line)
    return [(title, "\n".join(lines).strip()) for title, lines in sections]


def about(manifest: Mapping[str, Any]) -> str:
    """The paragraph that a card begins with."""
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
