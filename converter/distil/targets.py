"""What the teacher makes of the texts: its states at chosen layers, computed once and kept on disk.

One folder serves any number of students and passes over the texts. It holds shards of some ten thousand tokens,
each written aside and renamed, so that a reader never sees half of one, and `targets.json`, which says whose they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converter.distil.texts import Source, draw, sequences
from converter.errors import TrainingError

if TYPE_CHECKING:
    from converter.train.encoder import Encoder

DESCRIPTION = "targets.json"
SHARD_TOKENS = 2**16
"""75 MB at three layers of 384 channels"""
TEACHER_TOKENS = 4096
"""of one pass of the teacher"""
STEPS = 127
RANGE = 8.0
"""standard deviations that int8 spans: steps of a sixteenth of one, whose error is 0.03 % of the variance"""


@dataclass(frozen=True)
class Description:
    """What the targets of a folder depend on."""

    teacher: str
    """digest of its configuration, weights and tokenizer"""
    sources: dict[str, str]
    """digests of the texts by name"""
    layers: tuple[int, ...]
    """behind which states were taken; 0 is in front of the first"""
    longest: int
    seed: int
    shards: int
    """the first of them for validation"""
    shard_tokens: int
    """at least so many in each"""


@dataclass(frozen=True)
class Shard:
    """Texts and the teacher's states for them."""

    lengths: NDArray[np.uint16]
    """[texts]"""
    ids: NDArray[np.uint16] | NDArray[np.uint32]
    """[tokens], text after text"""
    states: NDArray[np.int8]
    """[layers, tokens, width], in steps of `scales`"""

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.lengths[:-1], dtype=np.int64)])


@dataclass(frozen=True)
class Statistics:
    """Of the teacher's states, from the first shard."""

    means: NDArray[np.float32]
    """[layers, width]"""
    deviations: NDArray[np.float32]
    """[layers, width]"""

    def encode(self, layer: int, states: NDArray[np.float32]) -> NDArray[np.int8]:
        steps = np.rint((states - self.means[layer]) * (STEPS / RANGE / self.deviations[layer]))
        coded: NDArray[np.int8] = np.clip(steps, -STEPS, STEPS).astype(np.int8)
        return coded

    def scales(self, layer: int) -> NDArray[np.float32]:
        scales: NDArray[np.float32] = self.deviations[layer] * np.float32(RANGE / STEPS)
        return scales


def digest(*paths: Path) -> str:
    """SHA-256 over the files' contents."""
    result = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                result.update(block)
    return result.hexdigest()


