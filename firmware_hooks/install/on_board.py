"""The device's end of an installation: one file, for the system's own python3, with nothing but its standard library.

It is sent ahead of what it installs (`edge-flash ssh`) or lies beside it (`edge-flash card`). One order comes in as a
line of JSON, and answers go out as lines of JSON:

    >  {"op": "install", "release": "0.1.0-3f…", "archive": {"size": …, "sha256": "…"}, …}
    <  {"offset": 0}                        how much of the archive is there already
    >  …                                    the rest of it
    <  {"step": "…"}                        what is being done
    <  {"result": {…}}                      or {"error": "…"}

Whatever moment it is stopped at, `current` leads to a whole release, and the same order again goes on from there: names
are given only to what is complete and on the card (contents synced, renamed, the folder synced).
"""

# os and shutil by the names of the system calls whose order matters here
# ruff: noqa: PTH104, PTH105, PTH115, PTH119, PTH123

from __future__ import annotations

import compileall
import errno
import fcntl
import hashlib
import json
import os
import platform
import py_compile
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

HOME = "opt/edge-runtime"
MODELS, KEYS = "var/lib/edge-runtime/models", "etc/edge-runtime/keys"
UNSIGNED_ALLOWED = "unsigned-allowed"
OURS = "etc/edge-runtime/"
"""what lies there is the engineer's from the first installation on"""
COMMANDS = ("edge-boards", "edge-flash", "edge-runtime")
SOCKET_UNIT, SERVICES = "edge-runtime.socket", ("edge-runtime.service", "edge-runtime-care.service")
ANSWER_SECONDS = 180
"""the server's own time to start; the slowest board packs the largest model's weights then"""
SPARE = 16 << 20
"""bytes that stay free"""
MAX_LINE = 65536
BLOCK = 1 << 18
USER = "edge-runtime"

LAY = """
import json, sys
from pathlib import Path
root, packages, ports, keep = json.loads(sys.argv[1])
sys.path.insert(0, packages)
from firmware_hooks.system import files
from boards.detection import detect
from boards.errors import BoardError
from boards.system import System
try:
    board = detect(System()).board.id
except BoardError:
    board = None
laid = []
for file in files(board, serial=ports):
    place = Path(root) / file.path
    if file.path.startswith(keep) and place.exists():
        continue
    file.write(Path(root))
    laid.append(file.path)
json.dump({"board": board, "files": laid}, sys.stdout)
"""
"""run with a release's own packages: which files its services need is the release's to say"""


class Trouble(Exception):  # noqa: N818  short, as it is raised
    """What went wrong, in one sentence."""


def say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Do what one line on standard input says."""
    os.umask(0o022)
    try:
        order = json.loads(sys.stdin.buffer.readline(MAX_LINE))
        known: dict[str, Callable[..., dict[str, Any]]] = {"probe": probe, "install": install, "uninstall": uninstall}
        operation = known[order.pop("op")]
        result = operation(Path(order.pop("root", "/")), **order)
    except Trouble as error:
        say(error=str(error))
    except OSError as error:
        which = f" ({error.filename})" if error.filename else ""
        say(error=f"{error.strerror or error}{which}; what was running still is")
    except (ValueError, KeyError, TypeError) as error:
        say(error=f"the order was not understood: {error!r}")
    else:
        say(result=result)
        return 0
    return 1


# ---- looking


def probe(root: Path) -> dict[str, Any]:
    """What is known of this system."""
    release = {}
    for name in ("etc/os-release", "usr/lib/os-release"):
        if (root / name).is_file():
            for line in (root / name).read_text(errors="replace").splitlines():
                field, _, value = line.partition("=")
                release[field] = value.strip("\"'")
            break
    machine = platform.machine()
    if struct.calcsize("P") == 4:
        # a 32-bit system may run on a 64-bit kernel
        machine = "armv7l" if machine in ("aarch64", "armv8l", "armv7l") else machine
    near = existing(root / HOME)
    try:
        numpy = import_module("numpy").__version__
    except ImportError:
        numpy = None
    return {
        "machine": machine,
        "python": "{}.{}".format(*sys.version_info[:2]),
        "system": release.get("PRETTY_NAME") or release.get("ID") or "unknown",
        "glibc": platform.libc_ver()[1],
        "numpy": numpy,
        "free": free(near),
        "writable": not os.statvfs(near).f_flag & os.ST_RDONLY,
        "root": os.geteuid() == 0,
        "sudo": os.geteuid() != 0 and runs("sudo", "-n", "true"),
        "systemd": (root / "run/systemd/system").is_dir(),
        "current": current(root / HOME),
        "model": text(root / "proc/device-tree/model"),
    }


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def free(path: Path) -> int:
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def runs(*command: str) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def current(home: Path) -> str | None:
    """The release that counts, or None."""
    try:
        return os.path.basename(os.readlink(home / "current"))
    except OSError:
        return None


# ---- files that survive a power cut


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Give a file a content, all of it or none."""
    aside = path.with_name(path.name + ".new")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync(path.parent)


