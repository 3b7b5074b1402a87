"""Labelled data: every format as it lies in public data sets, and errors that say what to do."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.data_sets import (
    Labelled,
    LabelMap,
    Question,
    Similar,
    Span,
    Spoken,
    Tagged,
    Task,
    guess_task,
    read,
    read_label_map,
    read_texts,
)
from converter.data_sets.bio import bio, spans
from converter.errors import TrainingError


def folder(path: Path, **files: str) -> Path:
    """A data folder; file names with a full stop are given with an underscore."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("_", ".")).write_bytes(content.encode())
    return path


def file(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


# -- folders


def test_folder_with_slots(tmp_path: Path) -> None:
    """Words, tags and labels are read line by line; odd spaces, also non-breaking ones, only part words."""
    data = folder(
        tmp_path / "home/train",
        seq_in="turn  on the light \nplay jazz\u00a0now\r\n",
        seq_out="O O O B-device \r\nO I-genre O\n",
        label="light_on\n play \n",
    )
    assert guess_task(data) == "understand"
    found = read(data, "understand")
    assert found.name == "home/train"
    assert found.examples == (
        Spoken(("turn", "on", "the", "light"), "light_on", ("O", "O", "O", "B-device")),
        Spoken(("play", "jazz", "now"), "play", ("O", "B-genre", "O")),
    )
    assert read(data, "classify").examples[1] == Labelled("play jazz now", "play")
    assert read(data, "tag").examples[0] == Tagged(("turn", "on", "the", "light"), ("O", "O", "O", "B-device"))


def test_folder_without_slots(tmp_path: Path) -> None:
    """A folder without seq.out has texts and labels, and says nothing about slots; only a line feed ends a line."""
    data = folder(tmp_path, seq_in="a\u2028b\nc\u0085d\n", label="x\ny\n")
    assert guess_task(data) == "classify"
    assert read(data, "understand").examples == (Spoken(("a", "b"), "x"), Spoken(("c", "d"), "y"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"seq_in": "a\nb\n", "label": "x\n"}, r"unequal length \(lines: seq.in 2, label 1\); label ends after line 1"),
        ({"seq_in": "a\n\nc\n", "label": "x\ny\nz\n"}, "seq.in: line 2 is empty"),
        ({"seq_in": "a\nb\n", "label": "x\n \n"}, "label: line 2 is empty"),
        ({"seq_in": "a b\n", "label": "x\n", "seq_out": "O\n"}, "seq.out: line 1 has 1 tags for 2 words"),
        ({"seq_in": "a\n", "label": "x\n", "seq_out": "city\n"}, "seq.out: line 1: 'city' is not O"),
        ({"seq_in": "a\n"}, "cannot read .*label: No such file"),
        ({"label": "a\n"}, "has no seq.in"),
    ],
)
def test_broken_folders(tmp_path: Path, files: dict[str, str], message: str) -> None:
    """What does not fit together is told with file and line."""
    with pytest.raises(TrainingError, match=message):
        read(folder(tmp_path / "broken", **files), "understand")


# -- tables


def test_sst2(tmp_path: Path) -> None:
    """GLUE's layout: a header, quotes that are text, spaces at the end."""
    data = file(tmp_path / "train.tsv", 'sentence\tlabel\nso "good \t1\nrather bad\t0\r\n')
    assert guess_task(data) == "classify"
    assert read(data, "classify").examples == (Labelled('so "good', "1"), Labelled("rather bad", "0"))


def test_stsb(tmp_path: Path) -> None:
    """Ten columns of which three are known, quotes that are text."""
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    row = '0\tnews\tMSRvid\t2012\t0001\tnone\tnone\t"A plane takes off.\tA plane is taking off."\t4.750\n'
    data = file(tmp_path / "train.tsv", header + row)
    assert guess_task(data) == "embed"
    assert read(data, "embed").examples == (Similar('"A plane takes off.', 'A plane is taking off."', 4.75),)


