"""What the recipes of the bundled models are made of besides commands."""

from __future__ import annotations

import json
import lzma
import random
from itertools import product
from pathlib import Path

import pytest

import edge_runtime
from converter.recipes import names, size, sizes

SIZES = Path(__file__).parents[2] / "docs/models/sizes.json"


def test_sentences_are_split_and_words_stand_apart() -> None:
    """Marks are words of their own, apostrophes within a word are not, and what is too short or long is left out."""
    text = "So, who's here, isn't he? In 1973 Paris (France) met Rome. No. " + "word " * 41 + "."
    assert list(names.split([text])) == ["So , who's here , isn't he ?", "In 1973 Paris ( France ) met Rome ."]


def test_all_kinds_are_drawn_and_tags_left_behind(tmp_path: Path) -> None:
    """Each kind gives what it has, once, in an order that the seed alone decides."""
    sentence = "The {} went to the {} market yesterday ."
    article = {"paragraphs": [{"context": "Ada met Charles in London that day. Ada met Charles in London that day."}]}
    files = {
        "squad/train-v1.1.json": json.dumps({"data": [article]}),
        "wnut17/train/wnut17train.conll": "Off O\nto O\nLisbon B-location\ntomorrow O\nmorning O\n\nHi O\n\n",
        "stsb/train.tsv": "header\n" + "\t".join([*"1234567", "A man eats a pear.", "A man is eating pears.", "4.0"]),
    }
    for place, content in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(content, encoding="utf-8")
    (tmp_path / "text").mkdir()
    for name in names.KINDS:
        with lzma.open(tmp_path / f"text/{name}.txt.xz", "wt", encoding="utf-8") as file:
            file.write(sentence.format(name, "old") + "\n" + sentence.format(name, "new") + "\n")
    found = names.collect(tmp_path, random.Random(1))
    assert sorted(found) == sorted(
        [
            "Ada met Charles in London that day .",
            "Off to Lisbon tomorrow morning",
            "A man eats a pear .",
            "A man is eating pears .",
            *(sentence.format(name, age) for name in names.KINDS for age in ("old", "new")),
        ]
    )
    assert found == names.collect(tmp_path, random.Random(1)) != sorted(found)


def test_sizes(tmp_path: Path) -> None:
    """The figures that are published make a table, cheapest first, and a picture."""
    points = sizes.read(SIZES)
    costs = [each.million_instructions for each in points]
    assert costs == sorted(costs) and len(points) > 2
    lines = sizes.table(points).splitlines()
    assert len(lines) == 2 + len(points)
    assert lines[2].startswith(f"| `{points[0].name}` ")
    sizes.draw(points, tmp_path / "sizes.svg")
    assert (tmp_path / "sizes.svg").read_text(encoding="utf-8").count("<svg") == 1


def test_a_size_is_measured(tmp_path: Path) -> None:
    """Cost comes from the counts; of three commands one has another intent than the model says, one another slot."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "seq.in").write_text("turn off the kitchen lights\nwake me up at seven\nplay some jazz\n")
    (data / "seq.out").write_text("O O O B-house_place O\nO O O O B-time\nO B-music_genre O\n")
    (data / "label").write_text("iot_hue_lightoff\nalarm_set\nweather_query\n")
    rows = [
        {"core": core, "length": length, "instructions": (1 + place) * 1_000_000}
        for place, (core, length) in enumerate(product(("cortex-a53", "cortex-a72"), (16, 128)))
    ]
    (tmp_path / "counts.json").write_text(json.dumps(rows))
    file = Path(edge_runtime.__file__).parent / "models" / "assistant.tflite"
    found = size.measure("base", file, tmp_path / "counts.json", data, data)
    assert (found.layers, found.width, found.million_instructions) == (6, 384, 3.0)
    assert found.megabytes == round(file.stat().st_size / 1e6, 2)
    assert found.hwu64_intents == found.snips_intents == 0.667
    assert found.hwu64_slots == found.snips_slots == 0.667


def test_sizes_with_an_unknown_field(tmp_path: Path) -> None:
    """A figure that nobody knows is an error."""
    wrong = [{**json.loads(SIZES.read_text(encoding="utf-8"))[0], "speed": 1}]
    (tmp_path / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(TypeError, match="speed"):
        sizes.read(tmp_path / "wrong.json")
