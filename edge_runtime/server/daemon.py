"""The life of the server: sockets, models, signals, news for the service manager, a graceful end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import InputError
from edge_runtime.own_process import loaded
from edge_runtime.protocol.limits import Limits
from edge_runtime.server.activation import inherited_sockets
from edge_runtime.server.connection import Connection
from edge_runtime.server.listeners import BACKLOG, UnixListener, tcp_listeners
from edge_runtime.server.logs import EventLog
from edge_runtime.server.monitoring import Monitoring
from edge_runtime.server.notify import Notifier
from edge_runtime.server.served import ServedModel
from edge_runtime.server.service import Service
from edge_runtime.server.worker import Settings

if TYPE_CHECKING:
    from edge_runtime.server.serial_port import SerialPort

SWEEP = 0.2
"""seconds between two looks for what takes too long"""
PROBE = 30.0
"""seconds between two self-tests of idle workers where no service manager watches"""
DRAIN = 20.0
"""seconds that accepted requests are given to be answered when the server stops"""
LEAST_TOKEN = 16
"""characters; a token is a password that nobody has to type"""
MONITORING = "metrics"
"""FileDescriptorName= of an inherited socket that is meant for scrapes"""

log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What `edge-runtime serve` was told."""

    models: tuple[Settings, ...]
    workers: int
    queue: int
    limits: Limits
    unix: Path | None
    mode: int
    group: str | None
    tcp: tuple[str, ...]
    allow_remote: bool
    token_file: Path | None
    metrics: str | None
    serial: tuple[str, ...] = ()


def run(options: Options) -> None:
    """Serve until a signal says to stop.

    Raises:
        EdgeError: the server cannot be started.
    """
    asyncio.run(_Daemon(options).run())


