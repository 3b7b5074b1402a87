"""A serial port that is served: opened, lost, found again; never waited for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from edge_runtime.serial_link.address import RATES, SerialUrl
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.flow import Flow
from edge_runtime.serial_link.frames import MOST_REQUESTS, STOPPING, Terms
from edge_runtime.serial_link.messages import CRC
from edge_runtime.serial_link.ports import Port, PortError, open_port
from edge_runtime.serial_link.server_link import VERSION, ServerLink
from edge_runtime.server.logs import EventLog
from edge_runtime.server.serial_host import SerialHost

if TYPE_CHECKING:
    from edge_runtime.server.serial_measures import SerialMeasures
    from edge_runtime.server.service import Service

WINDOW = 4096
"""bytes of credit: more than any UART has under way"""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""seconds before a port that was lost is opened again, doubled each time: a plug that is put back is served at once"""
LISTEN = 1.0
"""seconds at one rate with `baud=auto`: three HELLOs"""
TOO_DAMAGED = 16
"""damaged frames with no good one between them after which the rate counts as wrong"""
ECHOES = 3
"""frames of our own that came back before it is said"""
GRACE = 2.0
"""seconds that a client is given to fetch its last reply when the server stops"""

log = EventLog(__name__)


class SerialPort:
    """One port and whoever is at its other end."""

    def __init__(self, service: Service, url: SerialUrl, measures: SerialMeasures) -> None:
        self._service = service
        self._url = url
        self._measures = measures
        self._counters = Counters()
        self._host = SerialHost(service, str(url), self._wake)
        self._link: ServerLink | None = None
        self._flow: Flow | None = None
        self._lost = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None
        self._rate = 0
        """place in RATES, with `baud=auto`"""
        self._listening_since: float | None = None
        self._was_open = False
        self._echoed = False
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the port as soon as it can be, and whenever it is lost."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, or its client has been silent for so long that it is not there."""
        if self._flow is None or self._host.idle:
            return True
        return asyncio.get_running_loop().time() - self._heard_at > GRACE

    def end(self) -> None:
        """Tell the client that the server stops."""
        if self._link is not None:
            self._link.reset(STOPPING)
            self._pump()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._release()

    def sweep(self) -> None:
        """Due every fraction of a second."""
        now = asyncio.get_running_loop().time()
        if self._flow is not None:
            self._host.refresh(now)
            self._find_rate(now)
            self._pump()
        self._measures.follow(str(self._url), self._counters, self._flow is not None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause, said = FIRST_PAUSE, ""
        while True:
            try:
                port, complaint = await loop.run_in_executor(None, open_port, self._url, self._baud())
            except PortError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("a serial port cannot be opened; it will be tried again", reason=said)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            if complaint is not None:
                log.warning("a serial port is not ours alone", port=self._url, reason=complaint)
            log.info("serving a serial port", port=self._url, baud=self._url.baud or "auto")
            pause, said = FIRST_PAUSE, ""
            self._attach(port)
            await self._lost.wait()
            await self._release()
            await asyncio.sleep(pause)

    def _attach(self, port: Port) -> None:
        loop = asyncio.get_running_loop()
        if self._was_open:
            self._counters.reopened += 1
        self._was_open = True
        own = Terms(
            version=VERSION,
            nonce=0,
            frame=self._url.frame,
            message=self._service.limits.line_bytes + CRC,
            window=WINDOW,
            pause=self._url.pause,
            requests=MOST_REQUESTS,
            digest=b"",
        )
        self._link = self._host.link = ServerLink(self._host, own, self._baud(), self._counters)
        self._flow = Flow(port, self._link)
        self._listening_since = None if self._url.baud is not None else loop.time()
        self._lost.clear()
        self._host.refresh(loop.time())
        loop.add_reader(port.descriptor, self._readable)

    async def _release(self) -> None:
        """The port has gone, or is given back."""
        flow, self._flow = self._flow, None
        if flow is None:
            return
        self._forget_timers()
        self._detach(flow)
        self._host.ended()
        self._link = None
        # closing waits for what the driver still holds
        await asyncio.get_running_loop().run_in_executor(None, flow.port.close)

    def _detach(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(flow.port.descriptor)
        loop.remove_writer(flow.port.descriptor)

    def _forget_timers(self) -> None:
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        self._timer = self._turn = None

    def _readable(self) -> None:
        flow, link = self._flow, self._link
        if flow is None or link is None:
            return
        now = asyncio.get_running_loop().time()
        good, echoes = self._counters.frames_in, self._counters.errors["echo"]
        try:
            flow.readable(now)
        except PortError as error:
            self._gone(flow, error)
            return
        if self._counters.frames_in > good:
            self._heard_at = now
            if self._listening_since is not None:
                self._listening_since = None
                log.info("found the baud rate", port=self._url, baud=link.baud)
        if not self._echoed and self._counters.errors["echo"] >= echoes > ECHOES:
            self._echoed = True
            log.warning("what is sent comes back: the port is looped, or a login console answers", port=self._url)
        self._host.settle(now)
        self._pump()

    def _wake(self) -> None:
        """The link has something to send."""
        if self._turn is None and self._flow is not None:
            self._turn = asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        flow = self._flow
        self._forget_timers()
        if flow is None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._host.settle(now)
        blocked = flow.blocked
        try:
            due = flow.pump(now)
        except PortError as error:
            self._gone(flow, error)
            return
        if flow.blocked and not blocked:
            loop.add_writer(flow.port.descriptor, self._pump)
        elif blocked and not flow.blocked:
            loop.remove_writer(flow.port.descriptor)
        if due is not None:
            self._timer = loop.call_at(due, self._pump)

    def _gone(self, flow: Flow, error: PortError) -> None:
        if not self._lost.is_set():
            self._lost.set()
            self._detach(flow)
            log.warning("a serial port was lost; it is opened again when it is there", port=self._url, reason=error)

    # the baud rate

    def _baud(self) -> int:
        return self._url.baud or RATES[self._rate]

    def _find_rate(self, now: float) -> None:
        link, flow = self._link, self._flow
        if self._url.baud is not None or link is None or flow is None:
            return
        if self._listening_since is None:
            if link.damaged_in_a_row < TOO_DAMAGED:
                return
            log.info("only damage comes; looking for another baud rate", port=self._url, baud=link.baud)
            self._rate = -1
        elif now - self._listening_since < LISTEN:
            return
        link.damaged_in_a_row = 0
        self._listening_since = now
        while True:
            self._rate = (self._rate + 1) % len(RATES)
            try:
                flow.port.set_baud(RATES[self._rate])
            except PortError as error:
                if self._rate == 0:
                    self._gone(flow, error)
                    return
                continue
            link.baud = RATES[self._rate]
            return
