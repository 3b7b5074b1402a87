"""A board that starts from our own image: what it does by itself, who may do what there, and that it goes off cleanly.

EDGE_BOARD_IMAGE names the image, EDGE_BOARD_MACHINE the board: virt (the default), virt-uefi or raspi3b.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator

import pytest

import edge_runtime
from tests.arm.board.emulator import Board, Card, image

pytestmark = pytest.mark.board

ASKED, INTENT = "turn off the kitchen lights", "iot_hue_lightoff"
MACHINE = os.environ.get("EDGE_BOARD_MACHINE", "virt")
CORE = "cortex-a53"
"""that of the smallest boards"""
MOST_EXPOSED = 2.5
"""of the scale of systemd-analyze security, 0 to 10"""
MOST_MEMORY = 45_000_000
"""bytes of an idle server and its worker"""
MEMORY_FILE_SYSTEMS = {
    "bpf", "cgroup2", "debugfs", "devpts", "devtmpfs", "hugetlbfs", "mqueue", "proc", "pstore", "ramfs", "securityfs",
    "sysfs", "tmpfs", "tracefs",
}  # fmt: skip
"""what is written there is gone with the power"""


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return Card.written(image(), tmp_path_factory.mktemp("card") / "card.img")


@pytest.fixture(scope="module")
def board(card: Card) -> Iterator[Board]:
    """A board that has started for the first time."""
    with Board(card, MACHINE, core=CORE) as started:
        started.wait_for_shell()
        started.shell("systemctl is-system-running --wait || true")
        yield started


def test_running(board: Board) -> None:
    """systemd says that everything that is to run does, and the server told it that it is ready."""
    assert board.shell("systemctl --failed --plain --no-legend") == ""
    assert board.shell("systemctl is-system-running --wait") == "running"
    assert board.shell("systemctl is-active edge-runtime.service edge-runtime.socket").split() == ["active", "active"]
    board.shell("journalctl -b -o cat -u edge-runtime.service | grep -q '^serving .*model=assistant'")


def test_care(board: Board) -> None:
    """What looks after the server runs beside it and knows how it does."""
    assert board.shell("systemctl is-active edge-runtime-care.service") == "active"
    said = board.shell("systemctl show -p StatusText --value edge-runtime-care.service")
    assert said.startswith("the server is ready"), said


def test_answer_inside(board: Board) -> None:
    """The bundled model answers at the Unix socket."""
    answer = json.loads(board.shell(f"edge-runtime call --json '{ASKED}'"))
    assert answer["result"]["intent"] == INTENT


def test_answer_over_the_second_uart(board: Board) -> None:
    """The bundled model answers a client outside, which has nothing but the wire."""
    with edge_runtime.Client(f"serial://{board.uart}?baud=115200", timeout=120) as client:
        understood = client.understand(ASKED)
    assert understood.intent == INTENT
    assert [(slot.type, slot.text) for slot in understood.slots] == [("house_place", "kitchen")]


def test_unprivileged(board: Board) -> None:
    """The server and its workers run as their own user without capabilities, in a cage that systemd rates as tight."""
    pids = board.shell("cat /sys/fs/cgroup/system.slice/edge-runtime.service/cgroup.procs").split()
    assert len(pids) >= 2
    for pid in pids:
        status = dict(re.findall(r"^(\w+):\s+(.*)$", board.shell(f"cat /proc/{pid}/status"), re.MULTILINE))
        assert set(status["Uid"].split()) != {"0"}
        assert board.shell(f"stat -c %U /proc/{pid}") == "edge-runtime"
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    said = board.shell("systemd-analyze security edge-runtime.service")
    exposure = re.search(r"exposure level for edge-runtime.service: ([\d.]+)", said)
    assert exposure is not None and float(exposure[1]) <= MOST_EXPOSED, said


def test_nothing_else_is_written(board: Board) -> None:
    """Only the state's folder and the data partition that holds it can be written and outlive the power; root cannot
    write elsewhere, and the server sees nothing but its state and memory writable.
    """
    mounts = [line.split() for line in board.shell("cat /proc/mounts").splitlines()]
    writable = {
        place
        for _, place, kind, options, *_ in mounts
        if "rw" in options.split(",") and kind not in MEMORY_FILE_SYSTEMS
    }
    assert writable == {"/data", "/var/lib/edge-runtime"}
    assert [kind for _, place, kind, *_ in mounts if place == "/"] == ["squashfs"]
    assert board.shell("touch /etc/anything 2> /dev/null || echo refused") == "refused"
    main = board.shell("systemctl show -p MainPID --value edge-runtime.service")
    seen = [line.split() for line in board.shell(f"cat /proc/{main}/mounts").splitlines()]
    kept = {
        place for _, place, kind, options, *_ in seen if "rw" in options.split(",") and kind not in MEMORY_FILE_SYSTEMS
    }
    assert kept == {"/var/lib/edge-runtime"}


def test_the_rest_of_the_card(board: Board, card: Card) -> None:
    """At the first start the data partition takes what the image leaves of the card."""
    sizes = {
        name: int(size)
        for size, name in re.findall(r"(\d+) (\w+\d)$", board.shell("cat /proc/partitions"), re.MULTILINE)
    }
    assert len(sizes) >= 3
    assert sum(sizes.values()) * 1024 > card.file.stat().st_size - 8 * 1024 * 1024


def test_nobody_can_log_in(board: Board) -> None:
    """No account has a password, and without a key for ssh nothing listens on the network."""
    assert all(line.split(":")[1] == "!*" for line in board.shell("cat /etc/shadow").splitlines())
    listening = board.shell(
        "cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 | grep -v local_address || true"
    )
    assert listening == ""


def test_figures(board: Board, record_property: Callable[[str, object], None]) -> None:
    """Server and worker keep to 45 MB that no file stands behind; the board tells that, and when by its clock it was
    ready, for the documents.
    """
    pids = board.shell("cat /sys/fs/cgroup/system.slice/edge-runtime.service/cgroup.procs").split()
    kept = dict.fromkeys(("Anonymous", "Private_Clean", "Private_Dirty"), 0)
    for pid in pids:
        rollup = board.shell(f"cat /proc/{pid}/smaps_rollup")
        for name in kept:
            kept[name] += sum(int(size) for size in re.findall(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE))
    ready = board.shell("systemctl show -p ActiveEnterTimestampMonotonic --value edge-runtime.service")
    print(f"server and its workers, kB: {kept}")
    print(f"ready after {int(ready) / 1e6:.1f} s of the board's clock")
    record_property("anonymous_kb", kept["Anonymous"])
    assert 0 < kept["Anonymous"] * 1024 <= MOST_MEMORY
    assert int(ready) > 0


def test_off_and_on(board: Board, card: Card) -> None:
    """It switches itself off cleanly, and the second start, from the same card, serves as well with nothing to mend."""
    assert board.power_off() == 0
    with Board(card, MACHINE, core=CORE) as again:
        again.wait_for_shell()
        assert again.shell("systemctl is-system-running --wait") == "running"
        answer = json.loads(again.shell(f"edge-runtime call --json '{ASKED}'"))
        assert answer["result"]["intent"] == INTENT
        assert "recovering journal" not in again.shell("journalctl -b -o cat")
        assert again.power_off() == 0