def describe(
    teacher: Path, sources: Sequence[Source], layers: Sequence[int], longest: int, seed: int, unique: int
) -> Description:
    """What targets of `unique` tokens will depend on."""
    weights = sorted(p for p in teacher.iterdir() if p.suffix in (".safetensors", ".bin"))
    named = [p for name in ("config.json", "tokenizer.json", "vocab.txt") if (p := teacher / name).is_file()]
    each = {s.name: hashlib.sha256("\n".join(s.lines).encode()).hexdigest()[:16] for s in sources}
    size = min(SHARD_TOKENS, unique)
    shards = 1 + -(-unique // size)
    return Description(digest(*named, *weights)[:16], each, tuple(layers), longest, seed, shards, size)


def prepare(folder: Path, description: Description) -> None:
    """Makes the folder, or checks that what it holds was made from the same.

    Raises:
        TrainingError: it holds targets of another teacher, other texts or settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / DESCRIPTION
    wanted = json.loads(json.dumps(asdict(description)))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in wanted if found.get(name) != wanted[name] and name != "shards")
        if other:
            raise TrainingError(
                f"{folder} holds a teacher's states for other settings ({', '.join(other)}); give another --targets"
            )
        if found["shards"] >= wanted["shards"]:
            return
    _write(path, lambda file: file.write(json.dumps(wanted, indent=2).encode() + b"\n"))


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.npz"


def produce(
    folder: Path, teacher: Encoder, tokenizer: Any, sources: Sequence[Source], description: Description, dtype: Any
) -> None:
    """Computes the shards that are missing, in order.

    The texts of a shard depend on its number and the seed alone, so that a run may be ended at any time and go on.
    """
    for number in range(description.shards):
        if shard_path(folder, number).exists():
            continue
        generator = random.Random(f"{description.seed}/{number}")  # noqa: S311 (a repeatable sample, no secret)
        stream = sequences(draw(sources, generator), tokenizer, description.longest, generator)
        texts: list[list[int]] = []
        tokens = 0
        while tokens < description.shard_tokens:
            texts.append(next(stream))
            tokens += len(texts[-1])
        states = teacher_states(teacher, texts, description.layers, dtype)
        if not (folder / "statistics.npz").exists():
            deviations = np.maximum(states.std(axis=1), 1e-6)
            _write(
                folder / "statistics.npz",
                lambda file, s=states, d=deviations: np.savez(file, means=s.mean(axis=1), deviations=d),
            )
        statistics = read_statistics(folder)
        coded = np.stack([statistics.encode(i, each) for i, each in enumerate(states)])
        lengths = np.array([len(text) for text in texts], np.uint16)
        ids = np.concatenate([np.array(text, np.uint32) for text in texts])
        # Uncompressed, and one array of bytes after the other: a reader maps what it needs.
        _write(
            shard_path(folder, number),
            lambda file, values=(lengths, ids, coded): np.savez(
                file, lengths=values[0], ids=values[1], states=values[2]
            ),
        )


def teacher_states(
    teacher: Encoder, texts: Sequence[Sequence[int]], layers: Sequence[int], dtype: Any
) -> NDArray[np.float32]:
    """States [layers, tokens, width] of the texts' tokens, text after text."""
    import torch

    from converter.train.packing import by_tokens, pack

    lengths = [len(text) for text in texts]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    result = np.empty((len(layers), int(starts[-1]), teacher.configuration.hidden_size), np.float32)
    order = sorted(range(len(texts)), key=lambda i: lengths[i])
    with torch.inference_mode():
        for group in by_tokens(lengths, order, TEACHER_TOKENS):
            batch = pack([texts[i] for i in group])
            every = teacher.states(batch, dtype)
            places = batch.tokens()
            target = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in group])
            for row, layer in enumerate(layers):
                result[row, target] = every[layer][places].float().numpy()
    return result


def read_statistics(folder: Path) -> Statistics:
    with np.load(folder / "statistics.npz") as content:
        return Statistics(content["means"], content["deviations"])


def read_shard(folder: Path, number: int) -> Shard:
    with np.load(shard_path(folder, number)) as content:
        return Shard(content["lengths"], content["ids"], content["states"])


def wait_for(folder: Path, number: int, alive: Any = lambda: True) -> None:
    """Returns when a shard is there.

    Raises:
        TrainingError: `alive()`, which tells whether anybody is still computing, says no.
    """
    while not shard_path(folder, number).exists():
        if not alive() and not shard_path(folder, number).exists():
            raise TrainingError(f"{folder} has no shard {number}, and the teacher's process has ended")
        time.sleep(0.2)


def _write(path: Path, content: Any) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        content(file)
    aside.replace(path)


def batches(shard: Shard, budget: int, generator: random.Random, mixed: int = 4) -> Iterator[list[int]]:
    """Numbers of the shard's texts in batches of about `budget` tokens.

    A batch is made of `mixed` runs of texts of nearly the same length: few lengths a batch, yet never the same ones.
    """
    from converter.train.packing import by_tokens

    lengths = shard.lengths.tolist()
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], generator.random()))
    runs = by_tokens(lengths, order, max(1, budget // mixed))
    generator.shuffle(runs)
    for i in range(0, len(runs), mixed):
        yield [text for run in runs[i : i + mixed] for text in run]
