"""Serial ports that never wait. pyserial is imported when the first one is opened."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from contextlib import suppress
from typing import Any

from edge_runtime.errors import EdgeError, InputError
from edge_runtime.serial_link import consoles
from edge_runtime.serial_link.address import SerialUrl

_READ = 4096
"""bytes asked for at once"""
_HELD = 4096
"""bytes between us and a thread: what lies there cannot be taken back"""
_ENDING = 1.0
"""seconds that a thread is given to notice that its port was closed"""
_INT = struct.Struct("i")


class PortError(EdgeError):
    """The port cannot be opened or has gone; its text says what to do."""


class Port:
    """An open port with a descriptor to wait at."""

    def __init__(self, serial: Any) -> None:
        """`serial`: pyserial's object, opened with both time-outs 0."""
        self._serial = serial
        self.descriptor: int = serial.fileno()
        self._poll = select.poll()
        self._poll.register(self.descriptor, select.POLLOUT)

    def read(self) -> bytes:
        """What has come, perhaps nothing.

        Raises:
            PortError: the port has gone.
        """
        try:
            data: bytes = self._serial.read(_READ)
        except (OSError, TypeError, ValueError) as error:
            # pyserial's errors are OSErrors; the other two come from a port that is closed meanwhile
            raise PortError(f"the port has gone: {error}") from None
        return data

    def write(self, data: bytes) -> int:
        """Hand over as much as there is room for → bytes.

        Raises:
            PortError: the port has gone.
        """
        # pyserial tries again and again, at full speed, where there is no room
        found = self._poll.poll(0)
        if not found or not found[0][1] & (select.POLLOUT | select.POLLERR | select.POLLHUP):
            return 0
        if found[0][1] & (select.POLLERR | select.POLLHUP):
            raise PortError("the port has gone: it was hung up")
        try:
            return int(self._serial.write(data))
        except (OSError, TypeError, ValueError) as error:
            raise PortError(f"the port has gone: {error}") from None

    def backlog(self) -> int:
        """Bytes that the driver has not sent yet, as far as it says so."""
        try:
            return int(_INT.unpack(fcntl.ioctl(self.descriptor, termios.TIOCOUTQ, bytes(_INT.size)))[0])
        except OSError:
            return 0

    def set_baud(self, baud: int) -> None:
        """Raises PortError where the port has gone, or does not know the rate."""
        try:
            self._serial.baudrate = baud
        except (OSError, ValueError) as error:
            raise PortError(f"the port cannot be set to {baud} baud: {error}") from None

    def close(self) -> None:
        """May take a moment: what the driver holds is sent first."""
        with suppress(OSError, TypeError):
            self._serial.close()


class _Behind:
    """What pyserial has no descriptor for, behind a socket and two threads."""

    def __init__(self, serial: Any) -> None:
        self._serial = serial
        self._ours, self._theirs = socket.socketpair()
        for each in (self._ours, self._theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _HELD)
        self._ours.setblocking(False)
        works = (self._from_port, self._to_port)
        self._threads = [threading.Thread(target=work, daemon=True, name="serial port") for work in works]
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        return self._ours.fileno()

    def read(self, size: int) -> bytes:
        try:
            data = self._ours.recv(size)
        except BlockingIOError:
            return b""
        if not data:
            raise OSError(errno.EIO, "it was closed")
        return data

    def write(self, data: bytes) -> int:
        try:
            return self._ours.send(data)
        except BlockingIOError:
            return 0

    @property
    def baudrate(self) -> int:
        return int(self._serial.baudrate)

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        self._serial.baudrate = baud

    def close(self) -> None:
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._ours.close()
        self._serial.close()
        for thread in self._threads:
            thread.join(_ENDING)
        self._theirs.close()

    def _from_port(self) -> None:
        with suppress(Exception):  # whatever a handler of pyserial's raises: the port has gone
            while True:
                data = self._serial.read(1)
                if data:
                    self._theirs.sendall(data + self._serial.read(min(self._serial.in_waiting, _READ)))
        self._end()

    def _to_port(self) -> None:
        with suppress(Exception):  # as above
            while data := self._theirs.recv(_READ):
                self._serial.write(data)
        self._end()

    def _end(self) -> None:
        with suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)


def check(url: SerialUrl) -> None:
    """Raises InputError for a URL that pyserial does not know."""
    import serial

    try:
        serial.serial_for_url(url.port, do_not_open=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{url.port!r} is no serial port: {error}") from None


def open_port(url: SerialUrl, baud: int) -> tuple[Port, str | None]:
    """Open a port for ourselves alone → it, and what is wrong there all the same (a second reader, say).

    Raises:
        PortError: it cannot be opened; or a login console reads it.
    """
    import serial

    device = url.device
    if device is not None:
        complaint = consoles.complaint(device)
        if complaint is not None and complaint.startswith("a login console"):
            raise PortError(complaint)
    else:
        complaint = None
    try:
        opened = serial.serial_for_url(url.port, baudrate=baud, timeout=0, write_timeout=0, exclusive=True)
    except (OSError, ValueError) as error:
        raise PortError(_why(url, device, error)) from None
    try:
        descriptor = opened.fileno()
    except (OSError, AttributeError):
        # io.UnsupportedOperation is an OSError
        opened.timeout, opened.write_timeout = 0.2, None
        return Port(_Behind(opened)), complaint
    with suppress(OSError):
        # root may open it all the same, and so may who had it open before
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
    return Port(opened), complaint


def _why(url: SerialUrl, device: str | None, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if device is not None:
        if number in (errno.EAGAIN, errno.EBUSY):
            others = ", ".join(map(str, consoles.readers(device))) or "this program itself, or one of another user"
            return f"{device} is taken by {others}; end that first"
        if number == errno.EACCES:
            return f"{device} may not be opened by this user; add it to the group that owns the device (dialout)"
        if number == errno.ENOENT or not os.path.exists(device):  # noqa: PTH110  a device's name
            return f"there is no {device}; it is opened as soon as it is there"
    return f"{url.port} cannot be opened: {error}"
