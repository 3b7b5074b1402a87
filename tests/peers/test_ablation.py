"""The ablation, on one small model."""

from __future__ import annotations

from pathlib import Path

from converter import calibration, checkpoint
from tests.converter.random_checkpoint import make
from tests.converter.test_conversion import LARGER, soften, texts
from tests.peers.ablation import HEAD, VARIANTS, ablate


def test_every_variant_is_quantised_and_run(tmp_path: Path) -> None:
    """Each gives vectors that point where float32's do, and with nothing arranged there are fewer operators."""
    make(tmp_path / "checkpoint", "SqueezeBertModel", **LARGER, embedding_size=48)
    soften(tmp_path / "checkpoint")
    network = checkpoint.read(tmp_path / "checkpoint", [HEAD])
    samples = calibration.encode(network, calibration.read_texts(texts(tmp_path)), 20)
    rows = ablate(network, samples[20:], samples[:20])
    assert len(rows) == 1 + len(VARIANTS)
    assert all(row.cosine_worst > 0.9 for row in rows)
    operators = {row.variant: row.operators for row in rows}
    assert operators["none of these"] < operators["`fast`"]
