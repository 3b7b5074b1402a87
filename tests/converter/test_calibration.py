"""Calibration texts, and the choice of ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter import calibration, encoder
from converter.checkpoint import read
from converter.errors import CalibrationError
from converter.graph import Graph, Rule, Tensor
from converter.quantisation import Range, asymmetric, to_int8
from tests.converter.random_checkpoint import make


def test_default_texts_are_many_and_of_several_lengths() -> None:
    """The sample that ships with the package has at least 200 texts, short and long, and pairs among them."""
    texts = calibration.default_texts()
    lengths = sorted(len(text.split()) for text in texts)
    assert len(texts) >= 200
    assert lengths[len(lengths) // 4] <= 12
    assert lengths[-1] >= 50
    assert any("\t" in text for text in texts)


def test_read_texts_leaves_out_empty_lines(tmp_path: Path) -> None:
    """Lines are stripped and empty ones dropped."""
    (tmp_path / "texts").write_text("one\n\n  two \n", encoding="utf-8")
    assert calibration.read_texts(tmp_path / "texts") == ["one", "two"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"], ids=["empty", "blank", "not UTF-8"])
def test_read_texts_refuses(tmp_path: Path, content: bytes) -> None:
    """A file without text, or that is none, is refused by name."""
    (tmp_path / "texts").write_bytes(content)
    with pytest.raises(CalibrationError, match="texts"):
        calibration.read_texts(tmp_path / "texts")
    with pytest.raises(CalibrationError, match="nowhere"):
        calibration.read_texts(tmp_path / "nowhere")


def test_encode_cuts_and_pairs(tmp_path: Path) -> None:
    """Long texts are cut; a tab makes a pair whose second half reads the second block of positions."""
    make(tmp_path, "SqueezeBertModel")
    network = read(tmp_path)
    long, pair = calibration.encode(network, ["turn " * 100, "turn off\tthe light"], longest=9)
    assert long["ids"].shape == long["positions"].shape == (1, 9)
    assert pair["ids"].dtype == pair["positions"].dtype == np.int32
    assert pair["positions"][0].tolist() == [0, 1, 2, 3, 24, 25, 26]


def test_observation_sees_every_channel(tmp_path: Path) -> None:
    """Minimum and maximum are those over all samples, for the tensor and for each channel."""
    make(tmp_path, "SqueezeBertModel")
    network = read(tmp_path)
    graph = encoder.build(network)
    samples = calibration.encode(network, ["turn off", "the lights é 中", "e"], 20)
    seen = {t.name: o for t, o in calibration.observe(graph, samples).items()}
    sums = seen["embeddings.sum"]
    words, places = network.encoder.word_embeddings, network.encoder.position_embeddings
    values = np.concatenate(
        [words[s["ids"][0]] + places[s["positions"][0]] + network.encoder.type_embeddings[0] for s in samples]
    )
    assert sums.channel_low is not None
    assert sums.channel_high is not None
    assert np.allclose(sums.channel_low, values.min(axis=0), atol=1e-6)
    assert np.allclose(sums.channel_high, values.max(axis=0), atol=1e-6)
    assert sums.low == pytest.approx(values.min())
    assert sums.high == pytest.approx(values.max())


def test_nothing_to_observe(tmp_path: Path) -> None:
    """No sample is an error, not ranges of nothing."""
    make(tmp_path, "SqueezeBertModel")
    with pytest.raises(CalibrationError):
        calibration.observe(encoder.build(read(tmp_path)), [])


def test_ranges_follow_their_rules(tmp_path: Path) -> None:
    """Symmetric tensors get symmetric ranges, bounds are kept, and a range is never wider than what was seen."""
    make(tmp_path, "SqueezeBertModel")
    network = read(tmp_path)
    graph = encoder.build(network)
    seen = calibration.observe(graph, calibration.encode(network, ["turn off the light", "é e"], 20))
    ranges = calibration.choose_ranges(graph, seen)
    assert {graph.representative(t) for t in seen} <= set(ranges)
    for tensor, chosen in ranges.items():
        if tensor.rule is Rule.SYMMETRIC:
            assert chosen.low == -chosen.high
    hidden = [each for tensor, each in ranges.items() if tensor.name.endswith("feed_forward.hidden")]
    assert len(hidden) == len(network.encoder.layers)
    assert all(each.low >= -5 for each in hidden)


@pytest.mark.parametrize("far", [1.0, 8.0, 30.0])
def test_range_loses_least(far: float) -> None:
    """Really quantised with the chosen range, values are off by no more than with any range cut by tenths."""
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    values[:5] = far
    low, high = float(values.min()), float(values.max())

    def loss(chosen: Range) -> float:
        q = asymmetric(chosen.low, chosen.high)
        return float(np.mean(((to_int8(values, q).astype(np.float32) - q.zero_point) * q.scale[0] - values) ** 2))

    chosen = calibration._least_error(values, np.ones_like(values), low, high, is_symmetric=False)
    cuts = np.linspace(0.2, 1, 9)
    assert loss(chosen) <= 1.02 * min(loss(Range(low * a, high * b)) for a in cuts for b in cuts)


def test_uniform_values_are_not_cut() -> None:
    """Where no value is rarer than another, the range is all of it."""
    uniform = np.linspace(-1, 1, 1000, dtype=np.float32)
    assert calibration._least_error(uniform, np.ones_like(uniform), -1.0, 1.0, is_symmetric=True).high == pytest.approx(
        1, abs=0.03
    )


def test_heavy_values_decide() -> None:
    """A range is chosen for the values whose errors count: what weighs nothing may be cut."""
    values = np.linspace(-1, 1, 1000, dtype=np.float32)
    weights = (np.abs(values) < 0.5).astype(np.float32)
    chosen = calibration._least_error(values, weights, -1.0, 1.0, is_symmetric=True)
    assert chosen.high == pytest.approx(0.5, abs=0.03)


def test_errors_count_by_the_norm_that_follows(tmp_path: Path) -> None:
    """What a LayerNorm adds up is weighted by its inverse deviation, token by token; its result is not."""
    make(tmp_path, "SqueezeBertModel")
    network = read(tmp_path)
    seen = calibration.observe(encoder.build(network), calibration.encode(network, ["turn off", "the light"], 20))
    named = {t.name: o for t, o in seen.items()}
    for name in ("output", "residual", "sum", "centred"):
        each = named[f"layer.0.attention.{name}"]
        assert [len(w) for w in each.weights] == [len(v) for v in each.values]
        assert {len(np.unique(w)) for w in each.weights} == {4}
    assert named["layer.0.attention.normalised"].weights == []
    assert named["layer.0.attention.context"].weights == []


def test_what_is_whole_is_not_cut() -> None:
    """A range holds all that was seen of such a tensor, though a narrower one would lose less."""
    found = []
    for whole in (False, True):
        graph, x = few_far_values()
        x.whole = whole
        (chosen,) = (r for t, r in calibration.choose_ranges(graph, observed(x)).items() if t is x)
        found.append(chosen)
    assert found[0].high < 20
    assert found[1].high == 30.0
    assert found[1].low < -3


def test_limits_are_where_a_range_ends() -> None:
    """What a linear layer cuts some of its results at is the end of their range, unless that is still to be chosen."""
    graph, x = few_far_values()
    weight, bias = np.eye(2, 4, dtype=np.float32), np.zeros(2, np.float32)
    y = graph.linear("y", x, weight, bias, limits=([-np.inf, -7.0], [7.0, np.inf]))
    seen = {**observed(x), y: calibration.Observation(-2.0, 3.0, values=[np.linspace(-2, 3, 100, dtype=np.float32)])}
    assert calibration.choose_ranges(graph, seen)[y] == Range(-7.0, 7.0)
    free = calibration.choose_ranges(graph, seen, heed_limits=False)[y]
    assert -2.0 <= free.low < free.high <= 3.0


def few_far_values() -> tuple[Graph, Tensor]:
    """A tensor that a layer reads."""
    graph = Graph()
    x = graph.tensor("x", (1, 1, 1, 4))
    graph.linear("read", x, np.ones((1, 4), np.float32), np.zeros(1, np.float32))
    return graph, x


def observed(x: Tensor) -> dict[Tensor, calibration.Observation]:
    """Ordinary values, and one of 30 that does not count."""
    values = np.append(np.random.default_rng(0).normal(size=50_000), 30.0).astype(np.float32)
    weights = np.append(np.ones(50_000), 0.0).astype(np.float32)
    return {x: calibration.Observation(float(values.min()), 30.0, values=[values], weights=[weights])}
