"""What boards get: the lock files, what is left out of wheels, the tree."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from firmware_hooks.errors import HookError
from firmware_hooks.install import payload_command
from firmware_hooks.payload import Target, build, byte_code, lock, packages, pins, pruning, release, wheels
from firmware_hooks.payload.elf import trimmed
from firmware_hooks.payload.target import targets

MOST = 75_000_000
"""bytes of an install with `assistant` on a 64-bit board, beyond Python"""


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_locks_agree_with_setup(target: Target) -> None:
    """Each lock file pins, with a hash, exactly what setup.cfg has that kind of board install."""
    assert lock.disagreements(target) == []
    assert all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in pins.read(target))
    assert "huggingface-hub" not in {pin.name for pin in pins.read(target)}


def test_disagreements_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin that setup.cfg does not allow, one too few and one too many are each named."""
    target = Target("aarch64", "3.11")
    changed = [pins.Pin("click", "7.0", "0" * 64), pins.Pin("requests", "2.0", "0" * 64)]
    kept = [pin for pin in pins.read(target) if pin.name not in ("click", "pyserial")]
    monkeypatch.setattr(lock, "read", lambda _: [*kept, *changed])
    found = " ".join(lock.disagreements(target))
    assert "click is locked at 7.0" in found
    assert "pyserial is asked for and not locked" in found
    assert "requests is locked and not asked for" in found


@pytest.mark.parametrize(
    ("machine", "python", "runtime", "reason"),
    [
        ("armv7l", "3.13", "", "take a 64-bit system"),
        ("armv7l", "3.11", "litert", "no 32-bit ARM wheel"),
        ("riscv64", "3.11", "", "machines are"),
        ("aarch64", "3.9", "", "Pythons are"),
    ],
)
def test_what_cannot_be(machine: str, python: str, runtime: str, reason: str) -> None:
    """A kind of board that there is nothing for is refused with the reason."""
    with pytest.raises(HookError, match=reason):
        Target(machine, python, runtime)


def test_trimmed_libraries_work(tmp_path: Path) -> None:
    """NumPy and tokenizers with all of their libraries trimmed do what they did, and take less room."""
    saved = 0
    for name in ("numpy", "numpy.libs", "tokenizers"):
        spec = find_spec(name.partition(".")[0])
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).parents[1] / name
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for path in tmp_path.rglob("*.so*"):
        content = path.read_bytes()
        cut = trimmed(content)
        saved += len(content) - len(cut)
        assert trimmed(cut) == cut
        path.write_bytes(cut)
    assert saved > 1_000_000
    code = (
        "import numpy as np, tokenizers\n"
        "assert np.__file__.startswith(__import__('sys').argv[1])\n"
        "a = np.arange(9.0).reshape(3, 3)\n"
        "assert (a @ a).tolist() == [[15, 18, 21], [42, 54, 66], [69, 90, 111]]\n"
        "assert np.linalg.norm(a[1]) == 50**0.5 and np.random.default_rng(1).random() < 1\n"
        "from tokenizers import Tokenizer, models\n"
        "assert Tokenizer(models.WordLevel({'a': 0}, unk_token='a')).encode('a').ids == [0]\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env={"PYTHONPATH": str(tmp_path)})


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), b"#!/bin/sh\n" * 20])
def test_what_is_no_library_stays(content: bytes) -> None:
    """What is no ELF file, or one without segments, is left as it is."""
    assert trimmed(content) == content


def test_own_packages() -> None:
    """Of ours, boards get what runs there, and neither models nor what workstations use."""
    own = packages.own()
    assert {"edge_runtime/cli.py", "boards/cli.py", "firmware_hooks/slots/slots.py"} <= own.keys()
    assert any(path.startswith("firmware_hooks/system/root/usr/lib/systemd/") for path in own)
    for part in (
        "converter/",
        "tests/",
        "firmware_hooks/payload/",
        "firmware_hooks/install/",
        "firmware_hooks/serial/",
    ):
        assert not any(path.startswith(part) for path in own), part
    assert not any(path.endswith((".tflite", ".pyc")) for path in own)


