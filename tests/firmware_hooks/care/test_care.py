"""The daemon as it runs on a board: its own process, a real server under load, a board's /sys."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from edge_runtime.client import Client
from edge_runtime.client.exposition import parse
from edge_runtime.errors import DeadlineExceeded, Overloaded
from firmware_hooks.flash.board import Board
from tests.firmware_hooks.care.board import Tree
from tests.firmware_hooks.slots import releases as made
from tests.serve.server import Server

TEXT = "turn off the kitchen lights"
LONG = " and ".join([TEXT] * 18)
CLIENTS = 48
"""who ask LONG with a tenth of the network's time: more than any machine here answers before their deadline"""
PATIENCE = 60.0
"""seconds that a busy machine may need for what takes care a few"""


class Care:
    """`edge-flash care` for a server and a made-up board, with a service manager's socket to tell its news to."""

    def __init__(self, folder: Path, url: str, tree: Tree, settings: str = "", unit: str = "") -> None:
        self.log_file = folder / "care.log"
        self.hooks = folder / "hooks.d"
        self.statuses: list[str] = []
        self._notify = folder / "care-notify"
        configuration = folder / "care.toml"
        configuration.write_text(
            f'[server]\nurl = "{url}"\nunit = "{unit}"\n[hooks]\nfolder = "{self.hooks}"\n{settings}', encoding="utf-8"
        )
        self._command = [sys.executable, "-m", "firmware_hooks.flash.cli", "care", "--config", str(configuration)]
        self._command += ["--board", "raspberry-pi-4", "--root", str(tree.root)]

    def __enter__(self) -> Self:
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(self._notify))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env={**os.environ, "NOTIFY_SOCKET": str(self._notify), "WATCHDOG_USEC": "20000000"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._manager.close()

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)

    def says(self, pattern: str) -> str:
        """Wait for a message to the service manager."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if select.select([self._manager], [], [], 1)[0]:
                message = self._manager.recv(4096).decode()
                self.statuses.append(message)
                if re.search(pattern, message):
                    return message
            assert self.process.poll() is None, self.log
        raise AssertionError(f"never said {pattern}: {self.statuses}\n{self.log}")


def until(condition: Callable[[], Any], what: Callable[[], str] = str) -> Any:
    """Look again and again until something holds → what it gave."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        threading.Event().wait(0.05)
    raise AssertionError(f"it did not come about; {what()}")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        yield Path(name)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "board")


