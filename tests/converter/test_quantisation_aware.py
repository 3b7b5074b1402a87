"""Training in the integers that will be exported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import converter
import edge_runtime
from converter import arrangement, calibration, checkpoint, encoder, simulation, trained
from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.weights import open_weights
from converter.errors import CalibrationError
from converter.train import tuning
from converter.train.models import Size, existing_encoder
from converter.train.models import build as build_model
from converter.train.session import Options, train
from converter.train.simulated import SimulatedModel
from converter.train.traced import LiveWeights, Traced
from converter.train.training import Schedule
from tests.converter.test_train import home, vocabulary

__all__ = ["home", "vocabulary"]

MOST_STEPS = 3
"""of the logits' int8 scale, between PyTorch's simulation and LiteRT's kernels: each rounds by its own rules, and one
step in a hidden tensor may move another"""
MEAN_STEPS = 0.5


@pytest.fixture
def options(home: Path, vocabulary: Path, tmp_path: Path) -> Options:
    return Options(
        data=[home],
        output=tmp_path / "out",
        vocabulary=vocabulary,
        size=Size(hidden=16, layers=2, heads=2, intermediate=32, groups=2, positions=16, dropout=0.0),
        schedule=Schedule(epochs=6, batch=8, rate=1e-2, patience=6),
        validation_share=0.34,
        quantisation_aware=True,
    )


def simulated(folder: Path) -> SimulatedModel:
    """The simulation that a training's last epochs ran, made anew from what it saved."""
    from converter.train.encoding import Labels

    network = checkpoint.read(folder)
    settled = trained.read(folder)
    assert settled is not None
    intent, slots = network.heads
    labels = Labels(tuple(intent.labels), tuple(slots.labels))
    model = build_model(existing_encoder(folder), labels, "mean", 0.0)
    weights = open_weights(folder)
    state = {name: torch.from_numpy(weights.take(name, *t.shape).copy()) for name, t in model.state_dict().items()}
    model.load_state_dict(state)
    arranged = arrangement.follow(network, settled.plan, settled.ranges)
    return SimulatedModel(model, read_configuration(folder), network, arranged)


def test_exported_model_agrees_with_its_simulation(options: Options, tmp_path: Path) -> None:
    """The file that `convert` writes gives the logits that training saw, to within the kernels' rounding."""
    train(options)
    report = converter.convert(options.output, tmp_path / "m.tflite", calibration=options.output / "calibration.txt")
    assert report.effort == "trained"
    model = simulated(options.output).eval()
    differences = []
    with edge_runtime.load(tmp_path / "m.tflite") as runtime, torch.no_grad():
        scales = {name: head["scale"] for name, head in converter.inspect(tmp_path / "m.tflite").heads.items()}
        for text in ("turn on the light in the hall", "turn off the light", "play", "what in the garden ?"):
            ids = runtime.encode(text).ids
            expected = model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))
            got = runtime.run(ids)
            for name, scale in scales.items():
                reference = expected[name].numpy().reshape(np.shape(got[name]))
                differences.append(np.abs(np.asarray(got[name]) - reference).ravel() / scale)
    steps = np.concatenate(differences)
    assert steps.max() <= MOST_STEPS + 1e-3
    assert steps.mean() <= MEAN_STEPS


def test_simulations_agree(options: Options) -> None:
    """PyTorch's simulation and NumPy's give the same logits but for a step here and there."""
    train(options)
    network, settled = checkpoint.read(options.output), trained.read(options.output)
    assert settled is not None
    arranged = arrangement.follow(network, settled.plan, settled.ranges)
    numpys = simulation.Simulation(arranged.graph, arranged.ranges, arranged.integers)
    model = simulated(options.output).eval()
    texts = ["turn on the light in the hall", "off"]
    for sample in calibration.encode(network, texts, 16):
        expected = numpys.run(sample)
        ids = torch.from_numpy(sample["ids"]).long()
        with torch.no_grad():
            got = model(ids, torch.ones_like(ids))
        for tensor in arranged.graph.outputs:
            scale = numpys.scales[tensor].scale[0]
            difference = np.abs(got[tensor.name].numpy().reshape(expected[tensor.name].shape) - expected[tensor.name])
            assert difference.max() <= 2.001 * scale


def test_batch_is_as_its_texts(options: Options) -> None:
    """Texts of several lengths in one batch give what each gives alone."""
    train(options)
    model = simulated(options.output).eval()
    ids = torch.tensor([[2, 9, 10, 3], [2, 9, 3, 0], [2, 11, 12, 3]])
    mask = (ids != 0).long()
    with torch.no_grad():
        together = model(ids, mask)
        for row, length in enumerate(mask.sum(dim=1).tolist()):
            alone = model(ids[row : row + 1, :length], mask[row : row + 1, :length])
            assert torch.allclose(together["intent"][row], alone["intent"][0], atol=1e-5)
            assert torch.allclose(together["slots"][row, :length], alone["slots"][0], atol=1e-5)


def test_gradients_reach_every_trained_weight(options: Options) -> None:
    """Rounding lets gradients through to all weights but the tables, which stay as they are."""
    train(options)
    model = simulated(options.output)
    ids = torch.tensor([[2, 9, 10, 3]])
    logits = model(ids, torch.ones_like(ids))
    (logits["intent"].square().sum() + logits["slots"].square().sum()).backward()
    for name, parameter in model.model.named_parameters():
        if parameter.requires_grad and "pooler" not in name and ".key.bias" not in name:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    assert not dict(model.model.named_parameters())["transformer.embeddings.word_embeddings.weight"].requires_grad


def test_tuning_keeps_the_best(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last epochs make it worse, the weights from before them are kept."""
    monkeypatch.setattr(tuning, "RATE", 1e4)
    outcome = train(options)
    assert outcome.best.number == 0
    assert np.isfinite(next(iter(outcome.scores.values())).intent_accuracy)


def test_other_weights_are_refused(options: Options, tmp_path: Path) -> None:
    """Ranges of other weights, or damaged ones, are an error that names the file; a new training removes them."""
    train(options)
    path = options.output / trained.FILE
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "weights_sha256": "0"}))
    with pytest.raises(CalibrationError, match=r"quantisation\.json"):
        converter.convert(options.output, tmp_path / "m.tflite")
    path.write_text("{}")
    with pytest.raises(CalibrationError, match=r"quantisation\.json"):
        converter.convert(options.output, tmp_path / "m.tflite")
    train(dataclasses.replace(options, quantisation_aware=False, schedule=Schedule(epochs=1)))
    assert not path.exists()


def test_traced_weights_build_the_same_graph(options: Options) -> None:
    """The graph built of PyTorch's tensors has the constants of the one built of NumPy's arrays."""
    train(options)
    network, settled = checkpoint.read(options.output), trained.read(options.output)
    assert settled is not None
    model = simulated(options.output)
    plain = encoder.build(network, settled.plan)
    live = model._graph()
    for ours, theirs in zip(plain.tensors(), live.tensors(), strict=True):
        assert (ours.name, ours.shape, ours.rule) == (theirs.name, theirs.shape, theirs.rule)
        if ours.constant is not None:
            constant: Any = theirs.constant
            value = constant.tensor.detach().numpy() if isinstance(constant, Traced) else constant
            assert np.allclose(ours.constant, value, rtol=1e-5, atol=1e-6)


def test_live_weights_name_what_is_missing() -> None:
    """A weight that the model lacks is named."""
    with pytest.raises(converter.ConverterError, match="encoder"):
        LiveWeights({}).take("encoder", 1)
