"""File systems and the partition table: folders for booting and for the root file system in, a card's image out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from firmware_hooks.image import tools

MIB = 1 << 20
SECTOR = 512
ALIGNMENT = 4 * MIB
"""cards erase blocks of up to this size at once; a partition that begins with one shares none"""
SLACK = 8 * MIB
"""free space on the boot partition, for a file to be edited there"""
LEAST_FAT32 = 40 * MIB
"""a FAT32 has at least 65525 clusters, and those of this size have 512 bytes"""
BLOCK = 256 * 1024
"""of the compressed root file system: larger ones compress better and are read in larger pieces"""
EFFORT = 10
"""of zstd, 1 to 22: more takes far longer and saves little"""

FAT, LINUX = "c", "83"
"""types of partitions: FAT32 with LBA, which the Raspberry Pi's ROM looks for; Linux"""


def root_file_system(folder: Path, file: Path, moment: int) -> None:
    """A compressed file system that cannot be written to; all of it belongs to root and is from one moment.

    Args:
        folder: its content, with the modes that it shall have.
        file: the image to write.
        moment: seconds since 1970.
    """
    file.unlink(missing_ok=True)
    command: list[str | Path] = [
        "mksquashfs",
        folder,
        file,
        "-noappend",
        "-quiet",
        "-no-progress",
        "-no-xattrs",
        "-all-root",
    ]
    command += [
        "-comp",
        "zstd",
        "-Xcompression-level",
        str(EFFORT),
        "-b",
        str(BLOCK),
        "-mkfs-time",
        str(moment),
        "-all-time",
        str(moment),
    ]
    # set, SOURCE_DATE_EPOCH would contradict the times that are given
    tools.run(["env", "-u", "SOURCE_DATE_EPOCH", *command])


def boot_file_system(folder: Path, file: Path, identity: str, moment: int) -> None:
    """A FAT32.

    Args:
        folder: its content.
        file: the image to write.
        identity: eight hexadecimal digits.
        moment: that its files are from, seconds since 1970.
    """
    content = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    size = _up(max(content + SLACK, LEAST_FAT32))
    file.unlink(missing_ok=True)
    with file.open("wb") as image:
        image.truncate(size)
    tools.run(["mkfs.vfat", "-F", "32", "-s", "1", "-n", "BOOT", "-i", identity, "--invariant", file])
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))
    entries = sorted(folder.iterdir())
    tools.run(["mcopy", "-s", "-m", "-Q", "-i", file, *entries, "::/"], environment={"SOURCE_DATE_EPOCH": str(moment)})


def assemble(boot: Path, root: Path, identity: str, file: Path) -> None:
    """Write the card: an MBR with two partitions. The board makes a third one of what is left of its card.

    Args:
        boot: file with a file system.
        root: another one.
        identity: eight hexadecimal digits, that the partitions are found by.
        file: the image to write; it is all there or not at all.
    """
    aside = file.with_name(file.name + ".new")
    starts = [ALIGNMENT, ALIGNMENT + _up(boot.stat().st_size)]
    lengths = [_up(boot.stat().st_size), _up(root.stat().st_size)]
    with aside.open("wb") as card:
        card.truncate(starts[1] + lengths[1])
        for start, part in zip(starts, (boot, root), strict=True):
            card.seek(start)
            with part.open("rb") as content:
                shutil.copyfileobj(content, card, MIB)
    table = [f"label: dos\nlabel-id: 0x{identity}"]
    for start, length, kind in zip(starts, lengths, (f"{FAT}, bootable", LINUX), strict=True):
        table.append(f"start={start // SECTOR}, size={length // SECTOR}, type={kind}")
    tools.run(["sfdisk", "--quiet", aside], stdin="\n".join(table) + "\n")
    aside.replace(file)


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
