"""What the image's tools make of files on a workstation: accounts, units, archives, sources, tables of boards."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from boards.profiles import board as profile
from firmware_hooks.errors import HookError
from firmware_hooks.image import accounts, debian, kernel, recipes, root, units
from firmware_hooks.image.cpio import Archive
from firmware_hooks.image.kernel import Kernel

SYSUSERS = """\
# a comment
g tty 5 -
g disk - -
u root 0 - /root /bin/bash
u games 5:60 - /usr/games /usr/sbin/nologin
g games 60 -
u edge-runtime - "edge-runtime, language understanding" /var/lib/edge-runtime /usr/sbin/nologin
m edge-runtime dialout
g dialout 20 -
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("etc", "usr/lib/sysusers.d", "usr/lib/systemd/system"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def lines(path: Path) -> dict[str, list[str]]:
    return {fields[0]: fields for fields in (line.split(":") for line in path.read_text().splitlines())}


def test_accounts(tree: Path) -> None:
    """Accounts get the ids, homes and groups that sysusers.d says; ids that it leaves open go down from 999."""
    (tree / "usr/lib/sysusers.d/a.conf").write_text(SYSUSERS)
    accounts.write(tree)
    users, groups = lines(tree / "etc/passwd"), lines(tree / "etc/group")
    assert users["root"] == ["root", "x", "0", "0", "", "/root", "/bin/sh"]
    assert users["games"][2:4] == ["5", "60"]
    assert users["edge-runtime"][2:] == [
        "998", "998", "edge-runtime, language understanding", "/var/lib/edge-runtime", "/usr/sbin/nologin",
    ]  # fmt: skip
    assert groups["disk"][2] == "999"
    assert groups["dialout"] == ["dialout", "x", "20", "edge-runtime"]
    assert all(fields[1] == "!*" for fields in lines(tree / "etc/shadow").values())
    assert (tree / "etc/shadow").stat().st_mode & 0o777 == 0o600


def test_accounts_of_etc_come_first(tree: Path) -> None:
    """A file in /etc/sysusers.d takes the place of one of the same name."""
    (tree / "usr/lib/sysusers.d/a.conf").write_text("u root 0 - /root\ng lost -\n")
    (tree / "etc/sysusers.d").mkdir()
    (tree / "etc/sysusers.d/a.conf").write_text("u root 0 - /root\n")
    accounts.write(tree)
    assert "lost" not in lines(tree / "etc/group")


def test_accounts_that_are_not_understood(tree: Path) -> None:
    """A line that would need the board's files is refused rather than guessed."""
    (tree / "usr/lib/sysusers.d/a.conf").write_text("u root /etc/owner - /root\n")
    with pytest.raises(HookError, match=r"a\.conf"):
        accounts.write(tree)


def test_enable(tree: Path) -> None:
    """Enabling makes the links that the unit's [Install] section says, those of what comes along included."""
    folder = tree / units.UNITS
    (folder / "one.service").write_text("[Install]\nWantedBy=multi-user.target\nAlias=uno.service\nAlso=one.socket\n")
    (folder / "one.socket").write_text("[Install]\nRequiredBy=sockets.target\nAlso=one.service\n")
    units.enable(tree, "one.service")
    enabled = tree / units.ENABLED
    assert {
        str(path.relative_to(enabled)): str(path.readlink()) for path in enabled.rglob("*") if path.is_symlink()
    } == {
        "multi-user.target.wants/one.service": "/usr/lib/systemd/system/one.service",
        "sockets.target.requires/one.socket": "/usr/lib/systemd/system/one.socket",
        "uno.service": "/usr/lib/systemd/system/one.service",
    }


@pytest.mark.parametrize("content", [None, "[Unit]\nDescription=Static\n"])
def test_enable_what_cannot_be(tree: Path, content: str | None) -> None:
    """A unit that is missing or has nothing to be enabled by is reported, for the board would start without it."""
    if content is not None:
        (tree / units.UNITS / "one.service").write_text(content)
    with pytest.raises(HookError, match=r"one\.service"):
        units.enable(tree, "one.service")


def test_own_units_are_valid() -> None:
    """The image's own units can be enabled, and each program that they start is among its files."""
    folder = recipes.HERE / "root"
    for unit in (folder / units.UNITS).glob("edge-*.service"):
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart=/usr/lib/edge-runtime/"):
                program = folder / line.partition("=")[2].lstrip("/")
                assert program.read_text().startswith("#!/bin/sh\n")
                subprocess.run(["sh", "-n", program], check=True)


def test_initramfs_program() -> None:
    """The initramfs' program is valid shell."""
    subprocess.run(["sh", "-n", kernel.INIT], check=True)


def test_archive(tmp_path: Path) -> None:
    """cpio reads the archive back: names, modes, contents; equal contents make equal archives."""

    def made() -> bytes:
        archive = Archive()
        archive.folder("bin")
        archive.file("bin/a", b"odd", 0o755)
        archive.device("console", 5, 1)
        return archive.encoded()

    assert made() == made()
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(made()))
    # magic, and the name and the content of the file at the places that the format gives them
    data = gzip.decompress(path.read_bytes())
    assert data.count(b"070701") == 4
    assert data[:14] == b"07070100000001"
    name = data.index(b"bin/a\0")
    size = int(data[name - 110 + 54 : name - 110 + 62], 16)
    assert (size, int(data[name - 110 + 14 : name - 110 + 22], 16)) == (3, 0o100755)
    assert data[name + 6 :].lstrip(b"\0").startswith(b"odd")
    assert data.endswith(b"TRAILER!!!\0\0\0\0")