class _Daemon:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._notifier = Notifier.from_environment()
        token = None if options.token_file is None else read_token(options.token_file)
        if options.allow_remote and token is None:
            raise InputError("--allow-remote needs a --token-file: whoever reaches the port could ask otherwise")
        self._service = Service(options.limits, token)
        self._connections: set[Connection] = set()
        self._sockets: list[socket.socket] = []
        self._unix: list[UnixListener] = []
        self._monitoring: list[Monitoring] = []
        self._serial: list[SerialPort] = []
        self._stop = asyncio.Event()
        self._reloads = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        models = [
            ServedModel(
                settings, self._options.workers, self._options.queue, self._service.measures, self._service.pace
            )
            for settings in self._options.models
        ]
        servers: list[asyncio.Server] = []
        chores: list[asyncio.Task[None]] = []
        try:
            servers = await self._listen()
            chores.append(loop.create_task(self._sweep()))
            await self._start(models)
            chores.append(loop.create_task(self._watch()))
            await self._stop.wait()
            await self._drain(servers)
        finally:
            for chore in chores:
                chore.cancel()
            for server in servers:
                server.close()
            for monitoring in self._monitoring:
                await monitoring.close()
            for port in self._serial:
                await port.close()
            for listener in self._unix:
                listener.remove()
            for listening in self._sockets:
                listening.close()
            for model in models:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(model.stop(), DRAIN)
                model.kill()
            self._notifier.close()

    async def _listen(self) -> list[asyncio.Server]:
        """Open all sockets, and take what a service manager opened."""
        options = self._options
        inherited = inherited_sockets()
        self._sockets = [each.socket for each in inherited if each.name != MONITORING]
        scraped = [each.socket for each in inherited if each.name == MONITORING]
        if options.unix is not None:
            self._sockets.append(self._listen_at(options.unix))
        for address in options.tcp:
            self._sockets += tcp_listeners(address, beyond_this_machine=options.allow_remote)
        if options.serial:
            from edge_runtime.server.serial_ports import serial_ports

            self._serial = serial_ports(self._service, options.serial)
        if not self._sockets and not self._serial:
            raise InputError("there is nothing to listen on: give --socket, --tcp or --serial")
        if options.metrics is not None:
            if "/" in options.metrics:
                scraped.append(self._listen_at(Path(options.metrics)))
            else:
                scraped += tcp_listeners(options.metrics, beyond_this_machine=False)
        self._monitoring = [Monitoring(self._metrics, self._health) for _ in scraped]
        for monitoring, listening in zip(self._monitoring, scraped, strict=True):
            await monitoring.start(listening)
        service, connections = self._service, self._connections
        loop = asyncio.get_running_loop()
        # create_server also takes Unix sockets, and never removes their files
        servers = [
            await loop.create_server(lambda: Connection(service, connections), sock=listening, backlog=BACKLOG)
            for listening in self._sockets
        ]
        for port in self._serial:
            port.start()
        for listening in self._sockets:
            log.info("listening", address=_name(listening))
        return servers

    def _listen_at(self, path: Path) -> socket.socket:
        listener = UnixListener(path, self._options.mode, self._options.group)
        self._unix.append(listener)
        return listener.socket

    async def _start(self, models: list[ServedModel]) -> None:
        starting = asyncio.create_task(self._service.start(models))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            for model in models:
                model.kill()
            with suppress(asyncio.CancelledError):
                await starting
            return
        await starting
        for model in models:
            described = model.description
            log.info("serving", model=described.name, digest=described.digest, backend=described.backend)
        loaded()
        self._service.on_reload = self._reloading
        self._notifier.ready(self._status())
        self._notifier.watchdog()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = time.monotonic()
            for connection in list(self._connections):
                connection.sweep(now)
            for port in self._serial:
                port.sweep()
            for model in self._service.models.values():
                model.sweep(now)

    async def _watch(self) -> None:
        """Probe idle workers, and tell the service manager that all is well only if they answered."""
        interval = self._notifier.watchdog_interval or PROBE
        while True:
            models = self._service.models.values()
            before = time.monotonic()
            for model in models:
                model.probe()
            await asyncio.sleep(interval)
            if all(model.alive_since(before) for model in models):
                self._notifier.watchdog()
            else:
                log.error("a worker does not answer; the service manager is not told that all is well")

    async def _drain(self, servers: list[asyncio.Server]) -> None:
        """Answer what was accepted, then end the connections."""
        log.info("stopping", connections=len(self._connections))
        self._service.stopping = True
        self._notifier.stopping()
        for server in servers:
            server.close()
        end = time.monotonic() + DRAIN
        self._stop.clear()
        while time.monotonic() < end and not self._stop.is_set():
            connections = all(connection.idle for connection in self._connections)
            if connections and all(port.idle for port in self._serial):
                break
            await asyncio.sleep(0.01)
        for port in self._serial:
            port.end()
        for connection in list(self._connections):
            connection.end("stopping")
        while self._connections and time.monotonic() < end and not self._stop.is_set():
            await asyncio.sleep(0.01)

    def _signalled(self, number: int) -> None:
        """The first time: stop in order. The second time: at once."""
        log.info("signal", name=signal.Signals(number).name)
        self._stop.set()

    def _hung_up(self) -> None:
        if self._service.started and not self._service.stopping:
            self._service.reload(None, lambda _: None)

    def _reloading(self, begins: bool) -> None:
        self._reloads += 1 if begins else -1
        if begins and self._reloads == 1:
            self._notifier.reloading()
        elif not self._reloads:
            self._notifier.ready(self._status())

    def _status(self) -> str:
        return "serving " + ", ".join(
            f"{name} {model.description.digest[:12]}" for name, model in self._service.models.items()
        )

    async def _metrics(self) -> str:
        return self._service.metrics()

    async def _health(self) -> tuple[str, Any]:
        health = self._service.health()
        return health["state"], health


def read_token(path: Path) -> str:
    """The one line of a token file.

    Raises:
        InputError: it cannot be read, others can read it, or it is too short to be a secret.
    """
    try:
        shared = path.stat().st_mode & 0o007
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the token file {path} cannot be read: {error}") from None
    if shared:
        raise InputError(f"the token file {path} can be read by everybody: chmod 640 {path}")
    if len(token) < LEAST_TOKEN or not token.isprintable():
        raise InputError(f"the token in {path} must be one line of at least {LEAST_TOKEN} characters")
    return token


def _name(listening: socket.socket) -> str:
    place = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return "unix://" + (os.fsdecode(place) if place else "unnamed")
    host, port = place[:2]
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
