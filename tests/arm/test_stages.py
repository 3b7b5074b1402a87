"""Splitting an inference's instructions by stage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import edge_runtime
from tests.arm import stages
from tests.arm.emulation import Userland

MODEL = Path(edge_runtime.__file__).parent / "models" / "assistant.tflite"


def test_every_operator_has_a_stage() -> None:
    """No operator of a bundled model ends up in `other`, and the products are those that the operators do."""
    nodes = list(stages._nodes(MODEL, 16))
    names = {stages._part(node, "stage") for node in nodes}
    assert {"linear layers", "attention products", "softmax", "activation", "residual and LayerNorm"} < names
    assert "other" not in names
    first = next(node for node in nodes if node.tensor == "layer.0.attention.output")
    with edge_runtime.load("assistant", cache=False) as model:
        width = model.info.architecture["hidden_size"]
    assert first.products == 16 * width * width


@pytest.mark.arm
def test_parts_add_up() -> None:
    """What the operators cost one by one is, within a tenth, what the inference costs, and no less than the floor."""
    userland = Userland(Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    found = stages.split(userland, MODEL, "cortex-a76", 32)
    (between,) = (part for part in found.parts if part.name == stages.BETWEEN)
    assert sum(part.instructions for part in found.parts) == found.instructions
    assert abs(between.instructions) < 0.1 * found.instructions
    assert all(part.instructions > part.floor for part in found.parts if part.floor)