def test_modules(tmp_path: Path) -> None:
    """A pattern takes its modules and all that they need; one that matches nothing is an error, a built-in one none."""
    folder = tmp_path / "usr/lib/modules/6.1"
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text(
        "kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko\n"
        "kernel/lib/crc16.ko:\nkernel/fs/mbcache.ko:\n"
        "kernel/drivers/mmc/host/sdhci.ko:\nkernel/drivers/mmc/host/sub/other.ko:\n"
    )
    (folder / "modules.builtin").write_text("kernel/drivers/tty/serial/amba-pl011.ko\n")
    found = Kernel(tmp_path, "6.1")
    assert kernel.closure(found, ["fs/ext4/*", "drivers/tty/serial/amba-pl011.ko"]) == [
        "kernel/fs/ext4/ext4.ko", "kernel/fs/mbcache.ko", "kernel/lib/crc16.ko",
    ]  # fmt: skip
    assert kernel.closure(found, ["drivers/mmc/host/sd*"]) == ["kernel/drivers/mmc/host/sdhci.ko"]
    with pytest.raises(HookError, match="no module drivers/none"):
        kernel.closure(found, ["drivers/none.ko"])


def test_sources(tmp_path: Path) -> None:
    """Of a machine's sources Debian 12's are taken, in either format, with the components that are needed."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://a/ bookworm main\n"
        "deb [signed-by=/k.gpg arch=amd64] http://a/debian bookworm-updates main contrib\n"
        "deb http://b/tool stable main\ndeb-src http://a/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d/x.sources").write_text(
        "Types: deb\nURIs: http://c/debian\nSuites: bookworm trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN\n .\n AAAA\n\n"
        "Types: deb\nURIs: http://d/\nSuites: trixie\nComponents: main\n"
    )
    first, second = debian.stanzas(tmp_path, ("non-free-firmware", "main"))
    assert first.splitlines() == [
        "Types: deb", "URIs: http://a/debian", "Suites: bookworm-updates", "Components: main non-free-firmware",
        "Signed-By: /k.gpg",
    ]  # fmt: skip
    assert second.splitlines() == [
        "Types: deb", "URIs: http://c/debian", "Suites: bookworm", "Components: main non-free-firmware",
        "Signed-By: ", " -----BEGIN", " .", " AAAA",
    ]  # fmt: skip


def test_boards_have_profiles() -> None:
    """Each board that there is an image for has a profile of that name, and it is a 64-bit one."""
    assert {"generic-aarch64", "raspberry-pi-3b-plus"} <= set(recipes.boards())
    for name in recipes.boards():
        assert profile(name).cpu.architecture == "aarch64"


def test_unknown_board() -> None:
    """A board without an image is refused with those that have one."""
    with pytest.raises(HookError, match="generic-aarch64"):
        recipes.family("jetson-nano")


def test_keys_for_ssh(tree: Path) -> None:
    """The holder of an ssh key may do one thing, and cannot let others in; what is no public key is refused."""
    (tree / "usr/lib/sysusers.d/a.conf").write_text(SYSUSERS)
    for unit, target in (("edge-ssh.socket", "sockets"), ("systemd-networkd.service", "multi-user")):
        (tree / units.UNITS / unit).write_text(f"[Install]\nWantedBy={target}.target\n")
    accounts.write(tree)
    with pytest.raises(HookError, match="public part"):
        root.let_in(tree, "-----BEGIN OPENSSH PRIVATE KEY-----\n")
    root.let_in(tree, "ssh-ed25519 AAAA me@here\n")
    home = lines(tree / "etc/passwd")["edge-runtime"][5]
    authorized = (tree / home.lstrip("/") / ".ssh/authorized_keys").read_text()
    assert authorized == 'restrict,command="/usr/local/bin/edge-flash model receive" ssh-ed25519 AAAA me@here\n'
    assert not home.startswith("/var")
