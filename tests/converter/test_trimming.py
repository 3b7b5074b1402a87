"""A smaller vocabulary: which tokens are kept, that texts stay readable, and what a trimmed checkpoint computes."""

from __future__ import annotations

import json
import string
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram

import edge_runtime
from converter import checkpoint, encoder, model_file
from converter.checkpoint.compact import compact
from converter.checkpoint.tokenizer import wordpiece
from converter.checkpoint.trimmed import trim_checkpoint
from converter.cli import main
from converter.errors import CheckpointError, FormatError
from converter.execution import execute
from converter.trimmed_file import trim_file
from converter.trimming import PRINTABLE, count, trim
from edge_runtime.model_file import BUNDLED
from tests.converter.random_checkpoint import make

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = [*string.ascii_lowercase, *"0123456789.,!?'", "é", "中"]
PIECES = ["the", "light", "##s", "##ing", "turn", "turning", "kitchen", "##chen", "off", "on", "one", "##ff"]
VOCABULARY = list(dict.fromkeys([*SPECIAL, *CHARACTERS, *(f"##{c}" for c in CHARACTERS), *PIECES]))
LEAST = len(VOCABULARY) - len(set(PIECES) - {"##s"}) - 1
"""without [unused0] and without pieces of several characters"""

TEXTS = st.lists(
    st.one_of(st.sampled_from(["the", "turning", "lights", "kitchen", "offing"]), st.text(CHARACTERS, max_size=6)),
    max_size=6,
).map(" ".join)


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return wordpiece(path, {"strip_accents": False})


def tokens(definition: str, text: str) -> list[str]:
    return list(Tokenizer.from_str(definition).encode(text).tokens)


def test_most_frequent_are_kept(definition: str) -> None:
    """Special tokens and characters stay, then what occurs most, then what stands first; ids keep their order."""
    counts = count(Tokenizer.from_str(definition), ["off off off kitchen kitchen lights é 中"])
    trimmed, kept = trim(definition, counts, LEAST + 3)
    assert kept == sorted(kept)
    names = [VOCABULARY[old] for old in kept]
    assert [name for name in names if name in PIECES and name != "##s"] == ["light", "kitchen", "off"]
    assert {*SPECIAL} - {*names} == {"[unused0]"}
    assert Tokenizer.from_str(trimmed).get_vocab() == {name: place for place, name in enumerate(names)}
    assert trim(definition, counts, LEAST + 4)[1] == sorted([*kept, VOCABULARY.index("the")])


def test_characters_that_do_not_occur(definition: str) -> None:
    """ASCII stays although no text has it; other characters only where one has."""
    _, kept = trim(definition, Counter(), LEAST - 4)
    names = {VOCABULARY[old] for old in kept}
    assert {"é", "##é", "中", "##中"} & names == set()
    assert {name.removeprefix("##") for name in names if len(name.removeprefix("##")) == 1} <= PRINTABLE
    _, kept = trim(definition, {VOCABULARY.index("##é"): 1}, LEAST - 2)
    assert {"é", "##é"} <= {VOCABULARY[old] for old in kept}


@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS, st.integers(LEAST, len(VOCABULARY) - 1))
def test_texts_are_read_as_before(definition: str, texts: list[str], other: str, size: int) -> None:
    """Where all its pieces are kept a text has the same tokens; and none becomes unknown that was known."""
    counts = count(Tokenizer.from_str(definition), [*texts, "é 中"])
    trimmed, kept = trim(definition, counts, size)
    names = {VOCABULARY[old] for old in kept}
    assert len(kept) == size
    for text in [*texts, other]:
        before, after = tokens(definition, text), tokens(trimmed, text)
        if set(before) <= names:
            assert after == before
        assert ("[UNK]" in after) == ("[UNK]" in before)
        joined = "".join(token.removeprefix("##") for token in after)
        assert joined == "".join(token.removeprefix("##") for token in before)


