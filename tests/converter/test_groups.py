"""Grouped layers in integers, beside the same network with none."""

from __future__ import annotations

from converter import calibration, checkpoint, starters
from tests.converter.groups import HEAD, compare

TEXTS = 16


def test_groups_lose_no_more_than_none() -> None:
    """A trained SqueezeBERT of four groups is as near to float32 as the same network of whole layers, or nearer."""
    network = checkpoint.read(starters.find("tiny"), [HEAD])
    texts = calibration.default_texts()
    grouped, whole = compare(network, texts[TEXTS : 3 * TEXTS], texts[:TEXTS], 24)
    assert grouped.cosine_mean > 0.95
    assert 1 - grouped.cosine_mean <= 1 - whole.cosine_mean
