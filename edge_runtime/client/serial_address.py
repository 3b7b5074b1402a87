"""A server at the other end of a serial port (docs/serial.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.serial_link.address import SerialUrl, parse

if TYPE_CHECKING:
    import asyncio
    import socket
    from asyncio import BaseTransport
    from asyncio import Protocol as AsyncProtocol

OPENING = 10.0
"""seconds that `open` waits for the server to answer"""


@dataclass(frozen=True, slots=True)
class Serial:
    """A serial port. pyserial is imported when it is opened."""

    url: SerialUrl

    @classmethod
    def parse(cls, rest: str) -> Serial:
        return cls(parse(rest))

    def __str__(self) -> str:
        return f"serial://{self.url}"

    def connect(self, timeout: float) -> socket.socket:
        from edge_runtime.serial_link.bridge import connect
        from edge_runtime.serial_link.ports import PortError

        try:
            return connect(self.url, timeout)
        except PortError as error:
            raise OSError(str(error)) from None

    async def open(self, factory: Callable[[], AsyncProtocol]) -> BaseTransport:
        import asyncio

        loop = asyncio.get_running_loop()
        connecting = loop.run_in_executor(None, self.connect, OPENING)
        try:
            connected = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close)
            raise
        return (await loop.create_connection(factory, sock=connected))[0]


def _close(connecting: asyncio.Future[socket.socket]) -> None:
    """Nobody waits for it any more."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()
