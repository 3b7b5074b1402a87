"""Whatever happens to the weight cache, the answers are right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import load
from edge_runtime.backends.weight_cache import MAX_FILES, WeightCache, names_and_digests
from edge_runtime.model_file import open_model_file
from tests.edge_runtime.test_wrong_network import forged, nothing

IDS = (2, 5, 6, 8, 9, 3)

ANSWER = f"""
import json, sys, edge_runtime
with edge_runtime.load(sys.argv[1]) as model:
    logits = model.run({IDS!r})
    print(json.dumps([model.info.weight_cache, {{name: value.tolist() for name, value in logits.items()}}]))
"""

Logits = dict[str, list[list[float]]]


def answer(path: Path) -> Logits:
    with load(path) as model:
        return {name: value.tolist() for name, value in model.run(IDS).items()}


def right(path: Path) -> Logits:
    """What the model says without any cache."""
    with load(path, cache=False) as model:
        assert model.info.weight_cache is None
        return {name: value.tolist() for name, value in model.run(IDS).items()}


def cached(folder: Path) -> Path:
    """The one weight cache in the folder."""
    (file,) = folder.glob("weights-*.xnnpack")
    return file


def test_cache_is_made_and_used(models: Mapping[str, Path], cache: Path) -> None:
    """The first load makes the cache, the second maps the very same file, and both answer alike."""
    path = models["assistant"]
    with load(path) as model:
        assert model.info.weight_cache == str(cached(cache))
    made = cached(cache).stat()
    assert answer(path) == right(path)
    used = cached(cache).stat()
    assert (used.st_ino, used.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert made.st_mode & 0o777 == 0o400
    assert not list(cache.glob("unfinished-*"))


def test_runs_do_not_write_into_the_cache(models: Mapping[str, Path], cache: Path) -> None:
    """Neither running at many lengths nor closing changes a verified cache."""
    with load(models["assistant"]) as model:
        before = cached(cache).read_bytes()
        for length in (1, 7, 3, model.info.max_length):
            model.run([5] * length)
    ((_, claimed, digest),) = names_and_digests(cache)
    assert cached(cache).read_bytes() == before
    assert claimed == digest


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for place in range(len(content) // 3, len(content), 50):
        content[place] ^= 0x55
    file.chmod(0o600)
    file.write_bytes(content)


def flip_and_keep_times(file: Path) -> None:
    before = file.stat()
    flip(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(file: Path) -> None:
    file.chmod(0o600)
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    file.chmod(0o600)
    os.truncate(file, 0)


def replace_by_link(file: Path) -> None:
    elsewhere = file.parent.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("tamper", [flip, flip_and_keep_times, truncate, empty, replace_by_link, replace_by_folder])
def test_damaged_cache(tamper: Callable[[Path], None], models: Mapping[str, Path], cache: Path) -> None:
    """A flipped, truncated or replaced cache is not used, and the answer is right."""
    path = models["assistant"]
    expected = right(path)
    assert answer(path) == expected
    tamper(cached(cache))
    assert answer(path) == expected
    assert answer(path) == expected


def test_foreign_cache(models: Mapping[str, Path], cache: Path) -> None:
    """Another model's cache under this one's name is not used, though LiteRT itself would take it."""
    expected = right(models["assistant"])
    answer(models["other"])
    foreign = cached(cache)
    kept = foreign.read_bytes()
    foreign.unlink()
    answer(models["assistant"])
    mine = cached(cache)
    mine.chmod(0o600)
    mine.write_bytes(kept)
    assert answer(models["assistant"]) == expected


def test_foreign_cache_with_its_digest(models: Mapping[str, Path], cache: Path) -> None:
    """Another model's cache renamed to this one's key, its own digest kept, is not used either."""
    expected = right(models["assistant"])
    answer(models["other"])
    foreign = cached(cache)
    digest = foreign.stem.rpartition("-")[2]
    saved = cache.parent / "saved"
    foreign.rename(saved)
    answer(models["assistant"])
    mine = cached(cache)
    key = mine.stem.split("-")[1]
    mine.unlink()
    saved.rename(cache / f"weights-{key}-{digest}.xnnpack")
    assert answer(models["assistant"]) == expected


def test_a_naive_cache_would_be_wrong(models: Mapping[str, Path], tmp_path: Path) -> None:
    """The danger is real: given another model's cache of the same shapes, LiteRT itself answers wrongly."""
    from edge_runtime.backends import compiled

    heads = load(models["assistant"])._manifest.heads
    fields = {}
    for name in ("assistant", "other"):
        (tmp_path / name).mkdir()
        fields[name] = WeightCache(tmp_path / name, "0" * 32)
        compiled.CompiledBackend(str(models[name]), heads, 1, fields[name]).close()
    (tmp_path / "mixed").mkdir()
    shutil.copy(cached(tmp_path / "other"), tmp_path / "mixed")
    mixed = compiled.CompiledBackend(str(models["assistant"]), heads, 1, WeightCache(tmp_path / "mixed", "0" * 32))
    values = mixed.run(np.array(IDS, np.int32), np.arange(len(IDS), dtype=np.int32))
    dequantised = (values[1].astype(np.float32) - heads[1].zero_point) * heads[1].scale
    mixed.close()
    assert not np.array_equal(dequantised, np.array(right(models["assistant"])["slots"], np.float32))