class Load(threading.Thread):
    """A client that asks without pause, and what became of every request."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.answered = 0
        self.refused: list[Overloaded] = []
        self.late = 0
        self.wrong: list[BaseException] = []
        self._over = threading.Event()
        self._url = url

    def run(self) -> None:
        with Client(self._url, timeout=30) as client:
            while not self._over.is_set():
                try:
                    assert client.understand(LONG, deadline_ms=400).intent == "iot_hue_lightoff"
                    self.answered += 1
                except Overloaded as error:
                    self.refused.append(error)
                except DeadlineExceeded:
                    self.late += 1
                except BaseException as error:
                    self.wrong.append(error)
                    return

    def end(self) -> None:
        self._over.set()
        self.join(60)


def slowed(client: Client) -> dict[str, Any] | None:
    found: dict[str, Any] | None = client.health()["slowed"]
    return found


def computed(client: Client) -> float:
    """Seconds that the network has run."""
    return sum(sample.value for sample in parse(client.metrics())["edge_infer_seconds_sum"])


def test_heat_under_load(folder: Path, tree: Tree) -> None:
    """A hot board slows a loaded server to its duty cycle with nothing lost; a cool one lets it go; a lost sensor and a
    killed governor each end as documented.
    """
    with Server(folder) as server, Client(server.url) as client, Care(folder, server.url, tree) as care:
        care.says(r"STATUS=the server is ready; 45 °C$")
        assert slowed(client) is None
        load = [Load(server.url) for _ in range(CLIENTS)]
        for each in load:
            each.start()
        until(lambda: all(each.answered for each in load))
        tree.degrees(79.2)
        hot = until(lambda: slowed(client), lambda: care.log)
        assert (hot["duty"], hot["reason"]) == (0.1, "79 °C")
        assert 0 < hot["for_ms"] <= 15_000
        before, began = computed(client), time.monotonic()
        refused = sum(len(each.refused) for each in load)
        until(lambda: time.monotonic() - began > 5)
        # never more than a tenth of the time, but for the one request that was begun before
        assert computed(client) - before <= 0.1 * (time.monotonic() - began) + 0.1
        hints = [error.retry_after for each in load for error in each.refused[-1:]]
        assert sum(len(each.refused) for each in load) > refused
        assert hints
        assert all(hint is not None and hint > 0 for hint in hints)
        care.says("slowed to 10%")
        tree.degrees(50)
        until(lambda: slowed(client) is None)
        tree.lose_sensor()
        blind = until(lambda: slowed(client), lambda: care.log)
        assert (blind["duty"], blind["reason"]) == (0.5, "the temperature sensor does not answer")
        tree.degrees(79.2)
        until(lambda: (slowed(client) or {}).get("duty") == 0.1)
        care.stop(signal.SIGKILL)
        until(lambda: slowed(client) is None)
        for each in load:
            each.end()
        assert [error for each in load for error in each.wrong] == []
        assert care.log.count("the server is slowed down") <= 3
        assert 'pace  duty=0.1 reason="79 °C"' in server.log


def test_stopped_in_order(folder: Path, tree: Tree) -> None:
    """Stopped while the board is hot, it lets the server go, gives the LED back and ends with status 0."""
    with Server(folder) as server, Client(server.url) as client, Care(folder, server.url, tree) as care:
        tree.degrees(78)
        until(lambda: slowed(client), lambda: care.log)
        assert (tree.led / "trigger").read_text() == "none"
        assert care.stop() == 0
        assert slowed(client) is None
        assert ((tree.led / "trigger").read_text(), (tree.led / "brightness").read_text()) == ("mmc0", "0")


def test_power_hooks_and_led(folder: Path, tree: Tree) -> None:
    """Undervoltage is logged once with its cause and its end; hooks run at both changes; the LED shows it."""
    said = folder / "said"
    for event in ("on-ready", "on-degraded"):
        hook = folder / "hooks.d" / event / "10-say"
        hook.parent.mkdir(parents=True)
        hook.write_text(f'#!/bin/sh\necho "$EDGE_EVENT|$EDGE_STATE|$EDGE_PREVIOUS_STATE|$EDGE_REASONS" >> {said}\n')
        hook.chmod(0o755)
    unit = tree.unit("edge-runtime.service")
    with Server(folder) as server, Care(folder, server.url, tree, unit="edge-runtime.service") as care:
        until(said.exists, lambda: care.log)
        until(lambda: (tree.led / "brightness").read_text() == "1")
        tree.undervoltage(True)
        care.says(r"degraded \(undervoltage\)")
        until(lambda: (tree.led / "brightness").read_text() == "0")
        until(lambda: len(said.read_text().splitlines()) == 2, lambda: care.log)
        tree.cooling(2)
        until(lambda: "step 2 of 4" in care.log)
        tree.undervoltage(False)
        until(lambda: len(said.read_text().splitlines()) == 3, lambda: care.log)
        server.kill()
        unit(False)
        care.says("the server is starting")
        care.says("the server is failed")
        until(lambda: len(said.read_text().splitlines()) == 4, lambda: care.log)
        server.start()
        unit(True)
        until(lambda: len(said.read_text().splitlines()) == 5, lambda: care.log)
        assert care.log.count("the supply's voltage is too low") == 1
        assert care.log.count("it is over  what=undervoltage") == 1
    assert said.read_text().splitlines() == [
        "on-ready|ready|starting|",
        "on-degraded|degraded|ready|undervoltage",
        "on-ready|ready|degraded|",
        "on-degraded|failed|ready|the server does not run",
        "on-ready|ready|failed|",
    ]


def test_a_stopped_service_is_not_started(folder: Path, tree: Tree) -> None:
    """Where the unit has no processes nobody connects to its socket: that would start a service that was stopped."""
    unit = tree.unit("edge-runtime.service")
    unit(False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(folder / "edge.sock"))
        listening.listen()
        with Care(folder, f"unix://{folder}/edge.sock", tree, unit="edge-runtime.service") as care:
            care.says(r"failed \(the server does not run\)")
            assert not select.select([listening], [], [], 0)[0]
            unit(True)
            assert select.select([listening], [], [], PATIENCE)[0]


def test_a_trial_is_ended(folder: Path, tree: Tree, tmp_path: Path) -> None:
    """A pushed model that answers becomes good, and the hooks hear that another model is served."""
    (tmp_path / "releases").mkdir()
    releases = made.make(tmp_path / "releases", (1, 2))
    models, said = folder / "models", folder / "said"
    hook = folder / "hooks.d/on-model-switch/say"
    hook.parent.mkdir(parents=True)
    hook.write_text(f'#!/bin/sh\necho "$EDGE_MODEL $EDGE_DIGEST $EDGE_PREVIOUS_DIGEST" > {said}\n')
    hook.chmod(0o755)
    board = Board(models, releases.keys, f"unix://{folder}/edge.sock")
    board.push(releases.statement(1), releases.source(1), allow_downgrade=False, switch=True)
    board.confirm(None)
    slots = board.slots(made.NAME)
    settings = f'[models]\nfolder = "{models}"\nkeys = "{releases.keys}"\nrequests = 5\n'
    with Server(folder, models=[slots.current]) as server, Care(folder, server.url, tree, settings) as care:
        care.says("the server is ready")
        before = slots.record().current.manifest
        board.push(releases.statement(2), releases.source(2), allow_downgrade=False, switch=True)
        assert slots.record().current.state == "trial"

        def good() -> bool:
            with Client(server.url) as client:
                client.understand(TEXT)
            return slots.record().current.state == "good"

        until(good, lambda: care.log)
        until(lambda: said.exists() and said.read_text().endswith("\n"), lambda: care.log)
        assert said.read_text().split() == [made.NAME, slots.record().current.manifest, before]
        until(lambda: "outcome=good" in care.log, lambda: care.log)


def test_a_wrong_configuration(folder: Path, tree: Tree) -> None:
    """A configuration that cannot be used is told in a sentence, with status 1."""
    with Care(folder, "unix:///x", tree, "[thermal]\nlimit = 'hot'\n") as care:
        assert care.process.wait(30) == 1
        assert "thermal.limit must be a number, not 'hot'" in care.log
