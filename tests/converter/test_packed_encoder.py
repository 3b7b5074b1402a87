"""The encoder that is trained, against transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.errors import TrainingError
from converter.sizes import PRESETS, Size
from converter.train.encoder import load_encoder, new_encoder
from converter.train.packing import by_tokens, pack
from tests.converter.random_checkpoint import GROUPS, SIZES, make

TEXTS = st.lists(st.lists(st.integers(0, SIZES["vocab_size"] - 1), min_size=1, max_size=20), min_size=1, max_size=9)


@given(TEXTS)
def test_every_token_is_packed_once_and_found_again(texts: list[list[int]]) -> None:
    """Segments of one length each hold all tokens, and the places of a text hold its ids and positions."""
    batch = pack(texts, [[number % 2] * len(text) for number, text in enumerate(texts)])
    assert sum(segment.texts * segment.length for segment in batch.segments) == sum(map(len, texts))
    assert len({segment.length for segment in batch.segments}) == len(batch.segments)
    for number, (text, (start, stop)) in enumerate(zip(texts, batch.places.tolist(), strict=True)):
        assert batch.ids[start:stop].tolist() == text
        assert batch.positions[start:stop].tolist() == list(range(len(text)))
        assert batch.types[start:stop].tolist() == [number % 2] * len(text)
    assert batch.ids[batch.tokens()].tolist() == [token for text in texts for token in text]


@given(TEXTS)
def test_pooling_is_in_the_order_given(texts: list[list[int]]) -> None:
    """First and mean of the states belong to the texts as they were given."""
    batch = pack(texts)
    states = batch.ids.float().unsqueeze(1)
    assert batch.first(states)[:, 0].tolist() == [text[0] for text in texts]
    expected = torch.tensor([sum(text) / len(text) for text in texts])
    torch.testing.assert_close(batch.mean(states)[:, 0], expected)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 100))
def test_batches_by_tokens(lengths: list[int], budget: int) -> None:
    """Every text is in one batch, none is empty, and none of several texts is over the budget."""
    batches = by_tokens(lengths, range(len(lengths)), budget)
    assert [i for batch in batches for i in batch] == list(range(len(lengths)))
    assert all(len(batch) == 1 or sum(lengths[i] for i in batch) <= budget for batch in batches)


@pytest.fixture(
    scope="module",
    params=[
        ("SqueezeBertModel", {}),
        ("SqueezeBertModel", GROUPS),
        ("SqueezeBertModel", dict.fromkeys(GROUPS, 3)),
        ("SqueezeBertModel", {"hidden_act": "gelu_new"}),
        ("BertModel", {"layer_norm_eps": 1e-3}),
    ],
    ids=["groups 4 and 1", "groups of all kinds", "groups 3", "tanh gelu", "bert"],
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture, config = request.param
    path = tmp_path_factory.mktemp("checkpoint")
    make(path, architecture, **config)
    return path


TOKENS = [[2, 5, 6, 3], [2, 3], [2, 7, 8, 9, 10, 3], [2, 9, 9, 3]]
TYPES = [[0, 0, 1, 1], [0, 1], [0] * 6, [0, 0, 0, 1]]


def transformers_states(folder: Path) -> tuple[Any, list[Any]]:
    model = transformers.AutoModel.from_pretrained(folder).eval()
    outputs = [
        model(torch.tensor([text]), token_type_ids=torch.tensor([types]))
        for text, types in zip(TOKENS, TYPES, strict=True)
    ]
    return model, outputs


def test_states_and_pooler_are_transformers_own(folder: Path) -> None:
    """States of every token, with types, and the pooler's output equal transformers'."""
    _, outputs = transformers_states(folder)
    encoder = load_encoder(folder)
    batch = pack(TOKENS, TYPES)
    for states in (encoder(batch), torch.inference_mode()(encoder)(batch)):
        for output, (start, stop) in zip(outputs, batch.places.tolist(), strict=True):
            torch.testing.assert_close(states[start:stop], output.last_hidden_state[0], atol=2e-5, rtol=1e-4)
    pooled = torch.cat([output.pooler_output for output in outputs])
    torch.testing.assert_close(encoder.pool(batch.first(encoder(batch))), pooled, atol=2e-5, rtol=1e-4)


def test_gradients_are_transformers_own(folder: Path) -> None:
    """What training follows is the gradient that transformers has for every weight."""
    model, outputs = transformers_states(folder)
    torch.stack([output.last_hidden_state.square().sum() for output in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    encoder = load_encoder(folder)
    encoder(pack(TOKENS, TYPES)).square().sum().backward()
    expected = dict(model.named_parameters())
    compared = 0
    for name, parameter in encoder.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name].grad, atol=2e-3, rtol=2e-3, msg=name)
            compared += 1
    assert compared == len(expected) - 2  # all but the pooler


def test_bfloat16_is_near(folder: Path) -> None:
    """In bfloat16 the states come out within its precision, and the weights stay float32."""
    encoder = load_encoder(folder)
    batch = pack(TOKENS)
    exact, short = encoder(batch), encoder(batch, torch.bfloat16)
    assert short.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(exact, short.float()).min() > 0.99
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_dropout_changes_training_only_when_asked_for(folder: Path) -> None:
    """Without dropout two passes are equal, with it they differ."""
    encoder, batch = load_encoder(folder), pack(TOKENS)
    assert torch.equal(encoder(batch), encoder(batch))
    assert not torch.equal(encoder(batch, dropout=0.5), encoder(batch, dropout=0.5))


@settings(max_examples=20)
@given(st.sets(st.integers(0, SIZES["vocab_size"] - 1), min_size=1))
def test_a_resized_vocabulary_keeps_its_rows(kept: set[int]) -> None:
    """Old wordpieces have the same embeddings under their new numbers."""
    encoder = new_encoder(Size(hidden=8, layers=1, heads=2, intermediate=16, groups=2), SIZES["vocab_size"])
    before = encoder.word_embeddings.weight.detach().clone()
    rows = sorted(kept)
    encoder.resize_vocabulary(rows)
    assert torch.equal(encoder.word_embeddings.weight, before[rows])
    assert encoder.config.vocab_size == len(rows)
    assert encoder.state_dict()["embeddings.word_embeddings.weight"].shape[0] == len(rows)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_transformers_squeezeberts(name: str) -> None:
    """transformers takes a preset's weights without one missing or left over."""
    encoder = new_encoder(PRESETS[name], 50)
    transformers.SqueezeBertModel(encoder.config).load_state_dict(encoder.state_dict())


def test_sizes_that_do_not_fit() -> None:
    """Heads and groups that do not divide the widths are refused by the option's name."""
    with pytest.raises(TrainingError, match="--heads 5 does not divide a width of 192"):
        Size(heads=5)
    with pytest.raises(TrainingError, match="--groups 5 does not divide a width of 192"):
        Size(groups=5)
