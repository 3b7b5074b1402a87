"""Logits over the vocabulary → tokens for [MASK]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.errors import InputError, ModelError, TooLong
from edge_runtime.tasks.classification import best, softmax
from edge_runtime.tasks.results import Filling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.tokenizer import Pieces, Tokenizer

MASK = "[MASK]"
_CONTINUATION = "##"


def mask_place(tokenizer: Tokenizer, pieces: Pieces) -> int:
    """Which token is the mask.

    Raises:
        InputError: there is none, or more than one.
        ModelError: the vocabulary has no mask.
    """
    mask = tokenizer.id(MASK)
    if mask is None:
        raise ModelError(f"the model's vocabulary has no {MASK}, so it cannot fill")
    places = [place for place, token in enumerate(pieces.ids) if token == mask]
    if len(places) != 1:
        raise InputError(f"the text must hold {MASK} once, and holds it {len(places)} times")
    return places[0]


def fill(
    text: str, tokenizer: Tokenizer, pieces: Pieces, place: int, logits: NDArray[np.float32], top_k: int
) -> list[Filling]:
    """The likeliest tokens for the mask at `place`, from the logits of the text's tokens [tokens, vocabulary]."""
    if place >= len(logits):
        raise TooLong(f"{MASK} stands in the part of the text that was dropped")
    probabilities = softmax(logits[place])
    start, end = pieces.offsets[place]
    found = []
    for token_id in best(probabilities, top_k):
        token = tokenizer.token(token_id)
        before = text[:start]
        if token.startswith(_CONTINUATION):
            before = before.rstrip()
        filled = before + token.removeprefix(_CONTINUATION) + text[end:]
        found.append(Filling(token, filled, float(probabilities[token_id])))
    return found
