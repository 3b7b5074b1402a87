"""Word embeddings taken over from another checkpoint, narrowed to the new width."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.encoder import encoder_prefix
from converter.checkpoint.tokenizer import read_tokenizer
from converter.checkpoint.weights import open_weights


def read_embeddings(folder: Path) -> tuple[NDArray[np.float32], dict[str, int]]:
    """A checkpoint's word embeddings [vocabulary, width] and its tokens' ids.

    Raises:
        CheckpointError: the checkpoint cannot be read.
    """
    from tokenizers import Tokenizer

    configuration, weights = read_configuration(folder), open_weights(folder)
    text, _ = read_tokenizer(folder, configuration.vocab_size)
    name = f"{encoder_prefix(weights)}embeddings.word_embeddings.weight"
    table = weights.take(name, configuration.vocab_size, configuration.hidden_size)
    return table, Tokenizer.from_str(text).get_vocab()


def narrowed(table: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The table [vocabulary, width] whose rows' dot products come nearest to those of the centred `table`.

    Its principal components (Eckart and Young, 1936), scaled so that the mean length of a row stays what it was per
    channel. With a greater `width` than the table's the remaining channels are 0.
    """
    centred = table - table.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    strongest = vectors[:, np.argsort(values)[::-1][:width]]
    kept = (centred @ strongest).astype(np.float32)
    kept *= np.float32(centred.std() / kept.std())
    return np.pad(kept, ((0, 0), (0, width - kept.shape[1])))


def wave_positions(model: Any) -> None:
    """Starts the position embeddings as waves of falling frequency, as long as the mean word embedding.

    Vaswani et al., "Attention is all you need", 2017, section 3.5. Neighbours are alike from the first step on, and
    positions that no training text reaches still mean something.
    """
    import torch

    words = model.word_embeddings.weight
    table = model.embeddings.position_embeddings.weight
    positions, width = table.shape
    frequencies = torch.exp(torch.arange(0, width, 2) * (-np.log(10000.0) / width))
    angles = torch.arange(positions).unsqueeze(1) * frequencies
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]
    with torch.no_grad():
        # A wave's root mean square is √½.
        table.copy_(waves * (words.std() / 0.5**0.5))


def take_over(model: Any, vocabulary: Mapping[str, int], folder: Path) -> int:
    """Overwrites the model's word embeddings by another checkpoint's, token by token.

    Returns:
        how many of the vocabulary's tokens the other checkpoint has; the others keep their random rows.
    """
    import torch

    table, theirs = read_embeddings(folder)
    weight = model.word_embeddings.weight
    rows = narrowed(table, weight.shape[1])
    shared = [(own, theirs[token]) for token, own in vocabulary.items() if token in theirs]
    with torch.no_grad():
        weight[[own for own, _ in shared]] = torch.from_numpy(rows[[other for _, other in shared]])
    return len(shared)
