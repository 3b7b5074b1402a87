"""An emulated board with a card in it: a console to type on, a second UART, a network card, a power switch.

    with Board(Card("edge.img"), "virt", core="cortex-a53") as board:
        board.wait_for_shell()
        board.shell("systemctl is-system-running")
        Client(f"serial://{board.uart}?baud=115200")

It starts as a board does whose firmware has read the boot partition: QEMU is given the kernel, the initramfs and the
arguments that lie there. On virt-uefi a UEFI reads them itself.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType

QEMU = "qemu-system-aarch64"
DEFAULT_IMAGE = Path("build/arm/edge.img")
SERIAL = "serial:///dev/ttyS0?baud=115200"
"""the second UART of `virt`, where the server answers"""
UEFI = Path("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd")
"""of Debian's package qemu-efi-aarch64"""
BLUETOOTH = "/soc/serial@7e201000/bluetooth"
"""of a Raspberry Pi 3's device tree; on the PL011"""
PATIENCE = 600.0
"""seconds until a board that says nothing is taken for stuck: a busy machine emulates slowly"""
LINES = 30
"""of its console that an error shows"""
MIB = 1 << 20


class BoardError(Exception):
    """What the board did not do, and its last words."""


@dataclass(frozen=True, slots=True)
class Card:
    """An image that was written to a card."""

    file: Path

    @classmethod
    def written(cls, image: Path, file: Path, size: int = 512 * MIB) -> Card:
        """Write an image to a larger card; cards of Raspberry Pis have a power of two of bytes in QEMU."""
        subprocess.run(["cp", "--sparse=always", image, file], check=True)
        with file.open("r+b") as card:
            card.truncate(size)
        return cls(file)

    def boot_file(self, name: str, into: Path) -> Path:
        """Fetch a file from the boot partition."""
        target = into / name
        # 4 MiB: where the first partition begins
        command = ["mcopy", "-n", "-o", "-i", f"{self.file}@@{4 * MIB}", f"::/{name}", str(target)]
        subprocess.run(command, check=True, capture_output=True)
        return target


