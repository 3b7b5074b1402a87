"""The root file system: packages unpacked, our own files over them, and what maintainer scripts would have done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.image import accounts, debian, units
from firmware_hooks.image.debian import Package

HERE = Path(__file__).parent
PYTHON = (3, 11)
"""Debian 12's"""
USER = "edge-runtime"
PROGRAMS = Path("usr/lib/edge-runtime")
"""the image's own; a wheel need not have kept that they can be executed"""

EMPTY = (
    "data", "dev", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var/cache/private", "var/lib/dpkg",
    "var/lib/edge-runtime", "var/lib/private", "var/lib/systemd", "var/log", "var/spool", "var/tmp",
)  # fmt: skip
"""folders that others are mounted on, or that services look for"""
LINKS = {
    "etc/mtab": "../proc/self/mounts",
    "etc/localtime": "../usr/share/zoneinfo/UTC",
    "usr/bin/python3": "python3.11",
    "usr/bin/sh": "busybox",
    "var/lock": "../run/lock",
    "var/run": "../run",
    "etc/systemd/system/default.target": "/usr/lib/systemd/system/multi-user.target",
}
MASKED = (
    "e2scrub_reap.service",
    # nobody logs in, and without D-Bus there is no session to manage
    "getty.target",
    "systemd-logind.service",
    "systemd-user-sessions.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    # these write into the root file system
    "systemd-firstboot.service",
    "systemd-machine-id-commit.service",
    "systemd-sysusers.service",
    # nothing here has a use for them
    "cryptsetup.target",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "integritysetup.target",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-initctl.socket",
    "systemd-network-generator.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-repart.service",
    "veritysetup.target",
)
TEMPORARY = {
    "tmp": "mode=1777,nosuid,nodev,size=25%",
    "var/tmp": "mode=1777,nosuid,nodev,size=10%",
    "var/lib/systemd": "mode=755,nosuid,nodev,noexec,size=1M",
    "var/log": "mode=755,nosuid,nodev,noexec,size=1M",
}
"""folder → options of the memory file system there"""
FSTAB = """\
# Nothing writes to the root file system. The data partition is made at the first start, of the rest of the card.
/dev/disk/by-partuuid/{identity}-03 /data ext4 noatime,nosuid,nodev,noexec,errors=remount-ro,x-systemd.makefs,nofail 0 2
/data/edge-runtime /var/lib/edge-runtime none bind,nofail,x-systemd.before=systemd-tmpfiles-setup.service 0 0
"""
AUTHORIZED = 'restrict,command="/usr/local/bin/edge-flash model receive" {key}\n'


def lay(root: Path, packages: Sequence[Package], leave: Sequence[str]) -> None:
    """Unpack the packages, and do what their maintainer scripts would.

    Args:
        root: folder for the root file system; the payload may be in it.
        packages: with all that they need.
        leave: patterns of paths inside them that are left out.
    """
    for package in packages:
        debian.unpack(package.file, root, leave)
    for folder in EMPTY:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, target in LINKS.items():
        _link(root / name, target)
    for applet in (HERE / "applets.txt").read_text(encoding="ascii").split():
        if not any(os.path.lexists(root / folder / applet) for folder in ("usr/bin", "usr/sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    (root / "var/lib/dpkg/status").write_text("\n".join(debian.status(package.file) for package in packages))
    for unit in MASKED:
        units.mask(root, unit)
    shutil.copytree(HERE / "root", root, dirs_exist_ok=True)


def settle(root: Path, identity: str, moment: int, hostname: str) -> None:
    """Write what is known only now: accounts, mounts, names."""
    accounts.write(root)
    lines = [f"tmpfs /{folder} tmpfs {options} 0 0\n" for folder, options in TEMPORARY.items()]
    (root / "etc/fstab").write_text(FSTAB.format(identity=identity) + "".join(lines))
    (root / "etc/hostname").write_text(f"{hostname}\n")
    # empty: another one at each start, for a read-only /etc cannot keep it
    (root / "etc/machine-id").write_text("")
    # boards have no clock: time begins with the image (systemd's NEWS, 247)
    epoch = root / "usr/lib/clock-epoch"
    epoch.touch()
    os.utime(epoch, (moment, moment))


def let_in(root: Path, keys: str) -> None:
    """Let the holders of ssh keys push models, and nothing else.

    Args:
        root: of the file system, with its accounts.
        keys: public ones, as in authorized_keys, one a line.

    Raises:
        HookError: there is none among them.
    """
    lines = [line.strip() for line in keys.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or not all(line.split()[0].startswith(("ssh-", "ecdsa-", "sk-")) for line in lines):
        raise HookError("what was given as an ssh key is not the public part of one, such as id_ed25519.pub")
    home = Path("usr/share/edge-runtime/ssh")
    (root / home / ".ssh").mkdir(parents=True)
    (root / home / ".ssh/authorized_keys").write_text("".join(AUTHORIZED.format(key=line) for line in lines))
    passwd = root / "etc/passwd"
    entries = [line.split(":") for line in passwd.read_text().splitlines()]
    for fields in entries:
        if fields[0] == USER:
            # a folder that the user itself cannot write to, so that a server that was broken into lets nobody in
            fields[5:] = [f"/{home}", "/bin/sh"]
    passwd.write_text("".join(":".join(fields) + "\n" for fields in entries))
    (root / "etc/shells").write_text("/bin/sh\n")
    _link(root / "etc/dropbear", "/data/ssh")
    for unit in ("edge-ssh.socket", "systemd-networkd.service"):
        units.enable(root, unit)


def python() -> str:
    """A Python on this machine that makes the board's byte code.

    Raises:
        HookError: there is none.
    """
    name = ".".join(map(str, PYTHON))
    found = sys.executable if sys.version_info[:2] == PYTHON else shutil.which(f"python{name}")
    if not found:
        raise HookError(f"byte code for the board is made by Python {name}, which is not on this machine's path")
    return found


def compile_all(root: Path, folders: Sequence[Path]) -> None:
    """Compile Python's own modules: on a read-only root it could not keep what it compiles at each start."""
    command = [python(), "-m", "compileall", "-q", "-j", "0", "-s", str(root), "-p", "/"]
    command += ["--invalidation-mode", "unchecked-hash", *map(str, folders)]
    # some of Debian's files are for other versions of Python and are not meant to compile
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def normalise(root: Path) -> None:
    """Give everything the mode of its kind: neither this machine's umask nor set-user-ID bits get through."""
    private = {root / "etc/shadow": 0o600, root / "tmp": 0o1777, root / "var/tmp": 0o1777}
    private |= dict.fromkeys((root / "root", root / "var/cache/private", root / "var/lib/private"), 0o700)
    for path in root.rglob("*"):
        if path.is_symlink():
            continue
        usual = 0o755 if path.is_dir() or path.stat().st_mode & 0o100 or path.parent == root / PROGRAMS else 0o644
        path.chmod(private.get(path, usual))


def _link(link: Path, target: str) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir() and not link.is_symlink():
        link.rmdir()
    link.unlink(missing_ok=True)
    link.symlink_to(target)
