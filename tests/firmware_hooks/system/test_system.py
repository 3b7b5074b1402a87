"""The files for a board's root file system, as systemd and udev judge them."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from boards.profiles import board, identities
from edge_runtime.cli import commands as runtime_commands
from firmware_hooks.errors import HookError
from firmware_hooks.flash.cli import commands as flash_commands
from firmware_hooks.system import File, files, serial_files

UNITS = "usr/lib/systemd/system"
SERIAL = "serial:///dev/edge-serial-0?baud=115200"


def laid(found: list[File], root: Path) -> Path:
    for file in found:
        file.write(root)
    return root


def content(found: list[File], path: str) -> str:
    return next(file.content for file in found if file.path == path).decode()


def exposure(unit: Path) -> float:
    """What systemd makes of a unit's cage; 0 is none, 10 is all."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


def with_drop_ins(root: Path, unit: str) -> Path:
    """A unit and its drop-ins in one file: `security --offline` reads no drop-ins."""
    parts = [root / UNITS / unit]
    parts += [
        part for folder in (UNITS, "etc/systemd/system") for part in sorted((root / folder / f"{unit}.d").glob("*"))
    ]
    whole = root / unit
    whole.write_text("\n".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
    return whole


@pytest.mark.systemd
@pytest.mark.parametrize("identity", [None, *identities()])
def test_units_are_clean(tmp_path: Path, identity: str | None) -> None:
    """systemd finds nothing to complain about in any unit, with all that may be added to it."""
    root = laid(files(identity, serial=[SERIAL, "/dev/ttyUSB0"], metrics=True, reboot=True), tmp_path)
    for command in ("edge-runtime", "edge-flash"):
        File(f"usr/local/bin/{command}", b"#!/bin/sh\n", 0o755).write(root)
    for name in ("bin/kill", "usr/lib/systemd/systemd-executor"):
        File(name, b"#!/bin/sh\n", 0o755).write(root)
    for target in ("basic", "sysinit", "shutdown", "sockets", "multi-user"):
        File(f"{UNITS}/{target}.target", b"[Unit]\nDescription=A target\n").write(root)
    units = sorted(path.name for path in (root / UNITS).glob("edge-runtime*") if path.is_file())
    assert len(units) == 4
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.systemd
def test_cages(tmp_path: Path) -> None:
    """The services are exposed less than asked for, also where serial ports and the firmware must be reached."""
    root = laid(files(), tmp_path / "plain")
    assert exposure(root / UNITS / "edge-runtime.service") <= 0.5
    assert exposure(root / UNITS / "edge-runtime-care.service") <= 0.5
    pi = laid(files("raspberry-pi-4", serial=[SERIAL], reboot=True), tmp_path / "pi")
    assert exposure(with_drop_ins(pi, "edge-runtime.service")) <= 1.0
    assert exposure(with_drop_ins(pi, "edge-runtime-care.service")) <= 1.0


@pytest.mark.systemd
def test_the_user_and_the_folders_are_made(tmp_path: Path) -> None:
    """sysusers.d and tmpfiles.d make the user, and folders of its own, in an empty root."""
    root = laid(files(), tmp_path)
    for file in ("passwd", "group"):
        File(f"etc/{file}").write(root)
    subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True)
    passwd = (root / "etc/passwd").read_text(encoding="utf-8")
    entry = re.search(r"^edge-runtime:.*:(\d+):(\d+):.*:/var/lib/edge-runtime:/usr/sbin/nologin$", passwd, re.MULTILINE)
    assert entry, passwd
    done = subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={root}"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    folder = (root / "var/lib/edge-runtime/models").stat()
    assert (str(folder.st_uid), str(folder.st_gid), folder.st_mode & 0o777) == (entry[1], entry[2], 0o755)


