"""Cards: real FAT file systems in files, and the first start's script run on a folder as its root."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_hooks.errors import HookError
from firmware_hooks.flash.cli import commands
from firmware_hooks.install import card
from firmware_hooks.install.bundle import Bundle
from firmware_hooks.install.partition import Fat, Folder, Partition, opened
from tests.firmware_hooks.install import small

ISSUE = (
    "Raspberry Pi reference 2025-10-01\nGenerated using pi-gen, https://github.com/RPi-Distro/pi-gen, 1a2b, stage2\n"
)
COMMON = {"issue.txt": ISSUE, "config.txt": "arm_64bit=1\n", "kernel8.img": "kernel"}
ROOT = "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootfstype=ext4 fsck.repair=yes rootwait"
FIRSTBOOT = "init=/usr/lib/raspberrypi-sys-mods/firstboot"
IMAGER = "systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot systemd.unit=kernel-command-line.target"
TRIXIE = {
    **COMMON,
    "cmdline.txt": f"{ROOT} resize\n",
    "user-data": "#cloud-config\nhostname: lamp\n#runcmd:\n",
    "meta-data": "instance_id: rpios-image\n",
    "network-config": "#network:\n",
}
BOOKWORM = {**COMMON, "cmdline.txt": f"{ROOT} quiet {FIRSTBOOT}\n", "custom.toml": "config_version = 1\n"}
IMAGED = {**COMMON, "cmdline.txt": f"{ROOT} quiet {FIRSTBOOT} {IMAGER}\n", "firstrun.sh": "#!/bin/bash\nexit 0\n"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        return small.make(tmp_path_factory.mktemp("bundle") / "made", patch)


def folder(path: Path, files: dict[str, str]) -> Folder:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return Folder(path)


def image(path: Path, files: dict[str, str], megabytes: int = 64) -> Path:
    """A card's image: a partition table, and a FAT file system in its first partition."""
    with path.open("wb") as file:
        file.truncate((megabytes + 8) << 20)
    subprocess.run(["sfdisk", "-q", path], input=f"start=8192, size={megabytes}MiB, type=c\n", text=True, check=True)
    size = str(megabytes << 10)
    subprocess.run(
        ["mkfs.vfat", "-F", "32", "-s", "1", "--offset", "8192", path, size], check=True, capture_output=True
    )
    for name, text in files.items():
        Fat(path, 8192 * 512).write(name, text.encode())
    return path


def files(partition: Partition, known: dict[str, str]) -> dict[str, str | None]:
    return {name: partition.text(name) for name in known}


def test_cloud_init_card(tmp_path: Path, bundle: Bundle) -> None:
    """With cloud-init one file is added, and every other is as it was."""
    boot = folder(tmp_path / "boot", TRIXIE)
    system = card.examine(boot)
    assert (system.mechanism, system.target.machine, system.target.python) == ("cloud-init", "aarch64", "3.13")
    card.put(boot, system, bundle)
    assert files(boot, TRIXIE) == TRIXIE
    added = {path.name for path in (tmp_path / "boot").iterdir()} - set(TRIXIE)
    assert added == {"vendor-data", "edge-runtime"}
    # again: nothing changes
    assert card.changes(boot, system) == {}
    card.put(boot, system, bundle)


def test_systemd_run_card(tmp_path: Path, bundle: Bundle) -> None:
    """Without cloud-init the kernel's command line names our script; whatever else it says stays in order."""
    boot = folder(tmp_path / "boot", BOOKWORM)
    system = card.examine(boot)
    assert (system.mechanism, system.target.python) == ("systemd.run", "3.11")
    card.put(boot, system, bundle)
    line = boot.text("cmdline.txt")
    assert line is not None
    assert line.startswith(BOOKWORM["cmdline.txt"].strip() + " systemd.run=/boot/firmware/edge-runtime/first-boot.sh ")
    assert line.count("\n") == 1
    assert {**files(boot, BOOKWORM), "cmdline.txt": ""} == {**BOOKWORM, "cmdline.txt": ""}
    assert card.changes(boot, system) == {}


