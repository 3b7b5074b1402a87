"""Stamps that spare a second hash, and the folder that holds them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime import verified
from edge_runtime.verified import cache_folder, let_settle, private_folder, verify


class File:
    """A file that counts how often it is hashed."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        path.write_bytes(content)
        self.digest = hashlib.sha256(content).hexdigest()
        self.descriptor = os.open(path, os.O_RDONLY)
        self.hashes = 0

    def hashed(self) -> str:
        self.hashes += 1
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def verify(self, folder: Path | None) -> bool:
        return verify(self.descriptor, self.digest, self.hashed, folder)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    """A file old enough to be given a stamp."""
    found = File(tmp_path / "file", b"content")
    let_settle(found.path)
    yield found
    os.close(found.descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    assert private_folder(path) is None
    return path


def test_second_time_is_not_hashed(file: File, folder: Path) -> None:
    """A verified file that has not changed is believed without a hash."""
    assert file.verify(folder)
    assert file.verify(folder)
    assert file.hashes == 1


def test_without_a_folder_always_hashed(file: File) -> None:
    """With nowhere to remember it, a file is hashed each time."""
    assert file.verify(None)
    assert file.verify(None)
    assert file.hashes == 2


def test_changed_content_is_noticed(file: File, folder: Path) -> None:
    """A byte changed in place, with the old modification time put back, is found out."""
    assert file.verify(folder)
    before = file.path.stat()
    file.path.write_bytes(b"c0ntent")
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not file.verify(folder)


def test_stamp_is_for_one_digest(file: File, folder: Path) -> None:
    """A file verified for one digest is not thereby verified for another."""
    assert file.verify(folder)
    assert not verify(file.descriptor, "0" * 64, file.hashed, folder)


def test_fresh_file_gets_no_stamp(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed within the clock's last tick is hashed again, for the next change could look the same."""
    monkeypatch.setattr(verified, "_FINE_TICK", 3_600_000_000_000)
    monkeypatch.setattr(verified, "_COARSE_TICK", 3_600_000_000_000)
    fresh = File(tmp_path / "fresh", b"content")
    assert fresh.verify(folder)
    assert fresh.verify(folder)
    assert fresh.hashes == 2
    os.close(fresh.descriptor)


def test_other_boot_does_not_count(file: File, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stamps end with the boot that they were made in, and the old ones are cleared away."""
    assert file.verify(folder)
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(verified, "_BOOT_ID", boot)
    assert file.verify(folder)
    assert file.hashes == 2
    assert [path.name for path in folder.iterdir()] == ["verified-another"]


def test_stamps_are_bounded(file: File, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files are verified, no more than MAX_STAMPS stamps lie about."""
    monkeypatch.setattr(verified, "MAX_STAMPS", 3)
    for number in range(10):
        verify(file.descriptor, str(number), str(number).__str__, folder)
    assert len(list(folder.glob("verified-*/*"))) <= 3


def test_damaged_folder_costs_only_time(file: File, folder: Path) -> None:
    """Where a stamp's folder should be lies a file: the answer is right all the same."""
    boot = verified._BOOT_ID.read_text().strip()
    (folder / f"verified-{boot}").write_text("in the way")
    assert file.verify(folder)
    assert file.verify(folder)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"EDGE_RUNTIME_CACHE": "/a", "CACHE_DIRECTORY": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"CACHE_DIRECTORY": "/b:/d", "XDG_CACHE_HOME": "/c"}, "/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/edge-runtime"),
        ({"HOME": "/h"}, "/h/.cache/edge-runtime"),
    ],
)
def test_cache_folder(environment: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own variable comes first, then systemd's, then the user's cache."""
    for name in ("EDGE_RUNTIME_CACHE", "CACHE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(found)


def test_private_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    """A folder that is missing is made with mode 0700."""
    folder = tmp_path / "new" / "cache"
    assert private_folder(folder) is None
    assert folder.stat().st_mode & 0o777 == 0o700


def test_untrustworthy_folders(tmp_path: Path) -> None:
    """A folder that others can write, a file in its place, or none at all: each says why, and is left as it is."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert "written by other users" in str(private_folder(shared))
    assert shared.stat().st_mode & 0o777 == 0o777
    assert "cannot be used" in str(private_folder(in_the_way))
    assert "EDGE_RUNTIME_CACHE" in str(private_folder(None))


def test_settling_is_short(file: File) -> None:
    """Waiting for a file to settle ends at once when it is old enough."""
    os.utime(file.path)
    let_settle(file.path)
    assert file.path.stat().st_mtime_ns < time.time_ns()