def point(link: Path, target: str) -> None:
    """Let a link lead somewhere, in one step."""
    aside = link.with_name(link.name + ".new")
    if os.path.lexists(aside):
        aside.unlink()
    aside.symlink_to(target)
    os.replace(aside, link)
    sync(link.parent)


def place(source: Path, target: Path) -> None:
    """Give a complete tree its name: all of it is on the card before."""
    for parent, _, files in os.walk(source, topdown=False):
        for name in files:
            if not (Path(parent) / name).is_symlink():
                sync(Path(parent) / name)
        sync(Path(parent))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # the models may be on a partition of their own
        aside = target.with_name("." + target.name + ".new")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(source, aside, symlinks=True)
        place(aside, target)
        return
    sync(target.parent)
    sync(source.parent)


# ---- installing


def install(
    root: Path,
    release: str,
    archive: dict[str, Any],
    unpacked: int,
    models: list[str],
    keys: list[str],
    start: bool = True,
    serial: list[str] | None = None,
    free_serial: bool = False,
    file: str | None = None,
) -> dict[str, Any]:
    """Install a release, let it run, and go back if it does not answer.

    root: of the file system; release: its name; archive: size and sha256; unpacked: bytes on the card; models, keys:
    names of those in the archive; start: let the services run now; serial: ports; free_serial: take the console from
    them; file: with the archive, where it does not come in.
    """
    home = root / HOME
    if os.path.basename(release) != release or release.startswith("."):
        raise Trouble(f"{release!r} cannot be a release's name")
    (home / "releases").mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Trouble("another installation is going on there; wait until it has ended") from None
    ready = home / "releases" / release
    complete = ready.is_dir() and not differences(ready)
    added = []
    if not complete or lacking(root, models, keys):
        added = bring(root, home, ready, complete, receive(home, archive, unpacked, complete, file), file is None)
    elif file is None:
        say(offset=archive["size"])
    result = switch(root, home, release, start, serial or [])
    result["models"] = added
    if free_serial:
        result["serial"] = freed(root, serial or [])
    shutil.rmtree(home / "incoming", ignore_errors=True)
    keep(home, {release, result["previous"]})
    return result


def lacking(root: Path, models: list[str], keys: list[str]) -> bool:
    """Whether some of the models or keys are not there yet."""
    places = [root / MODELS / name for name in models] + [
        root / KEYS / name for name in keys if name != UNSIGNED_ALLOWED
    ]
    return not (root / KEYS).is_dir() or not all(path.exists() for path in places)


