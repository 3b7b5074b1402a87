"""A Hugging Face checkpoint as an ONNX file, by PyTorch's own exporter."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
import transformers

INPUT = "ids"
TRACED_LENGTH = 16
MOST_TEXTS = 64
"""in one batch"""


class MeanPooled(torch.nn.Module):
    """The base model and the mean of its tokens: what the converted file's head `embedding` computes."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """[1, S] int64 → [1, hidden]. All ones is the mask of an unpadded sentence."""
        hidden: torch.Tensor = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return hidden.mean(dim=1)


def export(checkpoint: Path, target: Path) -> None:
    """Write the checkpoint's base model, in float32 and with any sentence length, to `target`.

    The newer of PyTorch's two exporters: its graph is the faster one in ONNX Runtime, by a tenth.
    """
    transformers.utils.logging.disable_progress_bar()
    # it names every extension that is not installed
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    model = transformers.AutoModel.from_pretrained(checkpoint)
    longest = torch.export.Dim("S", min=1, max=model.config.max_position_embeddings)
    ids = torch.ones((1, TRACED_LENGTH), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            # eval() of the whole: the exporter puts every part back into the mode that the whole was in.
            MeanPooled(model).eval(),
            (ids,),
            target,
            input_names=[INPUT],
            dynamic_shapes={INPUT: {1: longest}},
            dynamo=True,
            verbose=False,
        )