def test_banking77(tmp_path: Path) -> None:
    """A CSV with quoted commas, quotes and line ends, and a label called category."""
    data = file(tmp_path / "train.csv", 'text,category\n"Where, ""my"" card,\nis it?",card_arrival\nHi,greet\n')
    assert guess_task(data) == "classify"
    assert read(data, "classify").examples[0] == Labelled('Where, "my" card,\nis it?', "card_arrival")
    assert read(data, "understand").examples[1] == Spoken(("Hi",), "greet")


def test_pairs_with_labels(tmp_path: Path) -> None:
    """Pairs are for classify where they have labels; for embed a label may be the score; understand takes none."""
    data = file(tmp_path / "pairs.tsv", "Premise\tHypothesis\tLabel\na b\tc\t3\n")
    assert guess_task(data) == "classify"
    assert read(data, "classify").examples == (Labelled("a b", "3", "c"),)
    assert read(data, "embed").examples == (Similar("a b", "c", 3.0),)
    with pytest.raises(TrainingError, match="pairs of texts, but understand takes single ones"):
        read(data, "understand")


def test_table_without_names(tmp_path: Path) -> None:
    """Two columns without names are text and label, whatever the file is called; carriage returns are spaces."""
    data = file(tmp_path / "reviews.txt", "not\rgood\tbad\n\nnot\u2028bad\tgood\n")
    assert guess_task(data) is None
    assert read(data, "classify").examples == (Labelled("not good", "bad"), Labelled("not\u2028bad", "good"))


FIELDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=5))
def test_csv_of_any_content(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    """What is written as RFC 4180 has it, every field in quotes, is read as it was."""
    quoted = [",".join('"' + field.replace('"', '""') + '"' for field in row) for row in [("text", "label"), *rows]]
    data = file(tmp_path_factory.mktemp("csv") / "any.csv", "\n".join(quoted) + "\n")
    found = [(example.text, example.label) for example in read(data, "classify").examples]
    expected = [(text.replace("\r\n", "\n").strip(), label.replace("\r\n", "\n").strip()) for text, label in rows]
    assert found == expected


@pytest.mark.parametrize(
    ("name", "content", "task", "message"),
    [
        ("a.tsv", "text\tlabel\nx\ty\nonly\n", "classify", "line 3 has one column, the first line has 2; .* one tab"),
        ("a.csv", "text,label\nx,y\na,b,c\n", "classify", "line 3 has 3 columns, the first line has 2$"),
        ("a.tsv", "utterance\tintent\nx\ty\n", "classify", "does not name a text .* known names are text: text, sent"),
        ("a.csv", "a,b,c\nx,y,z\n", "classify", "first line has 3 columns parted by commas"),
        ("a.tsv", "text\tlabel\nx\ty\n", "embed", "has no pair and no score, which embed needs; known names are"),
        ("a.tsv", "text\tpair\tscore\nx\ty\thigh\n", "embed", "line 2: the score 'high' is not a number"),
        ("a.tsv", "text\tpair\tscore\nx\ty\tnan\n", "embed", "line 2: the score 'nan' is not a number"),
        ("a.tsv", "text\tlabel\nx\t \n", "classify", "line 2: the label is empty"),
        ("a.tsv", "text\tlabel\n", "classify", "column names and no line below"),
        ("a.tsv", " \n", "classify", "is empty"),
        ("a.csv", 'text,label\n"x,y\n', "classify", "line 2: unexpected end of data"),
        ("a.tsv", "text\tlabel\nx\ty\n", "tag", "is a table, which tag cannot be read from"),
    ],
)
def test_broken_tables(tmp_path: Path, name: str, content: str, task: Task, message: str) -> None:
    """What a table lacks is told with its line, and with the names that are known."""
    with pytest.raises(TrainingError, match=message):
        read(file(tmp_path / name, content), task)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, bytes that are not UTF-8 and a damaged archive are told as such."""
    with pytest.raises(TrainingError, match="does not exist; give a folder"):
        read(tmp_path / "nothing.tsv", "classify")
    (tmp_path / "latin.tsv").write_bytes(b"text\tlabel\ncaf\xe9\tx\n")
    with pytest.raises(TrainingError, match="line 2 is not UTF-8"):
        read(tmp_path / "latin.tsv", "classify")
    (tmp_path / "lines.xz").write_bytes(b"no archive")
    with pytest.raises(TrainingError, match="cannot be unpacked"):
        read_texts(tmp_path / "lines.xz")


# -- entities


def test_conll_with_tabs(tmp_path: Path) -> None:
    """Two columns; the word # and hashtags are words, words that were lost are left out, spaces part words."""
    content = "#\tO\n#MH17\tB-ORG\nu R\tI-ORG\n \tO\n\tO\n\nLondon\tB-LOC\n\n\n"
    data = file(tmp_path / "a.conll", content)
    assert guess_task(data) == "tag"
    assert read(data, "tag").examples == (
        Tagged(("#", "#MH17", "u", "R"), ("O", "B-ORG", "I-ORG", "I-ORG")),
        Tagged(("London",), ("B-LOC",)),
    )


def test_conll_2003(tmp_path: Path) -> None:
    """Four columns parted by spaces, IOB1, marks between documents: the last column is turned into BIO."""
    content = (
        "-DOCSTART- -X- -X- O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\nUN NNP I-NP I-ORG\nWHO NNP B-NP B-ORG\n\n"
        "-DOCSTART- -X- -X- O\n\nBonn NNP I-NP I-LOC\nRhine NNP I-NP I-MISC\n"
    )
    assert read(file(tmp_path / "train.txt", content), "tag").examples == (
        Tagged(("EU", "rejects", "UN", "WHO"), ("B-ORG", "O", "B-ORG", "B-ORG")),
        Tagged(("Bonn", "Rhine"), ("B-LOC", "B-MISC")),
    )


def test_universal_ner(tmp_path: Path) -> None:
    """Five columns: number, word, tag, further ones; comments before a sentence, and # as a word."""
    content = (
        "# sent_id = weblog-1\n# text = Al # O\n1\tAl\tB-PER\t-\tann\n2\t#\tO\t-\tann\n3\tO\tO\t-\tann\n\n"
        "# sent_id = weblog-2\n# text = B-52\n1\tHi\tO\t-\tann\n"
    )
    assert read(file(tmp_path / "dev.iob2", content), "tag").examples == (
        Tagged(("Al", "#", "O"), ("B-PER", "O", "O")),
        Tagged(("Hi",), ("O",)),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tO\nb\tO\tO\n", "line 2 has 3 columns, the lines before it 2"),
        ("a O\nb O\n\nc city\n", "line 4: 'city' is not O, B-type or I-type"),
        ("a\nb\n", "line 1 has one column; a word and its tag are expected"),
        ("# only a comment\n\n", "holds no words"),
    ],
)
def test_broken_conll(tmp_path: Path, content: str, message: str) -> None:
    """Lines that do not fit the others are told by number."""
    with pytest.raises(TrainingError, match=message):
        read(file(tmp_path / "a.conll", content), "tag")


ENTITY = st.tuples(st.sampled_from(["PER", "LOC"]), st.integers(1, 3))
SENTENCE = st.lists(st.one_of(st.none(), ENTITY), max_size=6)


@given(SENTENCE)
def test_schemes_become_bio(sentence: list[tuple[str, int] | None]) -> None:
    """IOB1, BIOES and BILOU of the same entities give the same BIO, and BIO stays."""
    schemes: dict[str, list[str]] = {name: [] for name in ("BIO", "IOB1", "BIOES", "BILOU")}
    before: str | None = None
    for entity in sentence:
        if entity is None:
            for tags in schemes.values():
                tags.append("O")
            before = None
            continue
        kind, length = entity
        inside = [f"I-{kind}"] * (length - 1)
        schemes["BIO"] += [f"B-{kind}", *inside]
        schemes["IOB1"] += [f"{'B' if before == kind else 'I'}-{kind}", *inside]
        for name, last, single in (("BIOES", "E", "S"), ("BILOU", "L", "U")):
            schemes[name] += [f"{single}-{kind}"] if length == 1 else [f"B-{kind}", *inside[1:], f"{last}-{kind}"]
        before = kind
    assert {bio(tags) for tags in schemes.values()} == {tuple(schemes["BIO"])}
    assert [kind for kind, _, _ in spans(schemes["BIO"])] == [entity[0] for entity in sentence if entity]


