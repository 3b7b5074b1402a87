"""No product of activations has −128 on both sides: kernels without dot products add two such products up wrongly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import converter
from converter import checkpoint, encoder, model_file, overflow
from converter.arrangement import arrange
from converter.calibration import choose_ranges, encode, observe
from converter.execution import execute
from converter.graph import Graph, Op, Rule
from converter.integer import HIGHEST, LOWEST
from converter.quantisation import Range, quantise
from edge_runtime.model_file import bundled_names
from tests.converter.cut_checkpoint import cut
from tests.converter.random_checkpoint import make
from tests.converter.test_conversion import LARGER, soften, texts

BUNDLED = Path(converter.__file__).parents[1] / "edge_runtime" / "models"


def risks(content: bytes) -> list[str]:
    return overflow.risks(schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)))


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_models_are_safe(name: str) -> None:
    """All bundled models keep one side of each product from −128."""
    assert converter.inspect(BUNDLED / f"{name}.tflite").overflow_risks == []


@pytest.mark.parametrize("architecture", ["SqueezeBertForMaskedLM", "BertForTokenClassification", "BertModel"])
def test_conversions_are_safe(tmp_path: Path, architecture: str) -> None:
    """So does whatever is converted, heads with a LayerNorm of their own and those that compare vectors included."""
    squeeze = {"embedding_size": LARGER["hidden_size"]} if architecture.startswith("Squeeze") else {}
    make(tmp_path / "checkpoint", architecture, **LARGER, **squeeze)
    soften(tmp_path / "checkpoint")
    converter.convert(tmp_path / "checkpoint", tmp_path / "model.tflite", calibration=texts(tmp_path))
    assert converter.inspect(tmp_path / "model.tflite").overflow_risks == []


def test_risks_are_found(tmp_path: Path) -> None:
    """Scores, attention's sums of values and squares of a file made without units are named, each of them once."""
    file, older = cut(tmp_path)
    assert risks(model_file.read(file)[0]) == []
    norms = ["embeddings", *(f"layer.{i}.{part}" for i in range(2) for part in ("attention", "feed_forward"))]
    attentions = [f"layer.{i}.attention.{part}" for i in range(2) for part in ("scores", "context.shares")]
    found = risks(older)
    assert sorted(found) == sorted([*(f"{name}.inverse_deviation.squares.0" for name in norms), *attentions])


Integers = np.ndarray[tuple[int, ...], np.dtype[np.int8]]


def second_operands(content: bytes) -> list[Integers]:
    """Of all products of two activations in a sequence of 48 tokens, not of sums."""
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    places = {detail["index"]: "ids" in detail["name"] for detail in interpreter.get_input_details()}
    for index in places:
        interpreter.resize_tensor_input(index, [1, 48])
    interpreter.allocate_tensors()
    for index, is_id in places.items():
        values = np.arange(48) % 15 if is_id else np.arange(48)
        interpreter.set_tensor(index, values[None].astype(np.int32))
    interpreter.invoke()
    operators = [o for o in interpreter._get_ops_details() if o["op_name"] == "BATCH_MATMUL"]
    found = [interpreter.get_tensor(o["inputs"][1]) for o in operators]
    return [x for x in found if x.shape[-1] > 1 and not (x == 1).all()]


def test_what_is_cut_is_cut_at_127(tmp_path: Path) -> None:
    """Keys, values and squares that their ranges cut become −127, where they were −128 in older files."""
    file, older = cut(tmp_path)
    for now, before in zip(second_operands(model_file.read(file)[0]), second_operands(older), strict=True):
        assert now.min() == -HIGHEST
        assert before.min() == LOWEST
    assert len(second_operands(older)) == 9


def test_units_change_no_weight(tmp_path: Path) -> None:
    """The graph in units computes the same, from the same integers of weights."""
    make(tmp_path / "checkpoint", "SqueezeBertForTokenClassification", **LARGER, embedding_size=48)
    soften(tmp_path / "checkpoint")
    network = checkpoint.read(tmp_path / "checkpoint", None)
    samples = encode(network, texts(tmp_path).read_text("utf-8").splitlines(), 20)
    arranged = arrange(network, samples, "fast")
    plain = encoder.build(network, replace(arranged.plan, units={}))
    assert len(arranged.plan.units) == 9

    (without,), (within,) = (execute(g, samples[0]).values() for g in (plain, arranged.graph))
    np.testing.assert_allclose(within, without, rtol=1e-4, atol=1e-5)
    before = quantise(plain, choose_ranges(plain, observe(plain, samples)))
    weights = [
        {t.name: t.data for o in g.operators for t in o.inputs if t.name.endswith("weight") and t.data is not None}
        for g in (before, arranged.integers)
    ]
    assert weights[0].keys() == weights[1].keys()
    # a division more may put a weight on the other side of a half
    steps = [np.abs(weights[0][name].astype(int) - weights[1][name]) for name in weights[0]]
    assert max(int(s.max()) for s in steps) <= 1
    assert sum(int(s.sum()) for s in steps) <= 1e-3 * sum(s.size for s in steps)


@pytest.mark.parametrize("op", [Op.ADD, Op.SUBTRACT])
def test_sums_that_are_squared_are_not_cut(op: Op) -> None:
    """The scale of a sum or difference that is squared is so large that all its integers are above −128."""
    graph = Graph()
    a, b = (graph.tensor(name, (1, 1, 1, 16)) for name in "ab")
    centred = graph.binary(op, "centred", a, b, Rule.SYMMETRIC)
    (inverse,) = graph.inverse_deviation("inverse", centred, [], count=16, epsilon=1e-5, factors=())
    graph.inputs, graph.outputs = [a, b], [inverse]
    ranges = {a: Range(-2, 1), b: Range(-1, 3), centred: Range(-0.5, 0.5), inverse: Range(0.1, 2)}
    made = quantise(graph, ranges).operators[0]
    minuend, other, out = (t.quantisation for t in (*made.inputs, *made.outputs))
    assert minuend is not None and other is not None and out is not None
    least = float(minuend.scale[0]) * (LOWEST - minuend.zero_point)
    if op is Op.ADD:
        least += float(other.scale[0]) * (LOWEST - other.zero_point)
    else:
        least -= float(other.scale[0]) * (HIGHEST - other.zero_point)
    assert -HIGHEST <= round(least / float(out.scale[0])) <= 1 - HIGHEST