def test_special_tokens_stand_where_they_stood(definition: str) -> None:
    """What is put around a text, and what fills a batch, has its new ids."""
    whole = Tokenizer.from_str(definition)
    whole.enable_padding(pad_id=0, pad_token="[PAD]", length=8)
    trimmed, kept = trim(whole.to_str(), Counter(), LEAST)
    encoding = Tokenizer.from_str(trimmed).encode("on", "off")
    assert encoding.tokens[:3] == ["[CLS]", "o", "##n"]
    assert [VOCABULARY[kept[new]] for new in encoding.ids] == encoding.tokens
    assert encoding.tokens[-1] == "[SEP]" or set(encoding.tokens[7:]) == {"[PAD]"}


def test_bert_processing(definition: str) -> None:
    """The older way of writing what is put around a text is renumbered, too, also as one step of several."""
    content = json.loads(definition)
    own = {"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 3]}
    content["post_processor"] = {"type": "Sequence", "processors": [own]}
    trimmed, _ = trim(json.dumps(content), Counter(), LEAST)
    assert json.loads(trimmed)["post_processor"]["processors"][0] == {**own, "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}


@pytest.mark.parametrize("model", [BPE(), Unigram([("a", 0.0)])])
def test_other_tokenizers(model: Any) -> None:
    """BPE and Unigram are refused by name: their pieces are made of one another."""
    with pytest.raises(CheckpointError, match=f"only a WordPiece .* of the type {type(model).__name__}"):
        trim(Tokenizer(model).to_str(), Counter(), 5)


def test_sizes_out_of_reach(definition: str) -> None:
    """A size below what has to be kept is told with the least one; one that is no trimming is refused."""
    counts = count(Tokenizer.from_str(definition), ["é 中"])
    with pytest.raises(CheckpointError, match=f"no room for .* give {LEAST} or more"):
        trim(definition, counts, LEAST - 1)
    with pytest.raises(CheckpointError, match=f"has {len(VOCABULARY)} tokens already"):
        trim(definition, counts, len(VOCABULARY))


TEXT = "turn the light off"
KEPT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "turn", "off", "the", "light", "##s", ",", "e"]


@pytest.mark.parametrize("architecture", ["SqueezeBertForMaskedLM", "BertForMaskedLM", "BertModel"])
def test_trimmed_checkpoint(tmp_path: Path, architecture: str) -> None:
    """A trimmed checkpoint gives, for a text whose pieces are kept, what the whole one gives, to the bit."""
    make(tmp_path / "whole", architecture)
    done = trim_checkpoint(tmp_path / "whole", tmp_path / "small", len(KEPT), [TEXT])
    assert (done.vocabulary_before, done.vocabulary) == (15, len(KEPT))
    assert done.tokens == done.tokens_before == 4
    outputs = {}
    for name in ("whole", "small"):
        network = checkpoint.read(tmp_path / name)
        ids = Tokenizer.from_str(network.tokenizer).encode(TEXT).ids
        inputs = {"ids": np.array([ids], np.int32), "positions": np.arange(len(ids), dtype=np.int32)[None]}
        (head,) = network.heads
        outputs[name] = execute(encoder.build(network), inputs)[head.name]
    assert done.parameters == done.parameters_before - (15 - len(KEPT)) * (24 if architecture == "BertModel" else 25)
    vocabulary = Tokenizer.from_str(checkpoint.read(tmp_path / "small").tokenizer).get_vocab()
    assert sorted(vocabulary, key=lambda token: vocabulary[token]) == KEPT
    expected = outputs["whole"]
    if architecture != "BertModel":
        words = Tokenizer.from_str(checkpoint.read(tmp_path / "whole").tokenizer)
        expected = expected[..., [words.get_vocab()[token] for token in KEPT]]
    np.testing.assert_array_equal(outputs["small"], expected)


def test_trim_command(tmp_path: Path) -> None:
    """`edge-converter trim` takes lines and labelled data, and an eight-bit checkpoint, and says what came of it."""
    make(tmp_path / "whole", "BertModel", pad_token_id=0)
    compact(tmp_path / "whole", tmp_path / "whole8")
    (tmp_path / "lines.txt").write_text("turn the light off\n", encoding="utf-8")
    (tmp_path / "reviews.tsv").write_text("text\tlabel\nthe light\tgood\n", encoding="utf-8")
    sources = ["--texts", str(tmp_path / "lines.txt"), "--texts", str(tmp_path / "reviews.tsv")]
    arguments = ["trim", str(tmp_path / "whole8"), "-o", str(tmp_path / "small"), "--size", "11", *sources]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 0, run.output
    assert "15 → 11 tokens" in run.output
    assert json.loads((tmp_path / "small/config.json").read_text(encoding="utf-8"))["vocab_size"] == 11
    assert len(checkpoint.read(tmp_path / "small").encoder.word_embeddings) == 11
    described = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert described["texts"] == 2 and described["tokens_before"] == 6


def test_trim_command_onto_itself(tmp_path: Path) -> None:
    """The checkpoint is not overwritten by its own trimming."""
    make(tmp_path, "BertModel")
    (tmp_path / "lines.txt").write_text("turn\n", encoding="utf-8")
    arguments = ["trim", str(tmp_path), "-o", str(tmp_path), "--size", "11", "--texts", str(tmp_path / "lines.txt")]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 1
    assert "is the checkpoint itself" in run.output


KITCHEN = "turn off the kitchen lights in ten minutes"


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smaller")
    texts = folder / "texts.txt"
    texts.write_text(f"{KITCHEN}\n" * 3, encoding="utf-8")
    path = folder / "assistant.tflite"
    outcome = CliRunner().invoke(
        main, ["trim", str(BUNDLED / "assistant.tflite"), "-o", str(path), "--size", "3000", "--texts", str(texts)]
    )
    assert outcome.exit_code == 0, outcome.output
    return path


def test_model_file_says_the_same_in_fewer_bytes(smaller: Path) -> None:
    """Of a text whose wordpieces were kept all outputs are the same, to the bit; any other text can still be read."""
    whole, trimmed = edge_runtime.load("assistant"), edge_runtime.load(smaller)
    assert smaller.stat().st_size < (BUNDLED / "assistant.tflite").stat().st_size
    before, after = (model.run(model.encode(KITCHEN).ids) for model in (whole, trimmed))
    assert before.keys() == after.keys()
    for name, logits in before.items():
        np.testing.assert_array_equal(logits, after[name])
    rare = trimmed.encode("play tchaikovsky in the conservatory")
    assert len(rare.ids) > len(whole.encode("play tchaikovsky in the conservatory").ids)
    assert max(rare.ids) < 3000


def test_trimmed_model_file_says_what_it_is(smaller: Path) -> None:
    """Manifest and card have the new sizes, and all that the card said beside them."""
    old, new = (model_file.read(path)[1] for path in (BUNDLED / "assistant.tflite", smaller))
    before, after = (json.loads(entries[model_file.MANIFEST]) for entries in (old, new))
    gone = before["architecture"]["vocabulary"] - 3000
    assert after["architecture"]["vocabulary"] == 3000
    assert (
        after["architecture"]["parameters"]
        == before["architecture"]["parameters"] - gone * before["architecture"]["hidden_size"]
    )
    assert after["heads"] == before["heads"]
    assert "3,000 wordpieces" in new[model_file.CARD].split("## ")[0]
    assert "Trimmed from" in new[model_file.CARD].split("## ")[0]
    assert new[model_file.CARD].partition("## ")[2] == old[model_file.CARD].partition("## ")[2]


def test_a_foreign_file_is_not_trimmed(tmp_path: Path) -> None:
    """A TFLite file without a tokenizer is refused, and one whose vocabulary is small enough already."""
    content, _ = model_file.read(BUNDLED / "assistant.tflite")
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(content)
    with pytest.raises(FormatError, match="not made by edge-converter"):
        trim_file(foreign, tmp_path / "out.tflite", 3000, [KITCHEN])
    with pytest.raises(CheckpointError, match="tokens already; 40000 is not fewer"):
        trim_file(BUNDLED / "assistant.tflite", tmp_path / "out.tflite", 40000, [KITCHEN])
    with pytest.raises(CheckpointError, match="empty"):
        trim_file(BUNDLED / "assistant.tflite", tmp_path / "out.tflite", 3000, [])
    assert not (tmp_path / "out.tflite").exists()