def bring(root: Path, home: Path, ready: Path, complete: bool, archive: Path, ours: bool) -> list[str]:
    """Unpack an archive, and give what is in it its names → the models that had no slots yet."""
    staging = home / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        say(step="unpacking")
        unpack(archive, staging)
        made = staging / "release"
        wrong = differences(made)
        if wrong:
            raise Trouble(f"the release is not what it says it is: {wrong}")
        check(made)
        if not complete:
            compile_all(made)
            if ready.exists():
                # damaged since it was installed
                shutil.rmtree(ready)
            place(made, ready)
        return first_models(root, staging)
    except OSError as error:
        if ours and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # a full card with half of it on it is of no use to anybody
            archive.unlink()
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def receive(home: Path, archive: dict[str, Any], unpacked: int, complete: bool, file: str | None) -> Path:
    """The archive's path, with all of it there."""
    if file is not None:
        path = Path(file)
    else:
        (home / "incoming").mkdir(exist_ok=True)
        for other in (home / "incoming").iterdir():
            if other.name != archive["sha256"]:
                other.unlink()
        path = home / "incoming" / archive["sha256"]
    here = path.stat().st_size if path.exists() else 0
    if here > archive["size"]:
        path.unlink()
        here = 0
    needed = archive["size"] - here + (0 if complete else unpacked) + SPARE
    if free(home) < needed:
        needs, has = f"{needed / 1e6:.0f} MB", f"{free(home) / 1e6:.0f} MB"
        raise Trouble(f"there is not enough room: {needs} are needed and {has} are free at {home}")
    if file is None:
        say(offset=here)
        with open(path, "ab") as incoming:
            try:
                while here < archive["size"]:
                    block = sys.stdin.buffer.read1(min(BLOCK, archive["size"] - here))  # type: ignore[union-attr]
                    if not block:
                        raise Trouble("the connection broke; the same command again goes on from there")
                    incoming.write(block)
                    here += len(block)
            finally:
                incoming.flush()
                os.fsync(incoming.fileno())
    say(step="verifying")
    found = hashlib.sha256()
    with open(path, "rb") as incoming:
        for block in iter(lambda: incoming.read(BLOCK), b""):
            found.update(block)
    if here != archive["size"] or found.hexdigest() != archive["sha256"]:
        if file is None:
            path.unlink()
        raise Trouble("the archive arrived damaged (its SHA-256 is another); try again")
    return path


def unpack(path: Path, folder: Path) -> None:
    """Files, folders and links of an archive, none of which lies or leads outside of the folder by its name."""
    folder.mkdir()
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            target = folder / member.name
            if member.name.startswith("/") or ".." in member.name.split("/"):
                raise Trouble(f"the archive holds {member.name!r}, which leads out of it")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(member.linkname)
            elif member.isfile():
                target.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member)
                assert source is not None
                with source, open(target, "xb") as copy:
                    shutil.copyfileobj(source, copy)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
            else:
                raise Trouble(f"the archive holds {member.name!r}, which is no file")


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "release.json").read_text())
    return found


def differences(folder: Path) -> str:
    """What of a release's files is not as its list says; nothing where all is. Byte code made here is in no list."""
    try:
        files: dict[str, str] = described(folder)["files"]
        for name, expected in files.items():
            path = folder / name
            if expected.startswith("-> "):
                if os.readlink(path) != expected[3:]:
                    return name
            elif hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                return name
        listed = "".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()
        if hashlib.sha256(listed).hexdigest() != described(folder)["digest"]:
            return "release.json"
    except (OSError, ValueError, KeyError) as error:
        return str(error)
    return ""


def check(folder: Path) -> None:
    """Nothing, if the release can run on this system."""
    release = described(folder)
    here = "{}.{}".format(*sys.version_info[:2])
    if release["python"] != here:
        raise Trouble("the release is for Python {} and this system has {}".format(release["python"], here))
    machine = probe(Path("/"))["machine"]
    if release["machine"] != machine:
        raise Trouble("the release is for {} and this system is {}".format(release["machine"], machine))
    for name, package in release["needs"].items():
        if not runs("/usr/bin/python3", "-I", "-c", "import " + name):
            raise Trouble(f"{name} is needed and not installed: sudo apt install {package}")