def test_stale_keys(tmp_path: Path) -> None:
    """Each circumstance that changes packed weights has a key, and so a cache, of its own."""
    circumstances = [("a", "2.1.6", "cpu", 1), ("b", "2.1.6", "cpu", 1), ("a", "2.1.7", "cpu", 1)]
    circumstances += [("a", "2.1.6", "other", 1), ("a", "2.1.6", "cpu", 2)]
    assert len({WeightCache.of(tmp_path, *one).key for one in circumstances}) == len(circumstances)


def test_unwritable_cache(models: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder cannot be made, even by root, the model loads without a cache."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    for folder in (in_the_way, in_the_way / "cache", Path("/proc/no/such/place")):
        monkeypatch.setenv("EDGE_RUNTIME_CACHE", str(folder))
        assert answer(models["assistant"]) == right(models["assistant"])


def test_limited_file_size(models: Mapping[str, Path], cache: Path) -> None:
    """Where a process may not write files that large, the model loads without a cache, and is not aborted by LiteRT."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n{ANSWER}"
    done = subprocess.run([sys.executable, "-c", code, models["assistant"]], capture_output=True, text=True, check=True)
    used, logits = json.loads(done.stdout)
    assert used is None
    assert logits == right(models["assistant"])
    assert not list(cache.glob("*.xnnpack"))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edge_runtime.backends.weight_cache import WeightCache

def pack(path):
    Path(path).write_bytes(bytes(10_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
    return True

WeightCache(Path(sys.argv[1]), "0" * 32).build(pack, 1)
"""


def test_disk_that_fills_up(tmp_path: Path) -> None:
    """Where the file cannot be written to its end, nothing is left behind."""
    subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], check=True)
    assert list(tmp_path.iterdir()) == []


def test_several_processes_at_once(models: Mapping[str, Path], cache: Path) -> None:
    """Processes that make the cache at the same time all answer rightly and leave one sound cache."""
    expected = right(models["assistant"])
    command = [sys.executable, "-c", ANSWER, str(models["assistant"])]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate()[0] for process in running]
    assert [json.loads(output)[1] for output in outputs] == [expected] * 4
    assert all(claimed == digest for _, claimed, digest in names_and_digests(cache))
    assert not list(cache.glob("unfinished-*"))


def test_old_caches_are_dropped(models: Mapping[str, Path], cache: Path) -> None:
    """A board that has seen many models keeps the newest caches only, and abandoned files go."""
    cache.mkdir(mode=0o700)
    for number in range(MAX_FILES + 3):
        old = cache / f"weights-{number:032x}-{'0' * 64}.xnnpack"
        old.write_bytes(b"old")
        os.utime(old, (number, number))
    abandoned = cache / "unfinished-by-someone"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    with load(models["assistant"]) as model:
        assert model.info.weight_cache is not None
    left = sorted(file.name for file in cache.glob("weights-*"))
    assert len(left) == MAX_FILES
    assert not abandoned.exists()


def shared(network: bytes) -> bytes:
    """The network with the weights and biases of one linear layer in the place of another's, which keeps its scales."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    graph = model.subgraphs[0]
    seen: dict[tuple[int, ...], tuple[Any, Any]] = {}
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        weight, bias = (graph.tensors[place] for place in operator.inputs[1:3])
        other = seen.setdefault(tuple(weight.shape), (weight, bias))
        if other[0] is not weight and (other[0].quantization.scale != weight.quantization.scale).any():
            weight.buffer, bias.buffer = other[0].buffer, other[1].buffer
            break
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_network_that_no_cache_fits(models: Mapping[str, Path], cache: Path, tmp_path: Path) -> None:
    """Where operators share weights and bias, XNNPACK's own cache is wrong: it is tried, refused, never tried again."""
    file = open_model_file(models["assistant"], None)
    network = shared(models["assistant"].read_bytes()[: file.flatbuffer_size])
    file.close()
    path = forged(tmp_path / "shared.tflite", models["assistant"], nothing, network)
    for _ in range(2):
        with load(path) as model:
            assert model.info.weight_cache is None
            assert {name: value.tolist() for name, value in model.run(IDS).items()} == right(path)
    assert [file.suffix for file in cache.glob("weights-*")] == [".unfit"]
