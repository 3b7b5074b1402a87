"""Users and groups that sysusers.d declares, as systemd-sysusers would add them on the board."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from firmware_hooks.errors import HookError

HIGHEST_SYSTEM_ID = 999
"""ids that are not fixed are given downwards from here, as systemd-sysusers does"""
NO_SHELL = "/usr/sbin/nologin"


@dataclass(slots=True)
class Accounts:
    """What /etc/passwd and /etc/group will say."""

    users: dict[str, list[str]] = field(default_factory=dict)
    """name → the fields of passwd(5)"""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """name → the fields of group(5)"""

    def group(self, name: str, number: int | None) -> int:
        """The id of a group, which is added if need be."""
        if name not in self.groups:
            taken = {int(fields[2]) for fields in (*self.groups.values(), *self.users.values())}
            if number is None:
                number = next(each for each in range(HIGHEST_SYSTEM_ID, 0, -1) if each not in taken)
            self.groups[name] = [name, "x", str(number), ""]
        return int(self.groups[name][2])

    def member(self, user: str, group: str) -> None:
        """Let a user be in a group."""
        self.group(group, None)
        fields = self.groups[group]
        fields[3] = ",".join(dict.fromkeys([*filter(None, fields[3].split(",")), user]))


def write(root: Path) -> Accounts:
    """Write passwd, group and shadow of a root file system; nobody has a password.

    Raises:
        HookError: a line of its sysusers.d is not understood.
    """
    accounts = Accounts()
    # of files with one name the one in /etc counts
    files = {file.name: file for place in ("usr/lib", "etc") for file in (root / place / "sysusers.d").glob("*.conf")}
    lines = [
        (files[name], shlex.split(line, comments=True))
        for name in sorted(files)
        for line in files[name].read_text().splitlines()
    ]
    # fixed ids first, so that none of them is taken; who is in a group last, for that may be said before it is there
    for file, words in sorted((each for each in lines if each[1]), key=lambda each: _turn(each[1])):
        _declared(accounts, file, words)
    accounts.users["root"][6] = "/bin/sh"
    _table(root / "etc/passwd", accounts.users)
    _table(root / "etc/group", accounts.groups)
    shadow = root / "etc/shadow"
    shadow.write_text("".join(f"{user}:!*:::::::\n" for user in accounts.users))
    shadow.chmod(0o600)
    return accounts


def _turn(words: list[str]) -> int:
    return 2 if words[0] == "m" else int(words[2:3] in ([], ["-"]))


def _declared(accounts: Accounts, file: Path, words: list[str]) -> None:
    """One line of sysusers.d(5)."""
    kind, name, number, comment, home, shell = (words + ["-"] * 6)[:6]
    if kind == "m":
        accounts.member(name, number)
        return
    user, _, group = number.partition(":")
    if kind not in ("u", "g") or not all(part in ("", "-") or part.isdigit() for part in (user, group)):
        raise HookError(f"{file.name}: {' '.join(words)!r} is not understood here")
    if kind == "g":
        accounts.group(name, None if user == "-" else int(user))
    elif name not in accounts.users:
        gid = int(group) if group else accounts.group(name, None if user == "-" else int(user))
        uid = str(gid) if user == "-" else user
        blank = {"-": ""}
        fields = [name, "x", uid, str(gid), blank.get(comment, comment), home, shell]
        accounts.users[name] = [*fields[:5], "/" if home == "-" else home, NO_SHELL if shell == "-" else shell]


def _table(path: Path, entries: dict[str, list[str]]) -> None:
    path.write_text("".join(":".join(fields) + "\n" for fields in entries.values()))
