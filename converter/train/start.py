"""What a training starts from: tokenizer, encoder and, where it fits, the head of an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.tokenizer import read_tokenizer, read_vocabulary, wordpiece
from converter.checkpoint.weights import open_weights
from converter.errors import TrainingError
from converter.train.embeddings import take_over, wave_positions
from converter.train.encoder import Encoder, load_encoder, new_encoder
from converter.train.model import HeadShape, Model
from converter.train.tokenisation import Tokenisation
from edge_runtime.tokenizer import Tokenizer

if TYPE_CHECKING:
    from converter.sizes import Size
    from converter.train.tasks.task import Task


@dataclass
class Start:
    """Before there are heads."""

    tokenizer: str
    """tokenizer.json's text"""
    encoder: Encoder
    longest: int
    """tokens of a sequence"""

    @property
    def tokenisation(self) -> Tokenisation:
        return Tokenisation(Tokenizer(self.tokenizer.encode()), self.longest)

    def trim(self, texts: Sequence[str], size: int) -> None:
        """Keeps `size` of the vocabulary's tokens, those that occur most in `texts`."""
        from tokenizers import Tokenizer as Whole

        from converter.trimming import count, trim

        self.tokenizer, kept = trim(self.tokenizer, count(Whole.from_str(self.tokenizer), texts), size)
        self.encoder.resize_vocabulary(kept)


def existing(folder: Path, longest: int | None = None) -> Start:
    """From a checkpoint.

    Raises:
        TrainingError: `longest` is more than it has positions.
        CheckpointError: it cannot be read.
    """
    encoder = load_encoder(folder)
    tokenizer, limit = read_tokenizer(folder, encoder.configuration.vocab_size)
    return Start(tokenizer, encoder, _longest(encoder, limit, longest))


def from_scratch(size: Size, vocabulary: Path | None, embeddings: Path | None, longest: int | None = None) -> Start:
    """With random weights, and word embeddings taken over from another checkpoint if one is given.

    Raises:
        TrainingError: the vocabulary is missing.
        CheckpointError: a file cannot be read.
    """
    from tokenizers import Tokenizer as Whole

    if vocabulary is not None:
        if not vocabulary.is_file():
            raise TrainingError(f"{vocabulary} does not exist; give a vocab.txt")
        text, rows = wordpiece(vocabulary, {}), len(read_vocabulary(vocabulary))
    else:
        assert embeddings is not None
        rows = read_configuration(embeddings).vocab_size
        text, _ = read_tokenizer(embeddings, rows)
    tokenizer = Whole.from_str(text)
    encoder = new_encoder(size, rows, tokenizer.token_to_id("[PAD]"))
    if embeddings is not None:
        take_over(encoder, tokenizer.get_vocab(), embeddings)
    wave_positions(encoder)
    return Start(text, encoder, _longest(encoder, None, longest))


def keep_head(model: Model, folder: Path, task: Task[Any, Any]) -> bool:
    """Takes over the heads of a checkpoint if it was trained for the same task with the same labels, in any order.

    Returns:
        whether it was.
    """
    configuration = read_configuration(folder)
    architecture = str((configuration.fields.get("architectures") or ["Model"])[0])
    if not architecture.endswith(task.architecture):
        return False
    theirs = {head.name: head for head in type(task).of(configuration).heads(configuration.hidden_size)}
    if any(set(theirs[head.name].labels) != set(head.labels) for head in model.heads):
        return False
    _copy(model, folder, [(head, theirs[head.name].labels) for head in model.heads])
    return True


def load(folder: Path, task: Task[Any, Any]) -> tuple[Model, Tokenisation]:
    """A whole checkpoint, `task` being the one that it was trained for.

    Raises:
        CheckpointError: it cannot be read.
    """
    start = existing(folder)
    model = Model(start.encoder, task.heads(start.encoder.config.hidden_size))
    _copy(model, folder, [(head, head.labels) for head in model.heads])
    return model, start.tokenisation


def _copy(model: Model, folder: Path, heads: Sequence[tuple[HeadShape, tuple[str, ...]]]) -> None:
    weights = open_weights(folder)
    for head, order in heads:
        if head.layer is None:
            continue
        layer = model.layer(head)
        found = weights.linear(head.layer, *layer.weight.shape)
        rows = [order.index(label) for label in head.labels]
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(found.weight[rows])))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(found.bias[rows])))


def _longest(encoder: Encoder, limit: int | None, wanted: int | None) -> int:
    positions = encoder.configuration.max_position_embeddings
    if wanted is not None and not 8 <= wanted <= positions:
        raise TrainingError(f"--max-length must be from 8 to {positions}, the positions that the network has")
    return wanted or min(positions, limit or positions)