class Board:
    """Leaving the `with` block cuts its power."""

    def __init__(
        self,
        card: Card,
        machine: str = "virt",
        *,
        core: str = "cortex-a72",
        disk: str | None = None,
        arguments: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> None:
        """A board that is switched off.

        Args:
            card: in its slot; it keeps what is written.
            machine: virt, virt-uefi or raspi3b.
            core: of virt.
            disk: what QEMU takes in the card's place, such as nbd:unix:SOCKET.
            arguments: further ones for the kernel.
            extra: further options of QEMU.
        """
        self.card, self.machine, self.core = card, machine, core
        self.lines: list[tuple[float, str]] = []
        """(seconds since power-on, line of the console)"""
        self.uart = ""
        """path of the second UART's pseudo-terminal"""
        self.ssh_port = 0
        """on this machine, that leads to the board's 22"""
        self._disk, self._arguments, self._extra = disk, tuple(arguments), tuple(extra)
        self._changed = threading.Condition()
        self._ended = False
        self._numbers = count()

    def __enter__(self) -> Board:
        self._folder = tempfile.TemporaryDirectory()
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            self._command(Path(self._folder.name)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._folder.cleanup()

    @property
    def running(self) -> bool:
        """Whether it has power and did not switch itself off."""
        return self._process.poll() is None

    def cut(self) -> None:
        """Cut its power, and wait until it is gone."""
        self.kill()
        self._process.wait()

    def kill(self) -> None:
        """Cut its power: SIGKILL, so that QEMU writes nothing more either."""
        if self.running:
            self._process.kill()

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Wait for a line of the console, also one that came before.

        Raises:
            BoardError: it did not come.
        """
        limit, seen = time.monotonic() + patience, 0
        with self._changed:
            while True:
                for _, line in self.lines[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = len(self.lines)
                if self._ended:
                    raise BoardError(f"QEMU ended before {pattern!r}:\n{self.tail()}")
                if not self._changed.wait(max(0.0, limit - time.monotonic())):
                    raise BoardError(f"no {pattern!r} within {patience:.0f} s:\n{self.tail()}")

    def wait_for_shell(self) -> None:
        """Wait until the shell on the console is there."""
        # What is typed before it is there may be lost, or fill the line: and then asked again until it answers.
        self.wait_for("built-in shell")
        limit = time.monotonic() + PATIENCE
        while True:
            token = f"shell-{next(self._numbers)}"
            # the quotes are not in the answer, so that the echo of what is typed is not taken for it
            settings = "stty -echo; PS1= PS2=; export SYSTEMD_COLORS=0 SYSTEMD_PAGER= COLUMNS=500"
            self._type(f"{settings}; echo {token[:3]}''{token[3:]}\n")
            try:
                self.wait_for(f"^{token}", 3.0)
            except BoardError:
                if not self.running or time.monotonic() > limit:
                    raise
            else:
                return

    def shell(self, command: str, *, check: bool = True, patience: float = PATIENCE) -> str:
        """Run a command as root on the console and return what it printed.

        Raises:
            BoardError: its exit status was not 0 (where that matters), or it did not end.
        """
        number = next(self._numbers)
        with self._changed:
            start = len(self.lines)
        self._type(f"echo be''gun-{number}; {{ {command}\n}} 2>&1; echo; echo en''ded-{number} $?\n")
        ended = self.wait_for(rf"^ended-{number} (\d+)", patience)
        with self._changed:
            lines = [line for _, line in self.lines[start:]]
        first, last = (
            next(i for i, line in enumerate(lines) if line.startswith(f"{word}-{number}"))
            for word in ("begun", "ended")
        )
        # the empty line is ours, after output that does not end with a line's end
        output = "\n".join(lines[first + 1 : last]).removesuffix("\n")
        if check and ended[1] != "0":
            raise BoardError(f"{command!r} ended with {ended[1]}:\n{output}")
        return output

    def python(self, code: str) -> str:
        """Run Python on the board, where the runtime's packages can be imported, and return what it printed."""
        return self.shell(f"PYTHONPATH=/opt/edge-runtime/current/packages python3 -c {shlex.quote(code)}")

    def power_off(self) -> int:
        """Let it switch itself off; QEMU's exit status."""
        self._type("systemctl poweroff\n")
        return self._process.wait(PATIENCE)

    def tail(self) -> str:
        """The last lines of the console."""
        return "\n".join(f"{seconds:7.2f} {line}" for seconds, line in self.lines[-LINES:])

    def _command(self, folder: Path) -> list[str]:
        kernel, initramfs = (self.card.boot_file(name, folder) for name in ("vmlinuz", "initrd.img"))
        arguments = [*self.card.boot_file("cmdline.txt", folder).read_text().split(), *self._arguments]
        disk = self._disk or str(self.card.file)
        command = [QEMU, "-display", "none", "-monitor", "none", "-no-reboot", "-m", "1024", "-chardev", "pty,id=uart"]
        command += ["-serial", "stdio"]
        drive = f"file={disk},format=raw,cache=writeback"
        if self.machine in ("virt", "virt-uefi"):
            command += ["-M", "virt", "-cpu", self.core, "-smp", "2", "-drive", f"{drive},if=none,id=card"]
            command += ["-device", "virtio-blk-pci,drive=card", "-device", "pci-serial,chardev=uart"]
            command += ["-device", "virtio-rng-pci", "-device", "i6300esb"]
            # no boot ROM for the network card: it is in a package of its own and not needed
            command += ["-device", "virtio-net-pci,netdev=net,romfile="]
            self.ssh_port = _free_port()
            command += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"]
        else:
            devicetree = self.card.boot_file("bcm2837-rpi-3-b.dtb", folder)
            # else the kernel keeps the first UART for it, and what is typed there reaches nobody
            subprocess.run(["fdtput", "-t", "s", devicetree, BLUETOOTH, "status", "disabled"], check=True)
            command += ["-M", self.machine, "-dtb", str(devicetree), "-drive", f"{drive},if=sd"]
            command += ["-serial", "chardev:uart"]
            # QEMU's first UART is the PL011
            # QEMU's watchdog resets the board as soon as it is started
            # what the kernel misses of the firmware would come between what the tests read
            arguments += ["console=ttyAMA0,115200", "loglevel=3", "systemd.watchdog_sec=0"]
        if self.machine == "virt-uefi":
            return [*command, "-bios", str(UEFI), *self._extra]
        starting = ["-kernel", str(kernel), "-initrd", str(initramfs), "-append", " ".join(arguments)]
        return [*command, *starting, *self._extra]

    def _type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in iter(self._process.stdout.readline, b""):
            line = raw.decode("utf-8", "replace").rstrip()
            seconds = time.monotonic() - self._begun
            with self._changed:
                if pty := re.search(r"redirected to (/dev/pts/\d+) \(label uart\)", line):
                    self.uart = pty[1]
                self.lines.append((seconds, line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def image() -> Path:
    """The image that EDGE_BOARD_IMAGE names.

    Raises:
        BoardError: there is none.
    """
    path = Path(os.environ.get("EDGE_BOARD_IMAGE", DEFAULT_IMAGE))
    if not path.exists():
        raise BoardError(f"there is no image {path}: python -m tests.arm.board {path}")
    return path