def test_the_units_commands_exist() -> None:
    """What the units start are commands of this release, with options that they know."""
    runner = CliRunner()
    for unit in ("edge-runtime.service", "edge-runtime-care.service"):
        text = content(files(), f"{UNITS}/{unit}")
        for line in re.findall(r"^ExecStart(?:Pre)?=(.*)$", text, re.MULTILINE):
            program, *words = shlex.split(line)
            words = [word for word in words if not word.startswith("$")]
            group = {"edge-runtime": runtime_commands, "edge-flash": flash_commands}[Path(program).name]
            said = runner.invoke(group, [*words, "--help"])
            assert said.exit_code == 0, said.output


@pytest.mark.parametrize("identity", identities())
def test_boards(identity: str) -> None:
    """Each board has its own watchdog's limit and LED, and only if its profile knows them."""
    profile, found = board(identity), files(identity)
    paths = {file.path for file in found}
    watchdog = "usr/lib/systemd/system.conf.d/20-edge-runtime-watchdog.conf"
    assert (watchdog in paths) == (profile.watchdog is not None)
    if profile.watchdog is not None:
        settings = configparser.ConfigParser(interpolation=None)
        settings.optionxform = str  # type: ignore[assignment,method-assign]
        settings.read_string(content(found, watchdog))
        seconds = int(settings["Manager"]["RuntimeWatchdogSec"])
        assert seconds == int(settings["Manager"]["RebootWatchdogSec"])
        assert seconds == (profile.watchdog.longest or 30)
    led = "usr/lib/udev/rules.d/65-edge-runtime-led.rules"
    assert (led in paths) == (profile.led is not None)
    if profile.led is not None:
        assert f'KERNEL=="{profile.led.name}"' in content(found, led)
        drop_in = content(found, f"{UNITS}/edge-runtime-care.service.d/10-led.conf")
        assert f"ReadWritePaths=-/sys/class/leds/{profile.led.name}" in drop_in
    from_profile = {file.path for file in found} - {file.path for file in files()}
    assert not any(re.search(r"\$\w", content(found, path)) for path in from_profile)


def test_serial_ports() -> None:
    """A drop-in gives the server its ports and no other devices; USB drivers are loaded before it starts."""
    found = serial_files(["serial:///dev/edge-serial-usb-FTDI_X-if00-port0?baud=9600", "/dev/ttyAMA0"])
    drop_in = content(found, "etc/systemd/system/edge-runtime.service.d/30-serial.conf")
    assert (
        'Environment="SERIAL_OPTIONS=--serial serial:///dev/edge-serial-usb-FTDI_X-if00-port0?baud=9600 '
        '--serial /dev/ttyAMA0"' in drop_in
    )
    assert re.findall(r"^DeviceAllow=(.*)$", drop_in, re.MULTILINE) == [
        "char-ttyACM rw",
        "char-ttyAMA rw",
        "char-ttyUSB rw",
    ]
    assert "usbserial" in content(found, "etc/modules-load.d/edge-runtime-serial.conf")
    assert len(serial_files(["/dev/ttyS0"])) == 1
    assert serial_files([]) == []


@pytest.mark.parametrize("port", ["/dev/sda", 'x"y', "/dev/ttyS0\nUser=root", "serial:///dev/ttyS0?baud=no", "a b"])
def test_strange_ports_are_refused(port: str) -> None:
    """What is no serial port, or would break out of its line of the unit, is refused."""
    with pytest.raises(HookError):
        serial_files([port])


def test_enabled_units_are_links_to_what_is_there() -> None:
    """What is enabled is a link to a unit that is laid down too, in the place where systemctl would make it."""
    found = files(metrics=True)
    links = {file.path: file.target for file in found if file.target is not None}
    assert set(links) == {
        "etc/systemd/system/multi-user.target.wants/edge-runtime.service",
        "etc/systemd/system/multi-user.target.wants/edge-runtime-care.service",
        "etc/systemd/system/sockets.target.wants/edge-runtime.socket",
        "etc/systemd/system/sockets.target.wants/edge-runtime-metrics.socket",
    }
    paths = {f"/{file.path}" for file in found}
    assert set(links.values()) <= paths