# -- questions


def squad(tmp_path: Path, answers: list[dict[str, Any]], version: str = "v1.1") -> Path:
    question = {"id": "q1", "question": "When?", "answers": answers, "is_impossible": not answers}
    paragraph = {"context": "In 1973 and again in 1973.", "qas": [question]}
    return file(
        tmp_path / "squad.json", json.dumps({"version": version, "data": [{"title": "t", "paragraphs": [paragraph]}]})
    )


def test_squad(tmp_path: Path) -> None:
    """Answers where they stand; one whose start is off at the nearest occurrence; none in v2.0."""
    data = squad(tmp_path, [{"text": "1973", "answer_start": 3}, {"text": "1973", "answer_start": 19}])
    assert guess_task(data) == "answer"
    (example,) = read(data, "answer").examples
    assert example == Question("q1", "When?", "In 1973 and again in 1973.", (Span(3, "1973"), Span(21, "1973")))
    assert read(squad(tmp_path, [{"text": "1973"}]), "answer").examples[0].answers == (Span(3, "1973"),)
    assert read(squad(tmp_path, [], "v2.0"), "answer").examples[0].answers == ()


def test_broken_squad(tmp_path: Path) -> None:
    """An answer that is not in its context is told with the question's id; other JSON is told what was expected."""
    with pytest.raises(TrainingError, match="question q1: the answer '1974' does not stand in its context"):
        read(squad(tmp_path, [{"text": "1974", "answer_start": 3}]), "answer")
    with pytest.raises(TrainingError, match="question q1 has an answer without text"):
        read(squad(tmp_path, [{"answer_start": 3}]), "answer")
    with pytest.raises(TrainingError, match="has no list 'paragraphs'; is it SQuAD's JSON"):
        read(file(tmp_path / "other.json", '{"data": [{}]}'), "answer")
    with pytest.raises(TrainingError, match=r"holds questions .* which classify cannot be read from"):
        read(squad(tmp_path, []), "classify")


# -- JSON lines


@pytest.mark.parametrize(
    ("record", "task", "example"),
    [
        ({"text": "great", "label": "good", "id": 7}, "classify", Labelled("great", "good")),
        ({"premise": "a", "hypothesis": "b", "label": 2}, "classify", Labelled("a", "2", "b")),
        ({"sentence1": "a", "sentence2": "b", "score": 3.5}, "embed", Similar("a", "b", 3.5)),
        ({"words": ["in", "Bonn"], "tags": ["O", "I-LOC"]}, "tag", Tagged(("in", "Bonn"), ("O", "B-LOC"))),
        (
            {"tokens": ["at", "six"], "tags": ["O", "B-time"], "intent": "wake"},
            "understand",
            Spoken(("at", "six"), "wake", ("O", "B-time")),
        ),
        (
            {"id": "1", "question": "When?", "context": "In 1973.", "answers": {"text": ["1973"], "answer_start": [3]}},
            "answer",
            Question("1", "When?", "In 1973.", (Span(3, "1973"),)),
        ),
        (
            {"id": 2, "question": "Who?", "context": "In 1973.", "answers": []},
            "answer",
            Question("2", "Who?", "In 1973.", ()),
        ),
    ],
)
def test_json_lines(tmp_path: Path, record: dict[str, Any], task: Task, example: object) -> None:
    """An object's fields say what it is for, and what it holds is read; empty lines part nothing."""
    data = file(tmp_path / "a.jsonl", json.dumps(record) + "\n\n" + json.dumps(record) + "\n")
    assert guess_task(data) == task
    assert read(data, task).examples == (example, example)


