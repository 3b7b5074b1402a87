"""Older forms of operators, each in a small graph, and what becomes of them; both are run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from converter import flatbuffer, model_file
from converter.inspection import operator_name
from converter.integer import HIGHEST, IntegerGraph, IntegerOperator, IntegerTensor, Quantisation
from converter.quantisation import asymmetric, symmetric
from converter.recipes import renew
from edge_runtime.model_file import BUNDLED, bundled_names
from tests.converter.random_checkpoint import make

IN, HIDDEN, OUT, TOKENS = 8, 16, 4, 40
CEILING, HIGH = 3.0, 4.5
FACTOR = 6.0
"""large enough for the side path to hold all that is beyond"""


def one(scale: float, zero_point: int = 0) -> Quantisation:
    return Quantisation(np.array([scale], np.float32), zero_point)


def activation(name: str, width: int, q: Quantisation) -> IntegerTensor:
    return IntegerTensor(name, (1, -1, 1, width), "int8", q)


def layer(
    name: str,
    x: IntegerTensor,
    y: IntegerTensor,
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    relu: bool = False,
) -> IntegerOperator:
    """FULLY_CONNECTED."""
    assert x.quantisation is not None
    scale = (np.abs(weight).max(axis=1) / HIGHEST).astype(np.float32)
    integers = np.rint(weight / scale[:, None]).astype(np.int8)
    w = IntegerTensor(f"{name}.weight", integers.shape, "int8", Quantisation(scale), integers)
    steps = scale * x.quantisation.scale
    b = IntegerTensor(f"{name}.bias", bias.shape, "int32", Quantisation(steps), np.rint(bias / steps).astype(np.int32))
    return IntegerOperator(
        "FULLY_CONNECTED", (x, w, b), (y,), {"keepNumDims": True, "fusedActivationFunction": int(relu)}
    )


def renewed(content: bytes, ceilings: Sequence[Sequence[float | None]] = (), ratio: float = np.inf) -> bytes:
    def change(model: Any) -> None:
        renew.renew(model, ceilings, ratio)

    return flatbuffer.rewrite(content, change)


def codes(content: bytes) -> Counter[str]:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    return Counter(operator_name(model, each) for each in model.subgraphs[0].operators)


def run(content: bytes, x: NDArray[np.int8]) -> NDArray[np.float64]:
    """The one output, in real numbers."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    (found,) = interpreter.get_output_details()
    scale, zero = found["quantization"]
    result: NDArray[np.float64] = (interpreter.get_tensor(found["index"]).astype(np.float64) - zero) * scale
    return result


def test_an_exponential_keeps_its_bytes() -> None:
    """ELU + 1 by an ADD is the same as by a BITCAST for all 256 integers."""
    x = activation("difference", 256, one(0.05, 127))
    elu, y = activation("elu", 256, one(1 / 255, 127)), activation("exponential", 256, one(1 / 255, -128))
    added = IntegerTensor("one", (1,), "int8", one(1 / 255, -128), np.array([127], np.int8))
    operators = [IntegerOperator("ELU", (x,), (elu,)), IntegerOperator("ADD", (elu, added), (y,))]
    old = flatbuffer.write(IntegerGraph([x], [y], operators), "test")
    new = renewed(old)
    assert codes(new) == {"ELU": 1, "BITCAST": 1}
    every = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 1, 256)
    np.testing.assert_array_equal(run(old, every), run(new, every))


@pytest.mark.parametrize(("name", "spread", "code"), [
    ("layer.0.attention.centred.unscaled", 7.0, "MUL"),
    ("layer.0.attention.residual", 1.8, "MUL"),
    ("layer.0.attention.residual", 7.0, "DEPTHWISE_CONV_2D"),
])  # fmt: skip
def test_factors_share_a_scale_where_they_may(name: str, spread: float, code: str) -> None:
    """What a convolution of one tap multiplied by, a product does: to within half a step of the largest factor and one
    of the result; factors that differ too much stay as they are.
    """
    generator = np.random.default_rng(0)
    factors = np.geomspace(1, spread, 32) / spread
    x, y = activation("x", 32, one(1 / 127)), activation(name, 32, one(1 / 127))
    scale = (factors / HIGHEST).astype(np.float32)
    weight = IntegerTensor(
        "w", (1, 1, 1, 32), "int8", Quantisation(scale, 0, 3), np.full((1, 1, 1, 32), HIGHEST, np.int8)
    )
    bias = IntegerTensor("b", (32,), "int32", Quantisation(scale / np.float32(127)), np.zeros(32, np.int32))
    options: dict[str, int | float | bool] = {
        "padding": 1,
        "strideW": 1,
        "strideH": 1,
        "depthMultiplier": 1,
        "fusedActivationFunction": 2,
    }
    old = flatbuffer.write(
        IntegerGraph([x], [y], [IntegerOperator("DEPTHWISE_CONV_2D", (x, weight, bias), (y,), options)]), "test"
    )
    new = renewed(old)
    assert codes(new) == {code: 1}
    given = generator.integers(-127, 128, (1, TOKENS, 1, 32)).astype(np.int8)
    assert np.abs(run(old, given) - run(new, given)).max() <= (1.01 + 0.5 * (code == "MUL")) / 127