def test_wheels_from_a_folder_must_be_the_locked_ones(tmp_path: Path) -> None:
    """A wheel of the right name and other contents is not taken, and what is missing is named."""
    target = Target("aarch64", "3.11")
    (tmp_path / "click-8.5.1-py3-none-any.whl").write_bytes(b"another")
    with pytest.raises(HookError, match=r"lacks ai-edge-litert==2\.1\.6, click=="):
        wheels.gather(target, pins.read(target), tmp_path)


def test_byte_code_is_never_checked_against_a_source(tmp_path: Path) -> None:
    """Byte code has the flags of PEP 552's unchecked hashes, so that neither times nor sources are looked at."""
    (tmp_path / "a.py").write_text("A = 1\n")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert byte_code.compile_all(tmp_path, here)
    (made,) = (tmp_path / "__pycache__").iterdir()
    assert struct.unpack_from("<I", made.read_bytes(), 4)[0] == 1
    assert not byte_code.compile_all(tmp_path, "3.99")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trees for a 64-bit and a 32-bit board, with the wheels of the lock; the first is built twice."""
    folder = tmp_path_factory.mktemp("trees")
    for name, target in (
        ("one", Target("aarch64", "3.11")),
        ("two", Target("aarch64", "3.11")),
        ("older", Target("aarch64", "3.11", "tflite")),
        ("small", Target("armv7l", "3.11")),
    ):
        build(target, folder / name)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.flash
def test_same_inputs_same_bytes(trees: dict[str, Path]) -> None:
    """Two builds agree in every name, byte, mode, link and time."""

    def listed(tree: Path) -> list[tuple[str, int, int, str]]:
        found = []
        for path in sorted(tree.rglob("*")):
            state = path.lstat()
            content = str(path.readlink()) if path.is_symlink() else "" if path.is_dir() else path.read_bytes().hex()
            found.append((str(path.relative_to(tree)), state.st_mode, int(state.st_mtime), content))
        return found

    assert listed(trees["one"]) == listed(trees["two"])


@pytest.mark.flash
def test_size(trees: dict[str, Path]) -> None:
    """An install with `assistant` on a 64-bit board stays within what was promised."""
    made = release.read(trees["one"] / release.CURRENT)
    parts = payload_command.measured(trees["one"], made)
    assert sum(parts.values()) <= MOST, parts
    names = {path.name for path in (trees["one"] / release.CURRENT / "packages").iterdir()}
    assert not names & {"huggingface_hub", "google", "flatbuffers", "tqdm", "converter"}
    assert not list((trees["one"] / release.HOME).rglob("*Accelerator*"))


@pytest.mark.flash
def test_every_rule_leaves_something_out(trees: dict[str, Path]) -> None:
    """No rule of left_out.toml has outlived the files that it is for."""
    assert trees
    rules = tomllib.loads(Path(pruning.__file__).with_name("left_out.toml").read_text(encoding="utf-8"))
    seen: set[tuple[str, str]] = set()
    for target in (Target("aarch64", "3.11"), Target("aarch64", "3.11", "tflite"), Target("armv7l", "3.11")):
        locked = pins.read(target)
        found = wheels.gather(target, locked, None)
        for pin in locked:
            for path in zipfile.ZipFile(found[pin.name]).namelist():
                for group in ("every", pin.name, f"{pin.name}-{pin.version.partition('.')[0]}"):
                    seen |= {(group, rule) for rule in rules.get(group, {}) if pruning.matches(rule, path)}
    third = {group: found for group, found in rules.items() if group not in ("every", packages.DISTRIBUTION)}
    unused = [(group, rule) for group, found in third.items() for rule in found if (group, rule) not in seen]
    assert unused == []


@pytest.mark.flash
def test_release_describes_itself(trees: dict[str, Path]) -> None:
    """release.json lists each file with its digest, and names what the system must bring."""
    folder = trees["small"] / release.CURRENT
    made = release.read(folder)
    assert made.files == release.listed(folder)
    assert made.digest == release.digest(made.files)
    assert made.needs == {"numpy": "python3-numpy"}
    assert json.loads((folder / release.FILE).read_text())["byte_code"] is True
