"""Each board is told from its own files, and what differs from its profile is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from boards.checks import examine
from boards.cli import commands
from boards.cpus import clusters, cores, features
from boards.detection import detect
from boards.errors import BoardError
from boards.profiles import FOLDER, board, every, identities
from boards.system import System
from boards.throttling import flags, named
from edge_runtime.commands.doctor import is_well
from tests.boards.trees import A53, A55, cpuinfo, grow, write

# An i.MX93's /proc/cpuinfo (two Cortex-A55), and a Raspberry Pi's with the lines that its kernel adds.
IMX93 = cpuinfo({0: (0xD05, A55), 1: (0xD05, A55)})
PI_4 = cpuinfo(dict.fromkeys(range(4), (0xD08, A53))) + (
    "Hardware\t: BCM2835\nRevision\t: d03114\nSerial\t\t: 0000000000000000\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
)
ARMV7 = (
    "processor\t: 0\nmodel name\t: ARMv7 Processor rev 4 (v7l)\nBogoMIPS\t: 38.40\n"
    "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32\n"
    "CPU implementer\t: 0x41\nCPU architecture: 7\nCPU variant\t: 0x0\nCPU part\t: 0xd03\nCPU revision\t: 4\n\n"
)


@given(data=st.data())
def test_each_board_is_found(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A board is detected by any of its compatible strings, and by its model with any revision behind."""
    one = board(data.draw(st.sampled_from(identities())))
    root = tmp_path_factory.mktemp("board")
    strings, models = one.detect.compatible or (None,), one.detect.model or (None,)
    by_compatible = data.draw(st.booleans())
    system = grow(
        root,
        one,
        compatible=data.draw(st.sampled_from(strings)) if by_compatible or not one.detect.model else "unknown,board",
        model="Something else" if by_compatible else data.draw(st.sampled_from(models)),
    )
    assert detect(system).board == one
    assert is_well(examine(system, detect(system)))


def test_an_unknown_board_is_generic(tmp_path: Path) -> None:
    """A board without a profile is its architecture's generic one, and its name is told."""
    write(tmp_path, "/proc/device-tree/compatible", "libre,cottonwood\0amlogic,s905d3\0")
    write(tmp_path, "/proc/device-tree/model", "Libre Computer Solitude\0")
    told = detect(System(tmp_path, "aarch64", 8))
    assert told.board.id == "generic-aarch64"
    assert "Libre Computer Solitude" in told.by
    assert detect(System(tmp_path, "aarch64", 4)).board.id == "generic-armv7"
    with pytest.raises(BoardError, match="riscv64"):
        detect(System(tmp_path, "riscv64", 8))


def test_real_cpuinfo(tmp_path: Path) -> None:
    """Cores, kinds and common features are read from what kernels print."""
    write(tmp_path, "/proc/cpuinfo", IMX93)
    found = cores(System(tmp_path))
    assert [(core.number, core.name) for core in found] == [(0, "Cortex-A55"), (1, "Cortex-A55")]
    assert {"asimddp", "atomics"} <= features(found)
    write(tmp_path, "/proc/cpuinfo", PI_4)
    assert [(each.name, each.numbers) for each in clusters(cores(System(tmp_path)))] == [("Cortex-A72", (0, 1, 2, 3))]
    write(tmp_path, "/proc/cpuinfo", ARMV7)
    assert [core.name for core in cores(System(tmp_path))] == ["Cortex-A53"]
    write(tmp_path, "/proc/cpuinfo", "")
    assert clusters(cores(System(tmp_path))) == []


def test_clusters_slowest_first(tmp_path: Path) -> None:
    """Cores of two kinds are two clusters, the slower first, and only what all have counts."""
    system = grow(tmp_path, board("orange-pi-5"))
    found = clusters(cores(system))
    assert [(each.name, each.numbers, each.mhz) for each in found] == [
        ("Cortex-A55", (0, 1, 2, 3), 1800),
        ("Cortex-A76", (4, 5, 6, 7), 2400),
    ]
    write(tmp_path, "/proc/cpuinfo", cpuinfo({0: (0xD03, A53), 4: (0xD0B, A55)}))
    assert "atomics" not in features(cores(system))


