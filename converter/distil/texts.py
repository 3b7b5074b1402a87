"""Plain text for distillation: files of one sentence or paragraph a line, drawn so that no large file rules."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from converter.data_sets import guess_task, read, source_name, texts_of
from converter.errors import TrainingError

_OPEN: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
SHARE_EXPONENT = 0.5
"""a source's share goes by its length to this power: between equal shares and shares by size, as multilingual models
sample their languages"""
SHORTEST = 3
"""words of a line worth learning from"""

SHORTEST_PIECE = 16
"""tokens, where a long line is cut"""


@dataclass(frozen=True)
class Source:
    """The lines of one file."""

    name: str
    lines: tuple[str, ...]

    @cached_property
    def characters(self) -> int:
        return sum(map(len, self.lines))


def read_sources(paths: Sequence[Path], data: Sequence[Path] = ()) -> list[Source]:
    """Files of text, and the texts of labelled data.

    Args:
        paths: plain or compressed (.xz, .gz, .bz2) files; of a folder all files that end in .txt or in these.
        data: whatever `converter.data_sets` reads.

    Raises:
        TrainingError: a file cannot be read, is not UTF-8, or has no line of `SHORTEST` words.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix in (".txt", *_OPEN) and p.is_file())
            if not inside:
                raise TrainingError(f"{path} holds no .txt, .xz, .gz or .bz2 file")
            files += inside
        else:
            files.append(path)
    return [*(_read(path) for path in files), *(_texts(path) for path in data)]


def _read(path: Path) -> Source:
    try:
        with _OPEN.get(path.suffix, open)(path, "rb") as file:
            content = file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path} is not UTF-8 (byte {error.start})") from error
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error
    return _source(path, path.name, content.split("\n"))


def _texts(path: Path) -> Source:
    task = guess_task(path)
    if task is None:
        raise TrainingError(f"{path} does not say what its labels are for; give its texts as a .txt file")
    texts = (text for example in read(path, task).examples for text in texts_of(example))
    return _source(path, source_name(path), dict.fromkeys(" ".join(text.split()) for text in texts))


def _source(path: Path, name: str, texts: Iterable[str]) -> Source:
    lines = tuple(line for text in texts if len((line := text.strip()).split()) >= SHORTEST)
    if not lines:
        raise TrainingError(f"{path} has no line of {SHORTEST} words or more")
    return Source(name, lines)


def draw(sources: Sequence[Source], generator: random.Random) -> Iterator[str]:
    """Lines in an endless stream, each drawn anew from all."""
    # A share is one of characters, so sources of long lines are drawn from less often.
    chances = [source.characters**SHARE_EXPONENT * len(source.lines) / source.characters for source in sources]
    while True:
        (source,) = generator.choices(sources, chances)
        yield generator.choice(source.lines)


def sequences(
    lines: Iterator[str], tokenizer: Any, longest: int, generator: random.Random, batch: int = 512
) -> Iterator[list[int]]:
    """Token ids with special tokens, at most `longest` a sequence.

    A line that is longer is cut in pieces of random lengths, so that every length up to the longest is met.
    """
    before, after = special_tokens(tokenizer)
    room = longest - len(before) - len(after)
    shortest = min(SHORTEST_PIECE, room)
    while True:
        texts = [next(lines) for _ in range(batch)]
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            ids = encoding.ids
            while ids:
                length = len(ids) if len(ids) <= room else generator.randint(shortest, room)
                yield [*before, *ids[:length], *after]
                ids = ids[length:]


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    encoding = tokenizer.encode("a")
    places = [i for i, own in enumerate(encoding.special_tokens_mask) if not own]
    return list(encoding.ids[: places[0]]), list(encoding.ids[places[-1] + 1 :])
