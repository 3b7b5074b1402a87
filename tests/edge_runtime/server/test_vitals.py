"""What /proc and /sys say, and what they say when they make no sense."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime.server.vitals import MAX_ZONES, Process, process, temperatures


def test_own_process() -> None:
    """Our own figures agree with what the standard library says of this process."""
    found = process()
    assert found.resident_bytes is not None and found.private_bytes is not None
    assert 0 < found.private_bytes < found.resident_bytes
    used = os.times()
    assert found.cpu_seconds == pytest.approx(used.user + used.system, abs=0.2)
    assert found.started is not None and 0 <= time.time() - found.started < 24 * 3600
    assert process(os.getpid()).open_descriptors == found.open_descriptors


def test_descriptors_are_counted() -> None:
    """Each descriptor that is opened counts one, and the count itself leaves none open."""
    before = process().open_descriptors
    assert before is not None
    reading, writing = os.pipe()
    assert process().open_descriptors == before + 2
    os.close(reading)
    os.close(writing)
    assert process().open_descriptors == before


def test_another_process() -> None:
    """A child's figures can be read while it runs; once it is gone everything is None."""
    command = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"up\n"
        found = process(child.pid)
        assert found.open_descriptors == 3 and found.private_bytes
        child.communicate()
    assert process(child.pid) == Process(None, None, None, None, None)


def test_name_with_parentheses(tmp_path: Path) -> None:
    """A process name that looks like other fields moves none of them."""
    (tmp_path / "7").mkdir()
    ticks = os.sysconf("SC_CLK_TCK")
    fields = " ".join(["S", *["0"] * 10, str(2 * ticks), str(3 * ticks), *["0"] * 6, str(ticks), "0"])
    (tmp_path / "7/stat").write_text(f"7 (a) S 9 (b) {fields}\n")
    (tmp_path / "stat").write_text("cpu 1 2 3\nintr " + "0 " * 50_000 + "\nbtime 1700000000\n")
    assert process(7, tmp_path) == Process(None, None, 5.0, None, 1700000001.0)


@pytest.mark.parametrize("text", ["", "VmRSS: many kB\n", "VmRSS:\t-5 kB\n", "VmRSS: 5 MB\n", "\0\xff", "VmRSS" * 1000])
def test_nonsense_in_proc(tmp_path: Path, text: str) -> None:
    """Files of /proc that hold anything else than proc(5) describes give None."""
    (tmp_path / "7").mkdir()
    for name in ("7/status", "7/stat", "stat"):
        (tmp_path / name).write_text(text)
    assert process(7, tmp_path) == Process(None, None, None, None, None)


def zone(folder: Path, number: int, kind: str | None, temperature: str | None) -> None:
    made = folder / f"thermal_zone{number}"
    made.mkdir()
    if kind is not None:
        (made / "type").write_text(kind)
    if temperature is not None:
        (made / "temp").write_text(temperature)


def test_temperatures(tmp_path: Path) -> None:
    """Zones give degrees Celsius by type, in the order of their numbers; two of one type are told apart."""
    zone(tmp_path, 10, "gpu\n", "-5000\n")
    zone(tmp_path, 0, "cpu-thermal\n", "48312\n")
    zone(tmp_path, 1, "cpu-thermal\n", "50000\n")
    (tmp_path / "cooling_device0").mkdir()
    assert list(temperatures(tmp_path).items()) == [
        ("cpu-thermal", 48.312),
        ("cpu-thermal (thermal_zone1)", 50.0),
        ("gpu", -5.0),
    ]


def test_zones_that_say_nonsense(tmp_path: Path) -> None:
    """Zones without a temperature, with an impossible one, or with an unprintable name do no harm."""
    for number, text in enumerate([None, "", "hot", "2147483647", "-273150", "12345\n6", "9" * 5000, "1.5"]):
        zone(tmp_path, number, "x", text)
    zone(tmp_path, 20, None, "20000")
    zone(tmp_path, 21, "\x1b[31mred\n", "21000")
    assert temperatures(tmp_path) == {"thermal_zone20": 20.0, "[31mred": 21.0}


def test_zones_are_bounded(tmp_path: Path) -> None:
    """At most `MAX_ZONES` zones are read, and a board without any has none."""
    assert temperatures(tmp_path / "nowhere") == {}
    for number in range(MAX_ZONES + 5):
        zone(tmp_path, number, f"zone {number}", "20000")
    assert len(temperatures(tmp_path)) == MAX_ZONES
