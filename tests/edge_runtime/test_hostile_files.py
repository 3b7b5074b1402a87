"""Two thousand damaged model files: an EdgeError or the right answer, never a crash, a hang or a wrong label."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_runtime import EdgeError, load
from edge_runtime.archive import open_archive

FLIPS = 2000
TRUNCATIONS = 200
SEED = 20_261_120
TEXT = "turn off the kitchen lights"
TIMEOUT = 1800
"""seconds, many times what is needed, on emulated cores too: a bound for a hang"""


def regions(content: bytes) -> dict[str, tuple[int, int]]:
    """Start and end of each part of a model file."""
    archive = open_archive(memoryview(content))
    end = len(content) - 22
    directory = int.from_bytes(content[end + 16 : end + 20], "little")
    found = {"network": (0, archive.start), "directory": (directory, end), "end": (end, len(content))}
    begin = archive.start
    for name, (offset, size, _) in archive.entries.items():
        found[f"header of {name}"] = (begin, offset)
        found[name] = (offset, offset + size)
        begin = offset + size
    return found


def damages(content: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Each region flipped at random: bits, bytes and short runs, in turn; then files cut short."""
    places = list(regions(content).items())
    for number in range(FLIPS):
        name, (start, end) = places[number % len(places)]
        damaged = bytearray(content)
        first = chance.randrange(start, end)
        for place in range(first, min(end, first + chance.choice((1, 1, 1, 2, 4, 16)))):
            damaged[place] ^= chance.choice((1 << chance.randrange(8), chance.randrange(1, 256)))
        yield name, bytes(damaged)
    for _ in range(TRUNCATIONS):
        yield "truncated", content[: chance.randrange(len(content))]


def try_all(path: Path, scratch: Path) -> dict[str, dict[str, int]]:
    """Outcomes by region; runs in a process of its own, which a crash would end."""
    content = path.read_bytes()
    right = ask(path)
    outcomes: dict[str, Counter[str]] = {}
    for region, damaged in damages(content, random.Random(SEED)):
        # One file changed in place again and again: no stamp or cache of the time before may count.
        scratch.write_bytes(damaged)
        try:
            outcome = "right" if ask(scratch) == right else "WRONG"
        except EdgeError:
            outcome = "error"
        outcomes.setdefault(region, Counter())[outcome] += 1
    return {region: dict(counts) for region, counts in outcomes.items()}


def ask(path: Path) -> str:
    with load(path) as model:
        logits = {name: value.tolist() for name, value in model.run((2, 5, 6, 3)).items()}
        return repr((model.understand(TEXT), logits, model.info.labels))


def test_damaged_files(models: Mapping[str, Path], tmp_path: Path) -> None:
    """Every region flipped at random and files cut short: an EdgeError or exactly the right answer."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, models["assistant"], tmp_path / "damaged.tflite"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert sum(sum(counts.values()) for counts in outcomes.values()) == FLIPS + TRUNCATIONS
    assert {region: counts for region, counts in outcomes.items() if "WRONG" in counts} == {}
    # What decides the answer is never damaged without being noticed.
    for region in ("network", "manifest.json", "tokenizer.json", "truncated"):
        assert set(outcomes[region]) == {"error"}, region


if __name__ == "__main__":
    print(json.dumps(try_all(Path(sys.argv[1]), Path(sys.argv[2]))))