@given(content=st.binary(max_size=400))
def test_any_files(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the files hold, there are findings and no failure."""
    root = tmp_path_factory.mktemp("strange")
    for place in (
        "/proc/cpuinfo", "/proc/cmdline", "/proc/meminfo", "/proc/device-tree/model", "/proc/device-tree/compatible",
        "/sys/class/thermal/thermal_zone0/temp", "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
        "/sys/class/hwmon/hwmon0/name", "/proc/1/cmdline",
    ):  # fmt: skip
        write(root, place, content)
    system = System(root, "aarch64", 8)
    assert examine(system, detect(system))


def said(system: System, subject: str) -> list[tuple[str, str, str | None]]:
    found = examine(system, detect(system))
    return [(finding.state, finding.found, finding.mend) for finding in found if finding.subject == subject]


def test_a_console_on_the_uart(tmp_path: Path) -> None:
    """A console or a login on a UART is found by its name, the firmware's alias and the process, with the mend."""
    system = grow(tmp_path, board("raspberry-pi-4"))
    assert said(system, "/dev/ttyS0")[0][0] == "good"
    write(tmp_path, "/proc/cmdline", "console=serial0,115200 console=tty1 root=/dev/mmcblk0p2")
    (tmp_path / "dev/serial0").symlink_to("ttyS0")
    ((state, found, mend),) = said(system, "/dev/ttyS0")
    assert (state, found.startswith("the kernel's console is on it")) == ("note", True)
    assert mend is not None and "raspi-config" in mend
    write(tmp_path, "/proc/cmdline", "quiet")
    write(tmp_path, "/sys/class/tty/console/active", "tty0 ttyS0\n")
    assert said(system, "/dev/ttyS0")[0][0] == "note"
    write(tmp_path, "/sys/class/tty/console/active", "tty0\n")
    write(tmp_path, "/proc/612/cmdline", "/sbin/agetty\0--keep-baud\0ttyS0\0vt220\0")
    assert said(system, "/dev/ttyS0")[0][1].startswith("a login is on it")
    (tmp_path / "dev/ttyS0").unlink()
    assert said(system, "/dev/ttyS0")[0][1].startswith("not there")


def test_a_missing_watchdog(tmp_path: Path) -> None:
    """A watchdog that is missing, or only software, is told."""
    system = grow(tmp_path, board("raspberry-pi-5"))
    assert said(system, "watchdog")[0][0] == "good"
    write(tmp_path, "/sys/class/watchdog/watchdog0/identity", "Software Watchdog\n")
    assert said(system, "watchdog")[0][1] == "/dev/watchdog0 is Software Watchdog"
    (tmp_path / "dev/watchdog0").unlink()
    assert said(system, "watchdog")[0][1] == "/dev/watchdog0 is missing"


def test_a_slow_governor(tmp_path: Path) -> None:
    """The powersave governor is bad and the mend names a better one that is there; intel_pstate's is another thing."""
    system = grow(tmp_path, board("raspberry-pi-4"))
    policy = "/sys/devices/system/cpu/cpufreq/policy0"
    write(tmp_path, f"{policy}/scaling_governor", "powersave\n")
    ((state, _, mend),) = said(system, "governor")
    assert (state, mend) == ("bad", f"echo ondemand | sudo tee {policy}/scaling_governor")
    write(tmp_path, f"{policy}/scaling_driver", "intel_pstate\n")
    assert said(system, "governor") == []


def test_a_32_bit_system(tmp_path: Path) -> None:
    """A 32-bit system on a 64-bit kernel is told."""
    system = grow(tmp_path, board("raspberry-pi-4"))
    assert said(System(tmp_path, "aarch64", 4), "userland")[0][0] == "note"
    assert said(system, "userland") == []


def test_missing_cores_and_features(tmp_path: Path) -> None:
    """Cores that are offline, of another kind, or lack what the profile has are told."""
    system = grow(tmp_path, board("raspberry-pi-5"))
    write(tmp_path, "/proc/cpuinfo", cpuinfo({0: (0xD0B, A53), 2: (0xD08, A53)}))
    assert [found for _, found, _ in said(system, "cores")] == ["offline: 1, 3", "the profile has no Cortex-A72"]
    assert said(system, "features")[0][1].startswith("atomics, asimddp")


def test_heat_and_power(tmp_path: Path) -> None:
    """A zone at the limit is bad; so is a voltage that the kernel saw fall."""
    system = grow(tmp_path, board("raspberry-pi-3b-plus"))
    assert said(system, "temperature") == [("good", "45 °C (cpu-thermal); slowed down from 60 on", None)]
    write(tmp_path, "/sys/class/thermal/thermal_zone0/temp", "61000\n")
    assert said(system, "temperature")[0][0] == "bad"
    write(tmp_path, "/sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path, "/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    assert said(system, "power") == []
    write(tmp_path, "/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert said(system, "power")[0][0] == "bad"


def test_the_firmware_flags() -> None:
    """The bits of `vcgencmd get_throttled` are what its documentation says."""
    assert flags("throttled=0x50005") == 0x50005
    assert named(0x50005) == (["undervoltage", "throttled"], ["undervoltage", "throttled"])
    assert named(0x80008) == (["soft temperature limit"], ["soft temperature limit"])
    for wrong in (None, "", "throttled=", 'error=1 error_msg="Command not registered"'):
        assert flags(wrong) is None


def test_help_loads_nothing_heavy() -> None:
    """`--help` answers before NumPy, an interpreter or a profile is imported."""
    code = (
        "import sys, click.testing, boards.cli as cli\n"
        "assert click.testing.CliRunner().invoke(cli.commands, ['tune', '--help']).exit_code == 0\n"
        "print(*(name.partition('.')[0] for name in sys.modules), 'boards.schema' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment).split()
    assert not {"numpy", "tokenizers", "ai_edge_litert", "tflite_runtime", "serial", "True"} & set(loaded)


def test_scripts() -> None:
    """A board's profile.sh runs the command for that board, from a clone too."""
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
    script = FOLDER / "raspberry-pi-5" / "profile.sh"
    done = subprocess.run([script, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "--compare" in done.stdout) == (0, True)


def test_commands() -> None:
    """`list` and `detect` say what they say as text and as one JSON object; an unknown board is one line."""
    run = CliRunner()
    assert json.loads(run.invoke(commands, ["list", "--json"]).stdout)["boards"][0]["id"] == identities()[0]
    for one in every():
        assert one.name in run.invoke(commands, ["list", one.id]).stdout
        assert json.loads(run.invoke(commands, ["list", one.id, "--json"]).stdout)["sources"] == dict(one.sources)
    here = json.loads(run.invoke(commands, ["detect", "--json"]).stdout)
    assert here["board"]["id"] in identities()
    assert run.invoke(commands, ["detect"]).exit_code == 0
    wrong = run.invoke(commands, ["list", "toaster"])
    assert (wrong.exit_code, wrong.stdout, len(wrong.stderr.splitlines())) == (1, "", 1)