@pytest.mark.parametrize(
    ("line", "task", "message"),
    [
        ("{", "classify", "line 2 is not JSON"),
        ("[1]", "classify", "line 2 is not a JSON object"),
        ('{"text": "a"}', "classify", "line 2 has no label, which classify needs"),
        ('{"words": ["a", "b"], "tags": ["O"]}', "tag", "line 2 has 2 words and 1 tags"),
        ('{"words": ["a"], "ner_tags": [3]}', "tag", "line 2: tags must be a list of strings"),
        ('{"words": ["a b"], "tags": ["O"]}', "tag", "line 2: the word 'a b' is empty or holds white space"),
        ('{"words": ["a"], "tags": ["PER"]}', "tag", "line 2: 'PER' is not O, B-type or I-type"),
        ('{"question": "a", "context": "b"}', "answer", r"line 2 has no answers; give \[\] where"),
    ],
)
def test_broken_json_lines(tmp_path: Path, line: str, task: Task, message: str) -> None:
    """A line that cannot be used is told by number."""
    good: dict[Task, str] = {
        "classify": '{"text": "a", "label": "b"}',
        "tag": '{"words": ["a"], "tags": ["O"]}',
        "answer": '{"question": "a", "context": "b", "answers": []}',
    }
    with pytest.raises(TrainingError, match=message):
        read(file(tmp_path / "a.jsonl", f"{good[task]}\n{line}\n"), task)


# -- names, texts


def test_label_map(tmp_path: Path) -> None:
    """Labels and types get other names; null drops a type, * all that are not named."""
    content = {"intents": {"Play": "play_music"}, "slots": {"person": "PER", "city": "PER", "*": None}}
    names = read_label_map(file(tmp_path / "names.json", json.dumps(content)))
    assert names.tags(("B-person", "I-person", "B-product", "I-product", "O", "B-city")) == (
        "B-PER", "I-PER", "O", "O", "O", "B-PER",
    )  # fmt: skip
    data = read(file(tmp_path / "a.tsv", "text\tlabel\nx\tPlay\ny\tother\n"), "classify")
    assert [example.label for example in names.apply(data).examples] == ["play_music", "other"]
    assert LabelMap().apply(data) == data
    assert LabelMap(slots={"a": None}).tags(("B-a", "B-b")) == ("O", "B-b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ('{"labels": {}}', 'must hold an object with "intents" and "slots"'),
        ('{"intents": {"a": null}}', "intents must map names to names$"),
        ('{"slots": {"a": 3}}', "slots must map names to names or to null"),
    ],
)
def test_broken_label_maps(tmp_path: Path, content: str, message: str) -> None:
    """A file of names that cannot be used is told what it should hold."""
    with pytest.raises(TrainingError, match=message):
        read_label_map(file(tmp_path / "names.json", content))


def test_texts_alone(tmp_path: Path) -> None:
    """Lines are texts, packed or not; of data every text is one, those of a pair both, only once each."""
    lines = "one  text\n\nanother\u2028text\n"
    assert read_texts(file(tmp_path / "a.txt", lines)) == ("one text", "another text")
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(lines.encode()))
    assert read_texts(tmp_path / "a.txt.xz") == ("one text", "another text")
    pairs = file(tmp_path / "a.tsv", "sentence1\tsentence2\tscore\na\tb\t1\nb\tc\t2\n")
    assert read_texts(pairs) == ("a", "b", "c")


def test_texts_with_labels(tmp_path: Path) -> None:
    """Of labelled data only the texts with certain labels may be taken; none at all is an error."""
    data = folder(tmp_path / "d", seq_in="a\nb\n", label="x\noos\n")
    assert read_texts(data, ["oos"]) == ("b",)
    with pytest.raises(TrainingError, match="no text with one of the out-of-scope labels"):
        read_texts(data, ["other"])
