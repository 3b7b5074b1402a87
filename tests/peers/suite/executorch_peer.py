"""A checkpoint as ExecuTorch's file, computed by XNNPACK: in float32, and in 8 bits as its quantiser makes them.

    PYTHON executorch_peer.py CHECKPOINT FOLDER

Runs where `executorch` is installed, with this repository on its path. FOLDER holds calibration.npz
(`tests.peers.accuracy.exchange`); float.pte and int8.pte are added. The quantiser is
used as https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html says: weights per channel,
linear layers and convolutions, activations by a calibration.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from tests.peers.tracing import TRACED_LENGTH, MeanPooled

FLOAT, INTEGER = "float.pte", "int8.pte"


def trace(model: torch.nn.Module, longest: int) -> Any:
    """Of one text of any length."""
    length = torch.export.Dim("S", min=2, max=longest)
    ids = torch.ones((1, TRACED_LENGTH), dtype=torch.long)
    return torch.export.export(model, (ids,), dynamic_shapes=({1: length},), strict=False)


def lower(program: Any, path: Path) -> None:
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def quantised(program: Any, texts: list[Any]) -> Any:
    quantiser = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(program.module(), quantiser)
    for ids in texts:
        prepared(torch.from_numpy(ids.astype(np.int64))[None])
    return convert_pt2e(prepared)


def main() -> None:
    checkpoint, folder = Path(sys.argv[1]), Path(sys.argv[2])
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModel.from_pretrained(checkpoint, attn_implementation="eager")
    longest = model.config.max_position_embeddings
    program = trace(MeanPooled(model).eval(), longest)
    lower(program, folder / FLOAT)
    stored = np.load(folder / "calibration.npz")
    texts = np.split(stored["ids"], stored["ends"][:-1])
    lower(trace(quantised(program, texts), longest), folder / INTEGER)


if __name__ == "__main__":
    main()
