"""Connections: when they are made, lost, shared and given up."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_runtime import AsyncClient, Client, ConnectionLost, DeadlineExceeded, EdgeError, Forbidden
from tests.edge_runtime.client.conftest import PATIENT
from tests.edge_runtime.client.driver import Driver
from tests.serve.server import TOKEN, Server, free_port, token_file

TEXT = "turn off the kitchen lights"


@pytest.fixture
def own(short_path: Path) -> Iterator[Server]:
    """A server that a test may stop."""
    with Server(short_path, *PATIENT) as started:
        yield started


def test_nobody_listens(kind: str, short_path: Path) -> None:
    """Making a client needs no server; the first call says where none is, and how to start one."""
    with Driver(kind, f"unix://{short_path}/edge.sock") as driver:
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=r"edge\.sock.*edge-runtime serve"):
                driver.call("health")
    with Driver(kind, f"tcp://127.0.0.1:{free_port()}") as driver, pytest.raises(ConnectionLost, match="tcp://"):
        driver.call("health")


def test_full_backlog(kind: str, short_path: Path) -> None:
    """Where more clients wait to be accepted than the kernel keeps, a client waits too, and is answered at last."""
    path = short_path / "given.sock"
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor())
        listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listening.bind(str(path))
        listening.listen(1)
        refused = 0
        while not refused:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting.setblocking(False)
            refused = waiting.connect_ex(str(path))
        assert refused == errno.EAGAIN
        with Driver(kind, f"unix://{path}", timeout=0.2) as hasty, pytest.raises((ConnectionLost, DeadlineExceeded)):
            hasty.call("health")
        with Driver(kind, f"unix://{path}", timeout=60.0) as driver:
            call = threads.submit(driver.call, "health")
            with Server(short_path, *PATIENT, inherited=[listening]):
                assert call.result()["state"] in {"starting", "ready"}


def test_after_a_restart(kind: str, own: Server) -> None:
    """A client that was idle while its server was restarted connects again and notices nothing."""
    with Driver(kind, own.url, timeout=60.0) as driver:
        found = driver.call("understand", TEXT)
        own.kill()
        own.start()
        assert driver.call("understand", TEXT) == found
        own.stop()
        with pytest.raises(ConnectionLost):
            driver.call("understand", TEXT)
        own.start()
        assert driver.call("understand", TEXT) == found


def test_killed_in_the_middle(kind: str, own: Server) -> None:
    """A call whose reply is lost with the server says so; the next one works when the server is back."""
    with Driver(kind, own.url, timeout=60.0) as driver:
        driver.call("health")
        own.process.send_signal(signal.SIGSTOP)
        killer = threading.Timer(0.3, own.kill)
        killer.start()
        with pytest.raises(ConnectionLost):
            driver.call("understand", TEXT)
        killer.join()
        own.start()
        assert driver.call("understand", TEXT).intent


def test_timeout(kind: str, own: Server) -> None:
    """A call to a server that hangs ends after the timeout; a later one gets its own reply, not the late one."""
    with Driver(kind, own.url, timeout=60.0) as driver:
        driver.call("health")
        driver.client.timeout = 0.3
        own.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                driver.call("classify", TEXT)
        own.process.send_signal(signal.SIGCONT)
        with Client(own.url, timeout=60) as patient:
            patient.health()
        driver.client.timeout = 60.0
        assert driver.call("understand", TEXT).intent == "iot_hue_lightoff"


def test_closed(kind: str, server: Server) -> None:
    """A client may be closed twice, and not used afterwards."""
    with Driver(kind, server.url) as driver:
        driver.call("health")
        driver.call("close")
        driver.call("close")
        with pytest.raises(ConnectionLost, match="closed"):
            driver.call("health")


def test_tcp_and_token(kind: str, short_path: Path) -> None:
    """Over TCP as over Unix; a server that asks for a token gets it, and refuses who has none or a wrong one."""
    port = free_port()
    options = (*PATIENT, "--tcp", f"0.0.0.0:{port}", "--allow-remote", "--token-file", str(token_file(short_path)))
    with Server(short_path, *options):
        with Driver(kind, f"tcp://127.0.0.1:{port}", token=TOKEN, timeout=60.0) as driver:
            assert driver.call("understand", TEXT).intent == "iot_hue_lightoff"
            with pytest.raises(Forbidden):
                driver.call("reload")
        for token in (None, "wrong"):
            with Driver(kind, f"tcp://127.0.0.1:{port}", token=token) as driver, pytest.raises(Forbidden):
                driver.call("understand", TEXT)


def test_crowded(kind: str, short_path: Path) -> None:
    """A server with as many connections as it takes refuses another with `Overloaded`, not with silence."""
    with Server(short_path, "--connections", "1") as server, Client(server.url) as first:
        first.health()
        with Driver(kind, server.url) as driver, pytest.raises(EdgeError, match="connections") as raised:
            driver.call("understand", TEXT)
        assert raised.value.code == "overloaded"


def test_threads_share_a_client(client: Client) -> None:
    """Each of many threads gets the replies to its own calls."""
    texts = [f"turn on light {number}" for number in range(100)]
    alone = [client.tag(text) for text in texts]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(client.tag, texts)) == alone


def test_other_threads_take_all_the_time(own: Server) -> None:
    """A call that never gets its turn ends after its timeout too."""
    with Client(own.url, timeout=60.0) as client:
        client.health()
        client.timeout = 0.5
        own.process.send_signal(signal.SIGSTOP)
        with ThreadPoolExecutor(4) as pool:
            found = [each.exception() for each in [pool.submit(client.health) for _ in range(4)]]
        own.process.send_signal(signal.SIGCONT)
    assert all(isinstance(each, DeadlineExceeded) for each in found)


def test_thousands_at_a_time(server: Server) -> None:
    """Thousands of concurrent calls share one connection, wait for their turn, and each gets its own reply."""
    texts = [f"turn on light {number}" for number in range(1000)]

    async def run() -> None:
        async with AsyncClient(server.url, timeout=120) as client:
            found = await asyncio.gather(*(client.understand(text, deadline_ms=60_000) for text in texts))
            state = await client.metrics()
            for place in (0, 1, 499, 998, 999):
                assert found[place] == await client.understand(texts[place])
        assert "\nedge_connections 1\n" in state

    asyncio.run(run())


def test_first_calls_share_one_connection(server: Server) -> None:
    """Calls that begin before there is a connection wait for one and the same."""

    async def run() -> None:
        async with AsyncClient(server.url, timeout=60.0) as client:
            await asyncio.gather(*(client.health() for _ in range(50)))
            assert "\nedge_connections 1\n" in await client.metrics()

    asyncio.run(run())


def test_cancelled_calls(server: Server) -> None:
    """Cancelling a task takes its request back, and later calls get their own replies."""

    async def run() -> None:
        async with AsyncClient(server.url, timeout=60.0) as client:
            expected = await client.understand(TEXT)
            for _ in range(5):
                calls = [asyncio.create_task(client.understand("play in paris")) for _ in range(300)]
                await client.health()
                for call in calls:
                    call.cancel()
                found = await asyncio.gather(*calls, return_exceptions=True)
                assert any(isinstance(each, asyncio.CancelledError) for each in found)
                assert await client.understand(TEXT) == expected

    asyncio.run(run())


def test_nothing_heavy_in_a_client_process(server: Server) -> None:
    """A process that asks over a Unix socket loads neither NumPy nor tokenizers nor an interpreter, nor asyncio."""
    code = (
        "import sys, edge_runtime\n"
        f"with edge_runtime.Client({server.url!r}) as client:\n"
        f"    client.understand({TEXT!r}); client.ask({TEXT!r}, model='tags'); client.health()\n"
        f"    client.batch([{{'op': 'tag', 'text': {TEXT!r}}}])\n"
        f"    with client.stream('tag') as stream: stream.feed({TEXT!r})\n"
        "print(*(name.partition('.')[0] for name in sys.modules))"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert (
        loaded & {"numpy", "tokenizers", "ai_edge_litert", "tflite_runtime", "ml_dtypes", "asyncio", "click"} == set()
    )


def test_no_descriptor_is_left(server: Server) -> None:
    """Clients that come and go, and calls that fail, leave no descriptor open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(50):
        with Client(server.url) as client:
            if number % 2:
                client.health()
        with Client("unix:///nowhere/edge.sock") as nowhere, pytest.raises(ConnectionLost):
            nowhere.health()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_server_that_is_no_socket(kind: str, short_path: Path) -> None:
    """A path that is a file, or a datagram socket, is refused with a reason."""
    (short_path / "file").touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(short_path / "datagrams"))
        for name in ("file", "datagrams"):
            with Driver(kind, f"unix://{short_path}/{name}") as driver, pytest.raises(ConnectionLost, match=name):
                driver.call("health")
