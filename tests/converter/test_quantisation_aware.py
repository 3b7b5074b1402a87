"""Training in the integers that will be exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import converter
import edge_runtime
from converter import arrangement, calibration, checkpoint, encoder, simulation, trained
from converter.checkpoint.configuration import read_configuration
from converter.errors import CalibrationError, TrainingError
from converter.graph import Op
from converter.sizes import Size
from converter.train import tuning
from converter.train.options import Options
from converter.train.packing import pack
from converter.train.schedule import Schedule
from converter.train.session import train
from converter.train.simulated import SimulatedModel, _constant
from converter.train.start import load
from converter.train.tasks import TASKS
from converter.train.traced import LiveWeights, Traced
from tests.converter import small_data
from tests.converter.test_train import home, vocabulary

__all__ = ["home", "vocabulary"]

MOST_STEPS = 6
"""of the logits' int8 scale, between PyTorch's simulation and LiteRT's kernels: each rounds by its own rules, and one
step in a hidden tensor of sixteen channels moves a pooled logit by several"""
MEAN_STEPS = 0.5


@pytest.fixture
def options(home: Path, vocabulary: Path, tmp_path: Path) -> Options:
    return Options(
        data=[home],
        output=tmp_path / "out",
        vocabulary=vocabulary,
        size=Size(hidden=16, layers=2, heads=2, intermediate=32, groups=2, positions=16),
        schedule=Schedule(epochs=6, batch=8, rate=1e-2, patience=6, dropout=0.0),
        validation_share=0.34,
        quantisation_aware=True,
    )


def simulated(folder: Path, task: str = "understand") -> SimulatedModel:
    """The simulation that a training's last epochs ran, made anew from what it saved."""
    network = checkpoint.read(folder)
    settled = trained.read(folder)
    assert settled is not None
    configuration = read_configuration(folder)
    model, _ = load(folder, TASKS[task].of(configuration))
    arranged = arrangement.follow(network, settled.plan, settled.ranges)
    return SimulatedModel(model, configuration, network, arranged)


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
            expected = model(pack([ids]))
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
        with torch.no_grad():
            got = model(pack(sample["ids"].tolist()))
        for tensor in arranged.graph.outputs:
            scale = numpys.scales[tensor].scale[0]
            difference = np.abs(got[tensor.name].numpy().reshape(expected[tensor.name].shape) - expected[tensor.name])
            assert difference.max() <= 2.001 * scale


def test_weights_are_those_of_the_file(options: Options) -> None:
    """The same integers, those half-way between two steps and copies of a number included."""
    train(options)
    network, settled = checkpoint.read(options.output), trained.read(options.output)
    assert settled is not None
    arranged = arrangement.follow(network, settled.plan, settled.ranges)
    written = {t.name: t for operator in arranged.integers.operators for t in operator.inputs}
    graph = simulated(options.output)._graph()
    weights = [t for o in graph.operators if o.op is Op.LINEAR for t in o.inputs[1:2]]
    assert len(weights) > 20
    for weight in weights:
        q, data = written[weight.name].quantisation, written[weight.name].data
        assert q is not None and data is not None
        steps = _constant(weight).detach().numpy() / q.scale[:, None]
        assert np.abs(steps - data).max() <= 1e-3, weight.name


def test_batch_is_as_its_texts(options: Options) -> None:
    """Texts of several lengths in one batch give what each gives alone."""
    train(options)
    model = simulated(options.output).eval()
    texts = [[2, 9, 10, 3], [2, 9, 3], [2, 11, 12, 3]]
    with torch.no_grad():
        together = model(pack(texts))
        begin = 0
        for row, ids in enumerate(texts):
            alone = model(pack([ids]))
            assert torch.allclose(together["intent"][row], alone["intent"][0], atol=1e-5)
            assert torch.allclose(together["slots"][begin : begin + len(ids)], alone["slots"], atol=1e-5)
            begin += len(ids)


