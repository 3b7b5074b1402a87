"""The bare-metal example on an emulated board, its UART on a pseudo-terminal."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

MACHINES = ("lm3s6965evb", "microbit")
PATIENCE = 60
"""seconds until a board that does not end is taken for stuck"""


class Board:
    """A microcontroller that is stopped at first: `port` is its UART; `run` lets it go and waits for its end."""

    def __init__(self, machine: str, firmware: Path, texts: Sequence[str]) -> None:
        """`texts`: what it asks, as examples/cortex_m/main.c has it."""
        # commas separate QEMU's options and are doubled
        asked = "|".join(texts).replace(",", ",,")
        self._command = ["qemu-system-arm", "-M", machine, "-kernel", str(firmware), "-S", "-display", "none"]
        self._command += ["-nic", "none", "-chardev", "pty,id=uart", "-serial", "chardev:uart", "-qmp", "stdio"]
        self._command += ["-semihosting-config", f"enable=on,target=native,arg=client,arg={asked}"]

    def __enter__(self) -> Board:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe)
        self._receive("QMP")
        self._ask("qmp_capabilities")
        devices = self._ask("query-chardev")
        name = next(device["filename"] for device in devices if device["label"] == "uart")
        self.port: str = name.partition(":")[2]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def run(self) -> tuple[int, list[str]]:
        """Its exit status, and the lines that it said."""
        self._ask("cont")
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode()
        timer.cancel()
        return self._process.wait(), said.splitlines()

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"execute": command}).encode() + b"\n")
        self._process.stdin.flush()
        return self._receive("return")

    def _receive(self, key: str) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line) if line.startswith(b"{") else {}
            if key in message:
                return message[key]
        raise EOFError("QEMU has ended")
