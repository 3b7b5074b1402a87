"""The device's end of an installation, run by the system's own Python on a folder as its root."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_hooks.errors import HookError
from firmware_hooks.install import ssh_command
from firmware_hooks.install.bundle import Bundle
from tests.firmware_hooks.install import small

HOME = "opt/edge-runtime"
KILLS, MANY_KILLS = 3, 24


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: each installation syncs hundreds of files, which a busy disk makes long."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three releases that differ in one file."""
    made = []
    for number in range(3):
        with pytest.MonkeyPatch.context() as patch:
            more = {"edge_runtime/number.py": f"NUMBER = {number}\n".encode()}
            made.append(small.make(tmp_path_factory.mktemp("bundles") / str(number), patch, more))
    return made


def test_first_installation(tmp_path: Path, bundles: list[Bundle]) -> None:
    """An empty system gets the release, its commands, enabled units, slots with a verified model, and keys."""
    answer, _ = small.install(tmp_path, bundles[0])
    assert answer["result"]["models"] == ["assistant"]
    assert (answer["result"]["previous"], answer["result"]["started"]) == (None, False)
    assert small.whole(tmp_path) == bundles[0].release.name
    assert small.runs(tmp_path)
    assert (tmp_path / "usr/local/bin/edge-runtime").readlink() == Path("/opt/edge-runtime/current/bin/edge-runtime")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants/edge-runtime.service"
    assert (tmp_path / str(wants.readlink()).lstrip("/")).is_file()
    # nothing is left over
    assert sorted(path.name for path in (tmp_path / HOME).iterdir()) == ["current", "lock", "releases", "system.json"]


def test_again(tmp_path: Path, bundles: list[Bundle]) -> None:
    """What is installed already is verified, and not one byte is sent."""
    small.install(tmp_path, bundles[0])
    answer, steps = small.install(tmp_path, bundles[0], content=b"")
    assert answer["result"]["release"] == bundles[0].release.name
    assert steps == []


def test_update_keeps_one_release_and_what_is_the_engineers(tmp_path: Path, bundles: list[Bundle]) -> None:
    """The release before stays, older ones go; settings, keys and slots are left as they are."""
    small.install(tmp_path, bundles[0])
    settings = tmp_path / "etc/edge-runtime/environment"
    settings.write_text("SERVE_OPTIONS=--threads 2\n")
    (tmp_path / "etc/edge-runtime/keys/unsigned-allowed").unlink()
    record = tmp_path / "var/lib/edge-runtime/models/assistant/record-1"
    record.write_text("another model was pushed")
    for number in (1, 2):
        answer, _ = small.install(tmp_path, bundles[number])
        assert answer["result"]["previous"] == bundles[number - 1].release.name
    kept = {path.name for path in (tmp_path / HOME / "releases").iterdir()}
    assert kept == {bundles[1].release.name, bundles[2].release.name}
    assert small.whole(tmp_path) == bundles[2].release.name
    assert settings.read_text() == "SERVE_OPTIONS=--threads 2\n"
    assert not (tmp_path / "etc/edge-runtime/keys/unsigned-allowed").exists()
    assert record.read_text() == "another model was pushed"


def test_broken_connection_goes_on(tmp_path: Path, bundles: list[Bundle]) -> None:
    """What arrived before the connection broke need not be sent again."""
    content = bundles[0].path.read_bytes()
    answer, _ = small.install(tmp_path, bundles[0], content=content[:1_000_000])
    assert "goes on from there" in answer["error"]
    assert (tmp_path / HOME / "incoming" / bundles[0].sha256).stat().st_size == 1_000_000
    assert small.whole(tmp_path) is None
    # from there on: the first megabyte is rubbish now, and not asked for
    answer, _ = small.install(tmp_path, bundles[0], content=bytes(1_000_000) + content[1_000_000:])
    assert "result" in answer
    assert small.whole(tmp_path) == bundles[0].release.name