def test_gradients_reach_every_trained_weight(options: Options) -> None:
    """Rounding lets gradients through to all weights but the tables, which stay as they are."""
    train(options)
    model = simulated(options.output)
    logits = model(pack([[2, 9, 10, 3]]))
    (logits["intent"].square().sum() + logits["slots"].square().sum()).backward()
    for name, parameter in model.model.named_parameters():
        if parameter.requires_grad and "pooler" not in name and ".key.bias" not in name:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    assert not dict(model.model.named_parameters())["transformer.embeddings.word_embeddings.weight"].requires_grad


def test_gradients_in_another_precision(options: Options) -> None:
    """bfloat16 changes nothing of what is computed, and gradients by no more than its own precision."""
    train(options)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model = simulated(options.output)
        logits = model(pack([[2, 9, 10, 3]]), dtype)
        logits["slots"].square().sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in model.model.parameters() if p.grad is not None])
        found.append((logits["slots"].detach(), gradients))
    (logits, gradients), (same, near) = found
    assert torch.equal(logits, same)
    assert not torch.equal(gradients, near)
    assert (gradients - near).norm() <= 0.02 * gradients.norm()


def test_tuning_alone(options: Options, tmp_path: Path) -> None:
    """A checkpoint that is trained already can be taken into integers without another epoch before."""
    first = train(replace(options, quantisation_aware=False))
    again = replace(options, init=options.output, vocabulary=None, output=tmp_path / "tuned")
    outcome = train(replace(again, schedule=replace(options.schedule, epochs=0, integer_epochs=2)))
    assert outcome.epochs == []
    course = json.loads((tmp_path / "tuned" / "training.json").read_text())
    assert [each["number"] for each in course["integer_epochs"]] == [0, 1, 2]
    assert outcome.best.rank >= first.best.rank - 0.1
    assert trained.read(tmp_path / "tuned") is not None


def test_no_epoch_at_all_is_refused(options: Options) -> None:
    """Training for no epoch makes sense only in integers, and for weights that there are."""
    none = replace(options.schedule, epochs=0)
    with pytest.raises(TrainingError, match="--quantisation-aware and --init"):
        train(replace(options, schedule=none, quantisation_aware=False))
    with pytest.raises(TrainingError, match="--quantisation-aware and --init"):
        train(replace(options, schedule=none))


def test_tuning_keeps_the_best(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last epochs make it worse, the weights from before them are kept."""
    monkeypatch.setattr(tuning, "RATE", 1e4)
    outcome = train(replace(options, schedule=replace(options.schedule, epochs=30, patience=30)))
    assert outcome.best.number == 0
    assert next(iter(outcome.scores.values()))["intent_accuracy"] > 0.5


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
    train(replace(options, quantisation_aware=False, schedule=Schedule(epochs=1)))
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


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("classify", small_data.pairs),
        ("tag", small_data.tag),
        ("answer", small_data.answer),
        ("embed", small_data.embed),
    ],
)
def test_every_task(options: Options, tmp_path: Path, task: str, data: Callable[[Path], Path]) -> None:
    """Each task can be trained in integers, pairs with their types, and `convert` takes what that left."""
    data_set = data(tmp_path)
    change: dict[str, Any] = {"task": task, "data": [data_set], "validation_data": [data_set], "validation_share": 0.0}
    schedule = replace(options.schedule, epochs=1)
    train(replace(options, schedule=schedule, **change))
    file = tmp_path / "m.tflite"
    assert converter.convert(options.output, file, calibration=options.output / "calibration.txt").effort == "trained"
    model = simulated(options.output, task).eval()
    with edge_runtime.load(file, cache=False) as runtime, torch.no_grad():
        read = runtime.encode("where is anna?", "the hall")
        got = runtime.run(read.ids, read.types)
        (expected,) = model(pack([read.ids], [read.types])).values()
        (scale,) = (head["scale"] for head in converter.inspect(file).heads.values())
        difference = np.abs(next(iter(got.values())) - expected.numpy().reshape(next(iter(got.values())).shape))
        assert difference.max() <= MOST_STEPS * scale * 1.001
