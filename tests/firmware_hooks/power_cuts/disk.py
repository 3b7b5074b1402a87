"""What a file system may hold after the power went.

Synced is safe: a file's data and size by fsync of the file, a name by fsync of its folder (and not by that of the
file, though ext4 would do that too). Of everything else any part may be there: of data each page of 4096 bytes by
itself, with zeros or rubbish for those that lack before the last one; of names each change by itself (a rename is one
change), or, as a journal has it, the first few.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.firmware_hooks.power_cuts.calls import Call, Made

PAGE = 4096

Number = int
"""of a file, folder or link; like an inode's, but never used again"""


@dataclass
class Tree:
    """A folder and all in it."""

    names: dict[Number, dict[str, Number]] = field(default_factory=dict)
    """of each folder"""
    data: dict[Number, bytearray] = field(default_factory=dict)
    """of each file"""
    links: dict[Number, str] = field(default_factory=dict)
    """where each symbolic link leads to"""

    def write(self, folder: Path, number: Number = 0) -> None:
        """Make the folder `number` at a path."""
        folder.mkdir()
        for name, child in self.names.get(number, {}).items():
            path = folder / name
            if child in self.links:
                path.symlink_to(self.links[child])
            elif child in self.names:
                self.write(path, child)
            else:
                path.write_bytes(self.data.get(child, b""))

    def contents(self, number: Number = 0, place: str = "") -> dict[str, bytes | str | None]:
        """Path → a file's bytes, a link's target, None for a folder."""
        found: dict[str, bytes | str | None] = {}
        for name, child in self.names[number].items():
            path = f"{place}{name}"
            if child in self.links:
                found[path] = self.links[child]
            elif child in self.names:
                found[path] = None
                found |= self.contents(child, f"{path}/")
            else:
                found[path] = bytes(self.data.get(child, b""))
        return found


@dataclass(frozen=True, slots=True)
class Naming:
    """Changes of names that happen together or not at all: folder, name, what it then stands for."""

    moment: int
    entries: tuple[tuple[Number, str, Number | None], ...]


@dataclass(frozen=True, slots=True)
class Writing:
    """Bytes for a file at an offset; without bytes, its end."""

    file: Number
    offset: int
    data: bytes | None