def test_damaged_on_the_way(tmp_path: Path, bundles: list[Bundle]) -> None:
    """An archive with one flipped bit is refused and removed; the release that runs stays."""
    small.install(tmp_path, bundles[0])
    content = bytearray(bundles[1].path.read_bytes())
    content[len(content) // 2] ^= 1
    answer, _ = small.install(tmp_path, bundles[1], content=bytes(content))
    assert "damaged" in answer["error"]
    assert small.whole(tmp_path) == bundles[0].release.name
    assert not list((tmp_path / HOME / "incoming").iterdir())


def test_release_that_is_another_than_its_list(tmp_path: Path, bundles: list[Bundle]) -> None:
    """Also where the archive's own digest is right, each file is held against the release's list."""
    plain = gzip.decompress(bundles[0].path.read_bytes()).replace(b"NUMBER = 0", b"NUMBER = 7")
    path = tmp_path / "forged.tar.gz"
    path.write_bytes(gzip.compress(plain))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    forged = replace(bundles[0], path=path, size=path.stat().st_size, sha256=digest)
    answer, _ = small.install(tmp_path / "root", forged)
    assert "edge_runtime/number.py" in answer["error"]
    assert small.whole(tmp_path / "root") is None


def test_damaged_on_the_card_is_mended(tmp_path: Path, bundles: list[Bundle]) -> None:
    """An installed release of which a file was damaged is installed anew by the same order."""
    small.install(tmp_path, bundles[0])
    (tmp_path / HOME / "current/packages/edge_runtime/number.py").write_text("rubbish")
    answer, steps = small.install(tmp_path, bundles[0])
    assert "result" in answer
    assert "unpacking" in steps
    assert small.whole(tmp_path) == bundles[0].release.name


def test_no_room(tmp_path: Path, bundles: list[Bundle]) -> None:
    """Where the release would not fit nothing is sent, and the sentence says how much is needed."""
    answer, steps = small.install(tmp_path, replace(bundles[0], unpacked=10**15))
    assert "1000000" in answer["error"]
    assert "are free" in answer["error"]
    assert steps == []


def test_two_at_once(tmp_path: Path, bundles: list[Bundle]) -> None:
    """While one installation is going on another one is refused."""
    small.install(tmp_path, bundles[0])
    with (tmp_path / HOME / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer, _ = small.install(tmp_path, bundles[1])
    assert "another installation" in answer["error"]
    assert small.whole(tmp_path) == bundles[0].release.name


def test_another_machine(tmp_path: Path, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    """A release for another machine is refused by the machine itself, whatever the workstation thought."""
    from firmware_hooks.payload.target import Target

    other = Target("aarch64" if small.here().machine != "aarch64" else "x86_64", small.here().python)
    monkeypatch.setattr(small, "here", lambda: other)
    made = small.make(tmp_path / "other", monkeypatch)
    answer, _ = small.install(tmp_path / "root", made)
    assert f"the release is for {other.machine}" in answer["error"]
    assert small.whole(tmp_path / "root") is None


def killed_at(root: Path, bundles: list[Bundle], moment: int | None) -> int:
    """Update to the second release, and be killed just before that change to the card → how many there were.

    With no moment it is not killed, and the first release is installed before.
    """
    if moment is None:
        small.install(root, bundles[0])
    order = json.dumps(bundles[1].order(root=str(root), file=str(bundles[1].path))).encode() + b"\n"
    code = (
        "import os, runpy, signal, sys\n"
        "seen = 0\n"
        "def hook(event, arguments):\n"
        "    global seen\n"
        "    changes = event in ('os.rename', 'os.remove', 'os.mkdir', 'os.symlink', 'os.rmdir', 'subprocess.Popen')\n"
        "    if changes or event == 'open' and arguments[2] & 0o103:\n"
        "        seen += 1\n"
        f"        if seen == {moment}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        f"try: runpy.run_path({str(small.ON_BOARD)!r}, run_name='__main__')\n"
        "finally: sys.stderr.write(str(seen))\n"
    )
    done = subprocess.run([small.PYTHON, "-I", "-c", code], input=order, capture_output=True, check=False)
    assert done.returncode == (0 if moment is None else -signal.SIGKILL), done.stderr
    return int(done.stderr or 0)


@pytest.mark.parametrize(
    "seed", [*range(KILLS), *(pytest.param(each, marks=pytest.mark.flash) for each in range(KILLS, MANY_KILLS))]
)
def test_killed_at_any_moment(tmp_path: Path, bundles: list[Bundle], seed: int) -> None:
    """Killed at any change to the card, `current` leads to a whole release, and the same order again ends well."""
    small.install(tmp_path, bundles[0])
    chance = random.Random(seed)
    # most changes are files being unpacked; every other time it is one of the last, when releases are switched
    last = killed_at(tmp_path / "counted", bundles, None)
    moment = chance.randrange(1, last) if seed % 2 else chance.randrange(last - 60, last)
    killed_at(tmp_path, bundles, moment)
    assert small.whole(tmp_path) in (bundles[0].release.name, bundles[1].release.name)
    assert small.runs(tmp_path)
    answer, _ = small.install(tmp_path, bundles[1])
    assert "result" in answer, answer
    assert small.whole(tmp_path) == bundles[1].release.name
    kept = {path.name for path in (tmp_path / HOME / "releases").iterdir()}
    assert kept == {bundles[0].release.name, bundles[1].release.name}


def test_uninstall(tmp_path: Path, bundles: list[Bundle]) -> None:
    """All that was laid down goes; models, keys and settings only where that is asked for."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    somebody = tmp_path / "etc/systemd/system/somebody-elses.service"
    somebody.touch()
    small.install(tmp_path, bundles[0])
    for models, left in ((False, {"etc/edge-runtime", "var/lib/edge-runtime"}), (True, set())):
        order = json.dumps({"op": "uninstall", "root": str(tmp_path), "models": models}).encode() + b"\n"
        if models:
            small.install(tmp_path, bundles[0])
        done = subprocess.run([small.PYTHON, "-I", small.ON_BOARD], input=order, capture_output=True, check=False)
        assert "result" in json.loads(done.stdout.splitlines()[-1])
        found = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]
        ours = [path for path in found if "edge-" in path and path != str(somebody.relative_to(tmp_path))]
        assert all(any(path.startswith(each) for each in left) for path in ours), ours
        assert bool(ours) == bool(left)
        assert somebody.exists()


def test_serial_port_is_freed(tmp_path: Path, bundles: list[Bundle]) -> None:
    """The console goes from the kernel's command line, the line before is kept, and what was changed is said."""
    boot = tmp_path / "boot/firmware"
    boot.mkdir(parents=True)
    line = "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait\n"
    (boot / "cmdline.txt").write_text(line)
    (boot / "config.txt").write_text("[cm4]\notg_mode=1\n")
    answer, _ = small.install(tmp_path, bundles[0], serial=["serial:///dev/ttyS0?baud=115200"], free_serial=True)
    assert (boot / "cmdline.txt").read_text() == "console=tty1 root=PARTUUID=1-02 rootwait\n"
    assert (boot / "cmdline.txt.before-edge-runtime").read_text() == line
    assert (boot / "config.txt").read_text() == "[cm4]\notg_mode=1\n\n[all]\nenable_uart=1\n"
    assert "console=serial0,115200 taken out" in answer["result"]["serial"][0]
    assert "enable_uart=1 added" in answer["result"]["serial"][1]
    drop_in = tmp_path / "etc/systemd/system/edge-runtime.service.d/30-serial.conf"
    assert "--serial serial:///dev/ttyS0?baud=115200" in drop_in.read_text()
    # an update that says nothing of ports leaves them as they are
    small.install(tmp_path, bundles[1])
    assert "--serial serial:///dev/ttyS0?baud=115200" in drop_in.read_text()


def test_rubbish_instead_of_an_order(tmp_path: Path) -> None:
    """An order that cannot be understood is answered in one line."""
    for order in (b"\n", b"{}\n", b'{"op": "install"}\n', b'{"op": "install", "release": "../x"}\n'):
        done = subprocess.run(
            [small.PYTHON, "-I", small.ON_BOARD], input=order, capture_output=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 1
        assert "error" in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"python": "3.9"}, "its python3 is 3.9"),
        ({"glibc": ""}, "no glibc"),
        ({"glibc": "2.31"}, "2.31"),
        ({"writable": False}, "read-only"),
        ({"machine": "armv7l", "python": "3.13"}, "take a 64-bit system"),
        ({"machine": "armv7l", "numpy": None}, "apt install python3-numpy"),
        ({"machine": "mips"}, "machines are"),
    ],
)
def test_systems_that_cannot_be_served(changed: dict[str, object], reason: str) -> None:
    """A system that there is nothing for is refused before anything is built, with the reason."""
    found = {
        "machine": "aarch64",
        "python": "3.11",
        "glibc": "2.36",
        "writable": True,
        "numpy": "1.24",
        "system": "Debian",
    }
    assert ssh_command.examined(found, None).name == "aarch64-python3.11-litert"
    with pytest.raises(HookError, match=reason):
        ssh_command.examined({**found, **changed}, None)


@pytest.mark.flash
def test_full_disk(tmp_path: Path, bundles: list[Bundle]) -> None:
    """A disk that becomes full is one sentence; what ran is whole, and with room the same order ends well."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        small.install(disk, bundles[0])
        used = shutil.disk_usage(disk).used
        # room for the archive and for what is asked to stay free, and for a part of what is in it
        size = used + bundles[1].size + (17 << 20)
        subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
        (disk / "somebody-elses").write_bytes(bytes(16 << 20))
        answer, _ = small.install(disk, replace(bundles[1], unpacked=-(64 << 20)))
        assert "No space left on device" in answer["error"]
        assert small.whole(disk) == bundles[0].release.name
        assert small.runs(disk)
        assert not (disk / HOME / "staging").exists()
        (disk / "somebody-elses").unlink()
        subprocess.run(["mount", "-o", "remount,size=128m", disk], check=True)
        answer, _ = small.install(disk, bundles[1])
        assert "result" in answer
        assert small.whole(disk) == bundles[1].release.name
    finally:
        subprocess.run(["umount", disk], check=True)
