"""all-MiniLM-L6-v2, real pretrained weights, in integers: sentence vectors against transformers' own in float32."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

import converter
import edge_runtime

pytestmark = pytest.mark.minilm

STSB = Path(__file__).resolve().parents[2] / "shared/data/stsb/train.tsv"
SENTENCES = 500
LEAST_MEAN, LEAST_WORST = 0.98, 0.95
"""cosine; other converters' mean on these weights is 0.80 to 0.85"""


def sentences() -> list[str]:
    """Distinct sentences of the STS benchmark, which the converter's calibration sample has none of."""
    with STSB.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    distinct = sorted({row["sentence1"] for row in rows})
    return list(np.random.default_rng(0).choice(distinct, SENTENCES, replace=False))


def float32_vectors(checkpoint: Path, texts: list[str]) -> NDArray[np.float32]:
    """[sentences, hidden], mean over tokens, unit length."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        hidden = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    vectors: NDArray[np.float32] = torch.stack(hidden).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def test_integer_vectors_are_close(minilm: Path, tmp_path: Path) -> None:
    """The integer model's sentence vectors point where the float32 ones do, on average and at worst."""
    converter.convert(minilm, tmp_path / "minilm.tflite")
    texts = sentences()
    model = edge_runtime.load(tmp_path / "minilm.tflite")
    vectors = np.stack([model.embed(text) for text in texts])
    cosines = np.sum(vectors * float32_vectors(minilm, texts), axis=1)
    print(f"cosine over {SENTENCES} sentences: mean {cosines.mean():.4f}, worst {cosines.min():.4f}")
    assert cosines.mean() >= LEAST_MEAN
    assert cosines.min() >= LEAST_WORST