def test_card_that_imager_customised(tmp_path: Path, bundle: Bundle) -> None:
    """Imager's script runs before ours; firstrun.sh is not touched, and our path is one that its fix-up rewrites."""
    boot = folder(tmp_path / "boot", IMAGED)
    card.put(boot, card.examine(boot), bundle)
    words = (boot.text("cmdline.txt") or "").split()
    runs = [word for word in words if word.startswith("systemd.run=")]
    assert runs == ["systemd.run=/boot/firstrun.sh", "systemd.run=/boot/edge-runtime/first-boot.sh"]
    # imager_fixup: sed 's|/boot/|/boot/firmware/|g'
    assert runs[1].replace("/boot/", "/boot/firmware/") == "systemd.run=/boot/firmware/edge-runtime/first-boot.sh"
    assert boot.text("firstrun.sh") == IMAGED["firstrun.sh"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"issue.txt": "Debian\n"}, "no boot partition of Raspberry Pi OS"),
        ({"cmdline.txt": f"{ROOT}\n"}, "was started before"),
        ({"vendor-data": "#cloud-config\n"}, "vendor-data file of somebody else's"),
        ({"user-data": "#cloud-config\nvendor_data: {enabled: false}\n"}, "decides about vendor_data"),
        ({"kernel7.img": "32 bits"}, "take a 64-bit system"),
    ],
)
def test_refused(tmp_path: Path, changed: dict[str, str], reason: str) -> None:
    """What is no fresh Raspberry Pi OS card, or has somebody else's settings in the way, is refused with the reason."""
    boot = folder(tmp_path / "boot", {**TRIXIE, **changed})
    with pytest.raises(HookError, match=reason):
        card.changes(boot, card.examine(boot))
    assert files(boot, {**TRIXIE, **changed}) == {**TRIXIE, **changed}


@pytest.mark.parametrize("word", ["systemd.run=/boot/mine.sh", "systemd.unit=rescue.target"])
def test_refused_command_lines(tmp_path: Path, word: str) -> None:
    """A command line that starts something of somebody else's is left alone."""
    boot = folder(tmp_path / "boot", {**BOOKWORM, "cmdline.txt": f"{ROOT} {FIRSTBOOT} {word}\n"})
    with pytest.raises(HookError, match=word.partition("=")[0]):
        card.changes(boot, card.examine(boot))