class Disk:
    """A folder as a process sees it, and what of it is safe."""

    def __init__(self, root: Path) -> None:
        """All that is in `root` now is safe."""
        self._root = root
        self.seen, self._safe = Tree(names={0: {}}), Tree(names={0: {}})
        self._pending: list[Naming | Writing] = []
        self._moments: dict[tuple[Number, str], int] = {}
        self._inodes: dict[int, Number] = {root.stat().st_ino: 0}
        self._count = 0
        self._scan(root, 0)

    def _scan(self, folder: Path, number: Number) -> None:
        for path in sorted(folder.iterdir()):
            child = self._new(path.lstat().st_ino)
            for tree in (self.seen, self._safe):
                tree.names[number][path.name] = child
                if path.is_symlink():
                    tree.links[child] = str(path.readlink())
                elif path.is_dir():
                    tree.names[child] = {}
                else:
                    tree.data[child] = bytearray(path.read_bytes())
            if path.is_dir() and not path.is_symlink():
                self._scan(path, child)

    def make(self, made: Made) -> None:
        """Follow one call."""
        match made.call:
            case Call.OPEN:
                self._open(made)
            case Call.WRITE:
                self._write(Writing(self._inodes[made.inode], made.offset, made.first))
            case Call.TRUNCATE:
                self._write(Writing(self._inodes[made.inode], made.offset, None))
            case Call.SYNC:
                self._sync(self._inodes[made.inode])
            case Call.RENAME:
                folder, name = self._find(made.path)
                target, target_name = self._find(Path(made.second.decode()))
                moved = self.seen.names[folder][name]
                self._rename((folder, name, None), (target, target_name, moved))
            case Call.UNLINK | Call.RMDIR:
                self._rename((*self._find(made.path), None))
            case Call.MKDIR | Call.SYMLINK:
                child = self._new(made.inode)
                for tree in (self.seen, self._safe):
                    if made.call is Call.MKDIR:
                        tree.names[child] = {}
                    else:
                        tree.links[child] = made.second.decode()
                self._rename((*self._find(made.path), child))

    @property
    def unsafe(self) -> list[Naming | Writing]:
        """What was changed and may be lost; removals aside, on which nothing may depend."""
        return [
            change
            for change in self._pending
            if isinstance(change, Writing) or any(child is not None for _, _, child in change.entries)
        ]

    def crash(self, chance: random.Random) -> Tree:
        """Something that may be found when the power is back."""
        left = Tree(
            {number: dict(names) for number, names in self._safe.names.items()},
            {number: bytearray(data) for number, data in self._safe.data.items()},
            dict(self._safe.links),
        )
        moments = dict(self._moments)
        namings = [change for change in self._pending if isinstance(change, Naming)]
        mood = chance.choice(["none", "all", "any", "any", "first", "first"])
        if mood == "first":
            kept = set(map(id, namings[: chance.randint(0, len(namings))]))
        else:
            share = {"none": 0.0, "all": 1.0, "any": chance.random()}[mood]
            kept = {id(change) for change in namings if chance.random() < share}
        # a journal says nothing of data
        share = {"none": 0.0, "all": 1.0}.get(mood, chance.choice([0.0, 1.0, chance.random()]))
        for change in self._pending:
            if isinstance(change, Naming):
                if id(change) in kept:
                    _name(left, change, moments)
            else:
                _tear(left, change, share, chance)
        return left

    def _open(self, made: Made) -> None:
        folder, name = self._find(made.path)
        if name not in self.seen.names[folder]:
            child = self._new(made.inode)
            self.seen.data[child], self._safe.data[child] = bytearray(), bytearray()
            self._rename((folder, name, child))
        if made.flags & os.O_TRUNC:
            self._write(Writing(self.seen.names[folder][name], 0, None))

    def _write(self, change: Writing) -> None:
        _put(self.seen.data[change.file], change)
        self._pending.append(change)

    def _rename(self, *entries: tuple[Number, str, Number | None]) -> None:
        self._count += 1
        change = Naming(self._count, entries)
        _name(self.seen, change, {})
        self._pending.append(change)

    def _sync(self, number: Number) -> None:
        rest: list[Naming | Writing] = []
        for change in self._pending:
            if isinstance(change, Writing) and change.file == number:
                _put(self._safe.data[number], change)
            elif isinstance(change, Naming) and any(folder == number for folder, _, _ in change.entries):
                _name(self._safe, change, self._moments)
            else:
                rest.append(change)
        self._pending = rest

    def _new(self, inode: int) -> Number:
        self._count += 1
        self._inodes[inode] = self._count
        return self._count

    def _find(self, path: Path) -> tuple[Number, str]:
        """Folder and name of a path, which may lead through links."""
        *folders, name = path.relative_to(self._root).parts
        number = 0
        for each in folders:
            number = self.seen.names[number][each]
        return number, name


def _name(tree: Tree, change: Naming, moments: dict[tuple[Number, str], int]) -> None:
    """Change names, but none back to what it was before a later change."""
    for folder, name, child in change.entries:
        if moments.get((folder, name), 0) > change.moment:
            continue
        moments[folder, name] = change.moment
        if child is None:
            tree.names[folder].pop(name, None)
        else:
            tree.names[folder][name] = child


def _put(content: bytearray, change: Writing) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
    else:
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + len(change.data)] = change.data


def _tear(tree: Tree, change: Writing, share: float, chance: random.Random) -> None:
    """Let a share of the written pages arrive."""
    content = tree.data[change.file]
    if change.data is None:
        if chance.random() < share:
            _put(content, change)
        return
    for start in range(0, len(change.data), PAGE):
        if chance.random() < share:
            gap = max(0, change.offset + start - len(content))
            content.extend(chance.choice([bytes(gap), chance.randbytes(gap)]))
            _put(content, Writing(change.file, change.offset + start, change.data[start : start + PAGE]))
