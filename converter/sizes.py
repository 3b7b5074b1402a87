"""Sizes of SqueezeBERT: the presets, and anything else."""

from __future__ import annotations

from dataclasses import dataclass

from converter.errors import TrainingError


@dataclass(frozen=True)
class Size:
    """The size of a SqueezeBERT."""

    hidden: int = 192
    layers: int = 4
    heads: int = 6
    intermediate: int = 768
    groups: int = 4
    """of all grouped layers but `post_attention`, which has one, as in SqueezeBERT's paper"""
    positions: int = 128
    """longest sequence in tokens, special ones included"""
    attention_groups: int = 0
    """of query, key and value; 0: as many as the others"""

    def __post_init__(self) -> None:
        for name, width, parts in (
            ("heads", self.hidden, self.heads),
            ("groups", self.hidden, self.groups),
            ("groups", self.intermediate, self.groups),
            ("attention-groups", self.hidden, self.attention_groups or self.groups),
        ):
            if width < 1 or parts < 1 or width % parts:
                raise TrainingError(f"--{name} {parts} does not divide a width of {width}")


PRESETS = {
    "nano": Size(hidden=128, layers=2, heads=4, intermediate=512, positions=512),
    "tiny": Size(hidden=192, layers=4, heads=6, intermediate=768, positions=512),
    "small": Size(hidden=256, layers=6, heads=8, intermediate=1024, positions=512),
    "base": Size(hidden=384, layers=6, heads=12, intermediate=1536, positions=512),
}
"""heads of 32 channels throughout, as all-MiniLM-L6-v2 has them; docs/models.md has what each costs and reaches"""