def test_fixed_and_mounted_disks_are_refused() -> None:
    """This machine's own disk is refused, and so is a path that is nothing of the kind."""
    source = subprocess.run(
        ["findmnt", "-no", "SOURCE", "/"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not source.startswith("/dev/"):
        listed = subprocess.run(["lsblk", "-dnpo", "NAME,TYPE"], capture_output=True, text=True, check=True).stdout
        source = next(line.split()[0] for line in listed.splitlines() if line.split()[1] == "disk")
    done = CliRunner().invoke(commands, ["card", source])
    assert done.exit_code == 1
    assert "is mounted at" in done.stderr or "is a fixed disk" in done.stderr
    done = CliRunner().invoke(commands, ["card", "/dev/null"])
    assert "neither a device nor an image nor a folder" in done.stderr
    done = CliRunner().invoke(commands, ["card", "/dev/no-such-card"])
    assert "is not there" in done.stderr


@pytest.mark.flash
@pytest.mark.parametrize("files_there", [TRIXIE, BOOKWORM, IMAGED], ids=["trixie", "bookworm", "imager"])
def test_first_start_of_an_image(tmp_path: Path, bundle: Bundle, files_there: dict[str, str]) -> None:
    """A FAT image is prepared without a mount; what its first start runs installs, and takes itself away."""
    path = image(tmp_path / "card.img", files_there)
    boot = opened(path)
    card.put(boot, card.examine(boot), bundle)
    with path.open("rb") as whole:
        whole.seek(8192 * 512)
        partition = tmp_path / "partition.img"
        partition.write_bytes(whole.read())
    done = subprocess.run(["fsck.vfat", "-n", partition], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

    root = tmp_path / "root"
    mounted = root / "boot/firmware"
    mounted.mkdir(parents=True)
    subprocess.run(["mcopy", "-s", "-i", f"{path}@@{8192 * 512}", "::/*", mounted], check=True)
    here = mounted / "edge-runtime"
    order = json.loads((here / "order.json").read_text())
    assert order["file"] == "/boot/firmware/edge-runtime/payload.tar.gz"
    (here / "order.json").write_text(json.dumps({**order, "root": str(root), "file": f"{here}/payload.tar.gz"}) + "\n")
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text((mounted / "cmdline.txt").read_text())

    def start(what: str) -> int:
        script = ["/bin/sh", str(here / "first-boot.sh"), what]
        environment = {"PATH": os.environ["PATH"], "EDGE_ROOT": str(root)}
        return subprocess.run(script, env=environment, capture_output=True, check=False).returncode

    assert start("arm") == 0
    unit = root / "etc/systemd/system/multi-user.target.wants/edge-runtime-first-boot.service"
    assert unit.resolve().read_text() == (here / "edge-runtime-first-boot.service").read_text()
    assert "edge-runtime" not in (mounted / "cmdline.txt").read_text()
    imager = "systemd.run=/boot/firstrun.sh" in files_there["cmdline.txt"]
    assert ("systemd." in (mounted / "cmdline.txt").read_text()) == imager
    assert start("run") == 0
    assert small.whole(root) == bundle.release.name
    assert small.runs(root)
    assert not unit.is_symlink()
    assert sorted(path.name for path in here.iterdir()) == [
        "edge-runtime-first-boot.service",
        "first-boot.sh",
        "log.txt",
    ]
    assert not (mounted / "vendor-data").exists()
    assert (here / "log.txt").read_text().rstrip().endswith("installed")


@pytest.mark.flash
def test_first_start_that_cannot_install(tmp_path: Path, bundle: Bundle) -> None:
    """A damaged payload is tried three times; then the unit goes, and the log on the card says why."""
    mounted = tmp_path / "root/boot/firmware"
    boot = folder(mounted, TRIXIE)
    card.put(boot, card.examine(boot), bundle)
    here = mounted / "edge-runtime"
    with (here / "payload.tar.gz").open("r+b") as file:
        file.seek(1000)
        file.write(b"rubbish")
    order = json.loads((here / "order.json").read_text())
    changed = {**order, "root": str(tmp_path / "root"), "file": f"{here}/payload.tar.gz"}
    (here / "order.json").write_text(json.dumps(changed) + "\n")
    script = ["/bin/sh", str(here / "first-boot.sh")]
    environment = {"PATH": os.environ["PATH"], "EDGE_ROOT": str(tmp_path / "root")}
    (tmp_path / "root/proc").mkdir()
    (tmp_path / "root/proc/cmdline").touch()
    subprocess.run([*script, "arm"], env=environment, check=True, capture_output=True)
    statuses = [subprocess.run([*script, "run"], env=environment, check=False).returncode for _ in range(3)]
    assert statuses == [1, 1, 0]
    assert small.whole(tmp_path / "root") is None
    assert "damaged" in (here / "log.txt").read_text()
    assert not (tmp_path / "root/etc/systemd/system/edge-runtime-first-boot.service").exists()


@pytest.mark.flash
def test_full_partition(tmp_path: Path, bundle: Bundle) -> None:
    """Where the payload does not fit nothing is written."""
    path = image(tmp_path / "card.img", TRIXIE, megabytes=34)
    boot = opened(path)
    boot.write("initramfs8", bytes(22 << 20))
    with pytest.raises(HookError, match="MB free, and needs"):
        card.put(boot, card.examine(boot), bundle)
    assert boot.read("vendor-data") is None
    assert boot.read("edge-runtime/on_board.py") is None


@pytest.mark.flash
def test_image_that_is_none(tmp_path: Path) -> None:
    """A file without a partition table, and one whose first partition is no FAT, are refused."""
    path = tmp_path / "card.img"
    path.write_bytes(bytes(1 << 20))
    with pytest.raises(HookError, match="not FAT"):
        opened(path)
    subprocess.run(["sfdisk", "-q", path], input="start=64, type=83\n", text=True, check=True)
    with pytest.raises(HookError, match="not FAT"):
        opened(path)