def feed_forward() -> bytes:
    """Two groups, of which the first has a ceiling and two neurons that go far beyond it, the second a wider range."""
    generator = np.random.default_rng(1)
    x = activation("x", 2 * IN, symmetric(-2, 2))
    pieces = [activation(f"x.{g}", IN, symmetric(-2, 2)) for g in range(2)]
    axis = IntegerTensor("axis", (), "int32", None, np.array(3, np.int32))
    operators = [IntegerOperator("SPLIT", (axis, x), tuple(pieces), {"numSplits": 2})]
    results = []
    for g, high in enumerate((CEILING, HIGH)):
        name = f"layer.0.feed_forward.hidden.{g}"
        weight = generator.normal(size=(HIDDEN, IN)) * 0.25
        bias = generator.normal(size=HIDDEN) * 0.1
        hidden, after = activation(name, HIDDEN, asymmetric(-5, high)), asymmetric(-0.2, high)
        activated = activation(f"{name}.activated", HIDDEN, after)
        read = activated
        if g == 0:
            weight[:2] *= 8
        operators += [layer(name, pieces[g], hidden, weight, bias), IntegerOperator("GELU", (hidden,), (activated,))]
        back = generator.normal(size=(OUT, HIDDEN)) * 0.3
        if g == 0:
            beyond = activation(f"{name}.overflow", 2, after)
            read = activation(f"{name}.joined", HIDDEN + 2, after)
            part = layer(beyond.name, pieces[g], beyond, weight[:2] / FACTOR, (bias[:2] - CEILING) / FACTOR, relu=True)
            join = IntegerOperator("CONCATENATION", (activated, beyond), (read,), {"axis": 3})
            operators += [part, join]
            back = np.concatenate([back, back[:, :2] * FACTOR], axis=1)
        result = activation(f"layer.0.feed_forward.output.{g}", OUT, asymmetric(-12, 12))
        operators.append(layer(result.name, read, result, back, generator.normal(size=OUT)))
        results.append(result)
    y = activation("y", 2 * OUT, asymmetric(-12, 12))
    operators.append(IntegerOperator("CONCATENATION", tuple(results), (y,), {"axis": 3}))
    return flatbuffer.write(IntegerGraph([x], [y], operators), "test")


def test_groups_get_one_activation() -> None:
    """What neurons have below their ceiling and beyond it still adds up, though they are cut further up."""
    old = feed_forward()
    new = renewed(old, [[CEILING, None]])
    assert codes(old)["GELU"] == 2
    assert codes(new) == codes(old) - Counter(GELU=1) + Counter(CONCATENATION=1, SPLIT=1)
    x = np.random.default_rng(2).integers(-127, 128, (1, TOKENS, 1, 2 * IN)).astype(np.int8)
    before, after = run(old, x), run(new, x)
    step = 24 / 255
    assert np.abs(before - after).max() <= 2.01 * step
    assert np.abs(before - after).mean() <= 0.4 * step
    # were the side path to begin where it did, what lies between would count twice
    assert np.abs(before - run(renewed(old, [[None, None]]), x)).max() > 4 * step


def test_groups_that_differ_too_much_keep_theirs() -> None:
    """With one range half as wide again as the other, and less allowed, nothing is joined."""
    old = feed_forward()
    assert codes(renewed(old, [[CEILING, None]], 1.4)) == codes(old)


def test_what_the_converter_writes_is_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to be done for it; nor for the bundled models, but where their groups differ too much."""
    import converter

    make(tmp_path / "checkpoint", "SqueezeBertForSequenceClassification")
    converter.convert(tmp_path / "checkpoint", tmp_path / "model.tflite", effort="fast")
    files = [tmp_path / "model.tflite", *(BUNDLED / f"{name}.tflite" for name in bundled_names())]
    for file in files:
        monkeypatch.setattr("sys.argv", ["renew", str(file), str(tmp_path / "new.tflite"), "--alike", "1.5"])
        assert renew.main() == 0
        done = json.loads(capsys.readouterr().out)
        assert (done["exponentials"], done["factors"], done["activations"]) == (0, 0, 0)
        assert model_file.read(file)[0] == model_file.read(tmp_path / "new.tflite")[0]


@pytest.mark.parametrize("plan", ["{", "[]", '{"layers": [{"hidden": [{}]}]}'])
def test_an_unreadable_plan_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    """The message names what cannot be read, and nothing is written."""
    content, entries = model_file.read(BUNDLED / "assistant.tflite")
    entries[model_file.PLAN] = plan
    (tmp_path / "damaged.tflite").write_bytes(model_file.assemble(content, entries))
    monkeypatch.setattr("sys.argv", ["renew", str(tmp_path / "damaged.tflite"), str(tmp_path / "new.tflite")])
    assert renew.main() == 1
    assert "plan.json cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "new.tflite").exists()


def test_a_file_of_other_makers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no plan; the message says so and nothing is written."""
    (tmp_path / "foreign.tflite").write_bytes(feed_forward())
    monkeypatch.setattr("sys.argv", ["renew", str(tmp_path / "foreign.tflite"), str(tmp_path / "new.tflite")])
    assert renew.main() == 1
    assert "was not made by edge-converter" in capsys.readouterr().err
    assert not (tmp_path / "new.tflite").exists()
