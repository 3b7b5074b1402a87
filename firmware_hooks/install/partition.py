"""A card's boot partition: a folder, where somebody mounted it, or a FAT file system on a device or in an image.

FAT is read and written with mtools, which needs no mount and, where the user may write to the device, no root.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from firmware_hooks.errors import HookError

_SECTOR = 512
_FAT_TYPES = (0x0B, 0x0C, 0x0E)
"""of partitions: FAT32 with CHS and LBA addresses, FAT16 with LBA"""
_GPT = 0xEE


class Partition(ABC):
    """Files of a boot partition; names are relative to it, with slashes."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Make a file or give it another content.

        Raises:
            HookError: it cannot be written.
        """

    @abstractmethod
    def make_folder(self, name: str) -> None:
        """Make a folder, if it is not there."""

    @abstractmethod
    def free(self) -> int:
        """Bytes that can still be written."""

    @abstractmethod
    def flush(self) -> None:
        """Let all of it be on the card."""

    def text(self, name: str) -> str | None:
        """A file's text."""
        content = self.read(name)
        return None if content is None else content.decode("utf-8", "replace")


class Folder(Partition):
    """One that is mounted."""

    def __init__(self, folder: Path) -> None:
        """Nothing is touched yet."""
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """See `Partition.read`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HookError(f"{self._folder / name} cannot be read: {error.strerror}") from None

    def write(self, name: str, content: bytes) -> None:
        """See `Partition.write`: written aside, synced, renamed."""
        path = self._folder / name
        aside = path.with_name(path.name + ".new")
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            raise HookError(f"{path} cannot be written: {error.strerror}") from None

    def make_folder(self, name: str) -> None:
        """See `Partition.make_folder`."""
        try:
            (self._folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise HookError(f"{self._folder / name} cannot be made: {error.strerror}") from None

    def free(self) -> int:
        """See `Partition.free`."""
        return shutil.disk_usage(self._folder).free

    def flush(self) -> None:
        """See `Partition.flush`."""
        os.sync()


class Fat(Partition):
    """One that is not: on a device or in an image file."""

    def __init__(self, path: Path, offset: int) -> None:
        """Nothing is touched yet.

        Args:
            path: of the device or file.
            offset: of the file system in it, bytes.

        Raises:
            HookError: mtools are not installed.
        """
        if shutil.which("mcopy") is None:
            raise HookError(
                "a card that is not mounted is written with mtools: apt install mtools; or mount it and name the folder"
            )
        self._path = path
        self._image = f"{path}@@{offset}"

    def read(self, name: str) -> bytes | None:
        """See `Partition.read`."""
        if self._run("mdir", "-b", f"::/{name}").returncode:
            return None
        done = self._run("mtype", f"::/{name}")
        if done.returncode:
            raise HookError(f"{name} on {self._path} cannot be read: {_said(done)}")
        return done.stdout

    def write(self, name: str, content: bytes) -> None:
        """See `Partition.write`."""
        done = self._run("mcopy", "-o", "-", f"::/{name}", content=content)
        if done.returncode:
            raise HookError(f"{name} cannot be written to {self._path}: {_said(done)}")

    def make_folder(self, name: str) -> None:
        """See `Partition.make_folder`."""
        if self._run("mdir", "-b", f"::/{name}").returncode == 0:
            return
        done = self._run("mmd", f"::/{name}")
        if done.returncode:
            raise HookError(f"{name} cannot be made on {self._path}: {_said(done)}")

    def free(self) -> int:
        """See `Partition.free`."""
        last = self._run("mdir", "::/").stdout.decode("ascii", "replace").strip().splitlines()[-1:]
        digits = "".join(character for character in "".join(last).partition("bytes")[0] if character.isdigit())
        return int(digits or 0)

    def flush(self) -> None:
        """See `Partition.flush`."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _run(self, tool: str, *arguments: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        # it would refuse a file system whose sectors do not fill whole tracks
        environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C"}
        return subprocess.run(
            [tool, "-i", self._image, *arguments], input=content, capture_output=True, check=False, env=environment
        )


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode("utf-8", "replace").split())


def opened(path: Path) -> Partition:
    """The boot partition that a path leads to: a folder, a device or an image.

    Raises:
        HookError: it is in use, fixed, read-only, or holds no partition that a Raspberry Pi starts from.
    """
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise HookError(
            f"{path} is not there; name the card's device (lsblk lists them) or the folder of its boot partition"
        )
    if path.is_block_device():
        return Fat(path, 0 if _suitable(path) == "part" else _first_fat(path))
    if path.is_file():
        return Fat(path, _first_fat(path))
    raise HookError(f"{path} is neither a device nor an image nor a folder")


def _suitable(path: Path) -> str:
    """What kind of block device it is, once it is known that it may be written to.

    Raises:
        HookError: it may not, with the reason.
    """
    columns = "PATH,TYPE,RM,HOTPLUG,RO,MOUNTPOINTS,PKNAME"
    command = ["lsblk", "--json", "--output", columns]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HookError(f"lsblk knows nothing of {path}: {done.stderr.strip()}")
    (device,) = json.loads(done.stdout)["blockdevices"]
    disk = device
    if device["pkname"]:
        whole = subprocess.run([*command, f"/dev/{device['pkname']}"], capture_output=True, text=True, check=False)
        if whole.returncode == 0:
            (disk,) = json.loads(whole.stdout)["blockdevices"]
    mounted = [place for each in (device, *device.get("children", ())) for place in each["mountpoints"] if place]
    if mounted:
        raise HookError(
            f"{path} is mounted at {', '.join(mounted)}; unmount it, or name the folder of its boot partition"
        )
    if not (disk["rm"] or disk["hotplug"] or _is_card(disk["path"])):
        raise HookError(f"{path} is a fixed disk of this machine; a card or a USB reader is removable")
    if device["ro"]:
        raise HookError(f"{path} is read-only; look at the switch on the card's side")
    if not os.access(path, os.R_OK | os.W_OK):
        raise HookError(
            f"{path} cannot be written by this user; join the group that owns it (ls -l {path}), or use sudo"
        )
    return str(device["type"])


def _is_card(path: str) -> bool:
    """Whether a disk is an SD card in a reader of the machine's own, which are not called removable."""
    kind = Path("/sys/class/block") / Path(path).name / "device/type"
    try:
        return kind.read_text().strip() == "SD"
    except OSError:
        return False


def _first_fat(path: Path) -> int:
    """Where the first partition begins, bytes.

    Raises:
        HookError: it is none that a Raspberry Pi starts from.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_SECTOR)
    except OSError as error:
        raise HookError(f"{path} cannot be read: {error.strerror}") from None
    wrong = HookError(
        f"{path} does not begin with a partition table whose first partition is FAT: it is no Raspberry Pi OS card"
    )
    if len(head) < _SECTOR or head[510:] != b"\x55\xaa":
        raise wrong
    # four entries of 16 bytes from 446 on: type at 4, first sector at 8
    kind, start = head[446 + 4], struct.unpack_from("<I", head, 446 + 8)[0]
    if kind == _GPT or kind not in _FAT_TYPES or start == 0:
        raise wrong
    return int(start) * _SECTOR
