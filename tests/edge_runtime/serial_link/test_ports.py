"""Ports: URLs, pyserial's handlers, other readers."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_runtime.errors import InputError
from edge_runtime.serial_link import address, consoles, ports
from edge_runtime.serial_link.ports import Port, PortError


@pytest.fixture
def device() -> Iterator[tuple[int, str]]:
    """A pty: the descriptor of one side and the name of the other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    os.set_blocking(master, False)
    yield master, name
    with suppress(OSError):
        os.close(master)


def wait(descriptor: int) -> None:
    """Until there is something to read."""
    assert select.select([descriptor], [], [], 30)[0], "nothing came"


def read(port: Port, count: int) -> bytes:
    found = b""
    while len(found) < count:
        wait(port.descriptor)
        found += port.read()
    return found


class TestUrls:
    """What users write."""

    @pytest.mark.parametrize(
        ("url", "port", "baud", "pause"),
        [
            ("/dev/ttyS0", "/dev/ttyS0", 115_200, 20),
            ("serial:///dev/ttyUSB0?baud=9600", "/dev/ttyUSB0", 9600, 20),
            ("socket://board:5000?pause=3", "socket://board:5000", 115_200, 3),
            ("spy:///dev/ttyS0?file=log.txt&baud=auto", "spy:///dev/ttyS0?file=log.txt", None, 20),
            ("serial://loop://", "loop://", 115_200, 20),
        ],
    )
    def test_read(self, url: str, port: str, baud: int | None, pause: int) -> None:
        """Our options are taken out, pyserial's stay."""
        found = address.parse(url)
        assert (found.port, found.baud, found.pause) == (port, baud, pause)

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("serial://", "names no port"),
            ("/dev/ttyS0?baud=fast", "50 to 20000000 or auto"),
            ("/dev/ttyS0?baud=-1", "50 to 20000000 or auto"),
            ("/dev/ttyS0?frame=20", "64 to 1024"),
            ("/dev/ttyS0?pause=1e3", "0 to 60000"),
        ],
    )
    def test_refused(self, url: str, said: str) -> None:
        """What makes no sense is said in a sentence."""
        with pytest.raises(InputError, match=said):
            address.parse(url)

    def test_unknown_handler(self) -> None:
        """A scheme that pyserial does not have is refused before the server starts."""
        with pytest.raises(InputError, match="no serial port"):
            ports.check(address.parse("telepathy://x"))


class TestPorts:
    """Reading and writing without waiting."""

    def test_device(self, device: tuple[int, str]) -> None:
        """Bytes go both ways, raw; where there is nothing to read, nothing is waited for."""
        master, name = device
        port, complaint = ports.open_port(address.parse(name), 115_200)
        try:
            assert complaint is None and port.read() == b""
            every = bytes(range(256))
            os.write(master, every)
            assert read(port, 256) == every
            assert port.write(every) == 256
            wait(master)
            assert os.read(master, 999) == every
            port.set_baud(9600)
        finally:
            port.close()

    def test_full(self, device: tuple[int, str]) -> None:
        """Where nobody reads, writing says that there is no room, at once."""
        port, _ = ports.open_port(address.parse(device[1]), 115_200)
        try:
            while port.write(bytes(1000)):
                pass
            assert port.write(b"x") == 0
        finally:
            port.close()

    def test_gone(self, device: tuple[int, str]) -> None:
        """A port that is unplugged says so when it is read."""
        master, name = device
        port, _ = ports.open_port(address.parse(name), 115_200)
        os.close(master)
        try:
            with pytest.raises(PortError, match="gone"):
                read(port, 1)
        finally:
            port.close()

    def test_not_there(self, tmp_path: Path) -> None:
        """A device that is not there is named."""
        with pytest.raises(PortError, match="there is no"):
            ports.open_port(address.parse(str(tmp_path / "ttyUSB9")), 115_200)

    def test_socket(self) -> None:
        """socket:// goes over TCP."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port, _ = ports.open_port(address.parse(f"socket://127.0.0.1:{listening.getsockname()[1]}"), 115_200)
            with listening.accept()[0] as other:
                other.sendall(b"hello")
                assert read(port, 5) == b"hello"
                assert port.write(b"back") == 4
                assert other.recv(9) == b"back"
                port.set_baud(9600)
            with pytest.raises(PortError, match="gone"):
                read(port, 1)
            port.close()

    def test_loop(self) -> None:
        """loop://, which has no descriptor, gets one, and gives back what it was given."""
        port, _ = ports.open_port(address.parse("loop://"), 115_200)
        assert port.write(b"round and round") == 15
        assert read(port, 15) == b"round and round"
        port.close()

    def test_spy(self, device: tuple[int, str], tmp_path: Path) -> None:
        """spy:// writes down what goes over a device."""
        log = tmp_path / "log"
        port, _ = ports.open_port(address.parse(f"spy://{device[1]}?file={log}"), 115_200)
        os.write(device[0], b"in")
        assert read(port, 2) == b"in"
        port.write(b"out")
        port._serial.formatter.output.close()
        port.close()
        written = log.read_text(encoding="utf-8")
        assert "RX" in written and "TX" in written


class TestOtherReaders:
    """Ports that are not ours alone."""

    def test_second_server(self, device: tuple[int, str]) -> None:
        """A port that another of us has is refused, and its holder named."""
        name = device[1]
        program = (
            "import sys; from edge_runtime.serial_link import address, ports;"
            f"held = ports.open_port(address.parse({name!r}), 9600); print('held', flush=True); sys.stdin.read()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with other:
            assert other.stdout is not None and other.stdout.readline() == "held\n"
            with pytest.raises(PortError, match=rf"taken by .*\(process {other.pid}\)"):
                ports.open_port(address.parse(name), 115_200)
            other.communicate()
        ports.open_port(address.parse(name), 115_200)[0].close()

    def test_login_console(self, device: tuple[int, str], tmp_path: Path) -> None:
        """A port with a login console is not opened, and the way to free it is named."""
        getty = tmp_path / "agetty"
        shutil.copy("/bin/sleep", getty)
        with open(device[1], "rb+", buffering=0) as held:  # noqa: PTH123  a device
            console = subprocess.Popen([getty, "60"], stdin=held)
        try:
            with pytest.raises(PortError, match=r"login console .*agetty.*systemctl disable --now serial-getty@"):
                ports.open_port(address.parse(device[1]), 115_200)
        finally:
            console.kill()
            console.wait()

    def test_reader_without_a_lock(self, device: tuple[int, str]) -> None:
        """Any other program at the port is named, and the port used."""
        with open(device[1], "rb+", buffering=0) as held:  # noqa: PTH123  a device
            reader = subprocess.Popen(["sleep", "60"], stdin=held)
        try:
            port, complaint = ports.open_port(address.parse(device[1]), 115_200)
            port.close()
            assert complaint is not None and f"sleep (process {reader.pid})" in complaint
            assert [each.pid for each in consoles.readers(device[1])] == [reader.pid]
        finally:
            reader.kill()
            reader.wait()