def compile_all(folder: Path) -> None:
    """Byte code, where none came along."""
    if not described(folder)["byte_code"]:
        say(step="compiling")
        compileall.compile_dir(
            str(folder / "packages"),
            quiet=2,
            stripdir=str(folder / "packages"),
            prependdir="/opt/edge-runtime",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def first_models(root: Path, staging: Path) -> list[str]:
    """Models that have no slots yet get them; keys, where there were none. What is there is left alone."""
    keys = root / KEYS
    if not keys.is_dir():
        place(staging / "keys", keys)
    else:
        for key in (staging / "keys").iterdir():
            # what was decided on this board about unsigned models stays decided
            if key.name != UNSIGNED_ALLOWED and not (keys / key.name).exists():
                write(keys / key.name, key.read_bytes())
    added = []
    for model in sorted((staging / "models").iterdir()):
        target = root / MODELS / model.name
        if not target.exists():
            place(model, target)
            added.append(model.name)
    return added


def switch(root: Path, home: Path, release: str, start: bool, serial: list[str]) -> dict[str, Any]:
    """Let a release be the one that runs; the one before, if this one does not."""
    before = current(home)
    state = home / "installing.json"
    if state.exists():
        # stopped between switching and knowing: what ran before that is what to go back to
        before = json.loads(state.read_text())["from"]
    if before == release or not (before and (home / "releases" / before).is_dir()):
        before = None
    write(state, json.dumps({"from": before, "to": release}).encode())
    point_to(root, home, release, serial)
    running = start and (root / "run/systemd/system").is_dir()
    told = {"release": release, "previous": before, "started": running}
    if running:
        say(step="starting")
        reason = started(root)
        if reason:
            if before is None:
                raise Trouble(f"the server does not answer: {reason}; there is no earlier release to go back to")
            say(step="going back")
            point_to(root, home, before, serial)
            back = started(root)
            state.unlink()
            raise Trouble(
                "the server of {} does not answer: {}; went back to {}{}".format(
                    release, reason, before, ", which does not answer either: " + back if back else ", which answers"
                )
            )
    state.unlink()
    sync(home)
    return told


def point_to(root: Path, home: Path, release: str, serial: list[str]) -> None:
    """Its system files, `current`, and the commands' links."""
    packages = str(home / "releases" / release / "packages")
    order = json.dumps([str(root), packages, serial, OURS])
    done = subprocess.run([sys.executable, "-I", "-B", "-c", LAY, order], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble("the services' files cannot be laid down: " + done.stderr.strip()[-300:])
    laid = json.loads(done.stdout)["files"]
    listing = home / "system.json"
    try:
        earlier = json.loads(listing.read_text())["files"]
    except (OSError, ValueError):
        earlier = []
    write(listing, json.dumps({"release": release, "files": sorted({*laid, *earlier})}).encode())
    for name in laid:
        if not (root / name).is_symlink():
            sync(root / name)
    point(home / "current", "releases/" + release)
    for command in COMMANDS:
        link = root / "usr/local/bin" / command
        link.parent.mkdir(parents=True, exist_ok=True)
        target = f"/{HOME}/current/bin/{command}"
        if not (link.is_symlink() and os.readlink(link) == target):
            point(link, target)
    for name in set(earlier) - set(laid):
        if not name.startswith(OURS) and os.path.lexists(root / name):
            (root / name).unlink()
    write(listing, json.dumps({"release": release, "files": sorted(laid)}).encode())


def started(root: Path) -> str:
    """Why the services do not run; nothing where the server answers."""
    at: list[str] = [] if root == Path("/") else ["--root=" + str(root)]
    for command in (["systemd-sysusers", *at], ["systemd-tmpfiles", *at, "--create"]):
        runs(*command)
    if root == Path("/"):
        runs("chown", "-R", USER + ":" + USER, str(root / MODELS))
        runs("udevadm", "control", "--reload")
        runs("udevadm", "trigger", "--subsystem-match=tty")
    server, *others = SERVICES
    for command in (["daemon-reload"], ["stop", server], ["restart", SOCKET_UNIT], ["restart", server]):
        # the last returns when the server is ready, or has failed
        done = subprocess.run(
            ["systemctl", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = " ".join(done.stderr.split())[-300:]
            return "systemctl {}: {}; journalctl -u {} has more".format(" ".join(command), reason, server)
    runs("systemctl", "restart", "--no-block", *others)
    ends = time.monotonic() + ANSWER_SECONDS
    while True:
        reason = unwell(root / "run/edge-runtime/edge.sock")
        if not reason or time.monotonic() > ends:
            return reason
        time.sleep(0.2)


def unwell(path: Path) -> str:
    """What is wrong with the server at a socket (docs/protocol.md: health); nothing where it is ready."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(path))
            line.sendall(b'{"id": 1, "op": "health"}\n')
            answer = json.loads(line.makefile("rb").readline(MAX_LINE))["result"]
    except (OSError, ValueError, KeyError) as error:
        return f"it cannot be asked: {error}"
    return "" if answer["state"] == "ready" else "it is {}: {}".format(answer["state"], answer["reasons"])


def keep(home: Path, names: set[str | None]) -> None:
    """Remove the other releases."""
    for path in (home / "releases").iterdir():
        if path.name not in names:
            shutil.rmtree(path)


# ---- serial ports


def freed(root: Path, ports: list[str]) -> list[str]:
    """Take the kernel's console and the login from the ports → what was changed."""
    changed = []
    for port in ports:
        device = port.partition("://")[2].partition("?")[0] or port
        name = os.path.basename(os.path.realpath(root / device.lstrip("/")))
        names = {name, os.path.basename(device)} | ({"serial0"} if name in ("ttyS0", "ttyAMA0", "ttyAMA10") else set())
        unit = f"serial-getty@{name}.service"
        if runs("systemctl", "is-enabled", "--quiet", unit) or runs("systemctl", "is-active", "--quiet", unit):
            runs("systemctl", "disable", "--now", unit)
            runs("systemctl", "mask", unit)
            changed.append(f"login at /dev/{name}: off ({unit} masked)")
        for place in ("boot/firmware/cmdline.txt", "boot/cmdline.txt"):
            path = root / place
            words = text(path).split()
            left = [each for each in words if not (each.startswith("console=") and each[8:].partition(",")[0] in names)]
            if path.is_file() and not path.is_symlink() and left != words:
                shutil.copyfile(path, path.with_name("cmdline.txt.before-edge-runtime"))
                write(path, (" ".join(left) + "\n").encode())
                gone = " ".join(each for each in words if each not in left)
                changed.append(f"/{place}: {gone} taken out (kept in cmdline.txt.before-edge-runtime); reboot")
    return changed


# ---- taking away


def uninstall(root: Path, models: bool = False) -> dict[str, Any]:
    """Take away all that was installed; models, keys and settings only where that is asked for."""
    home = root / HOME
    if not home.is_dir():
        return {"removed": []}
    running = (root / "run/systemd/system").is_dir()
    if running:
        runs("systemctl", "stop", SOCKET_UNIT, *SERVICES)
    removed = []
    try:
        laid = json.loads((home / "system.json").read_text())["files"]
    except (OSError, ValueError):
        laid = []
    for name in [*laid, *("usr/local/bin/" + each for each in COMMANDS)]:
        if not name.startswith(OURS) and os.path.lexists(root / name):
            (root / name).unlink()
            removed.append("/" + name)
    shutil.rmtree(home)
    removed.append("/" + HOME)
    if models:
        for name in ("var/lib/edge-runtime", "etc/edge-runtime"):
            if (root / name).exists():
                shutil.rmtree(root / name)
                removed.append("/" + name)
    if running:
        runs("systemctl", "daemon-reload")
    return {"removed": removed}


if __name__ == "__main__":
    sys.exit(main())
