"""Where a server is, as a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import Client, InputError
from edge_runtime.client.urls import DEFAULT_URL, Tcp, Unix, default_url, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("unix:///run/edge-runtime/edge.sock", Unix("/run/edge-runtime/edge.sock")),
        ("UNIX:///tmp/with space/ü.sock", Unix("/tmp/with space/ü.sock")),
        ("tcp://127.0.0.1:5577", Tcp("127.0.0.1", 5577)),
        ("tcp://raspberrypi.local:1", Tcp("raspberrypi.local", 1)),
        ("tcp://[::1]:65535/", Tcp("::1", 65535)),
        ("tcp://[fe80::1%eth0]:5577", Tcp("fe80::1%eth0", 5577)),
    ],
)
def test_url(url: str, address: Unix | Tcp) -> None:
    """Paths are absolute and stand as they are; IPv6 addresses stand in brackets; writing an address gives its URL."""
    assert parse(url) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "edge.sock",
        "/run/edge.sock",
        "http://127.0.0.1:80",
        "unix://",
        "unix://edge.sock",
        "unix:///a\0b",
        "unix:///" + "a" * 107,
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:1e3",
        "tcp://::1:5577",
        "tcp://user@host:5577",
        None,
        5577,
    ],
)
def test_no_url(url: object) -> None:
    """What is none is refused before anything is sent, with what there is instead."""
    with pytest.raises(InputError, match=r"unix://|tcp://|bytes"):
        Client(url)  # type: ignore[arg-type]


def test_longest_path() -> None:
    """A Unix socket's path of 107 bytes is the longest there is."""
    assert parse("unix:///" + "a" * 106) == Unix("/" + "a" * 106)


def test_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$EDGE_RUNTIME_URL comes first, then the service's socket, and the user's own where only that exists."""
    monkeypatch.setenv("EDGE_RUNTIME_URL", "tcp://127.0.0.1:1")
    assert default_url() == "tcp://127.0.0.1:1"
    monkeypatch.delenv("EDGE_RUNTIME_URL")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_url() == DEFAULT_URL
    (tmp_path / "edge-runtime").mkdir()
    (tmp_path / "edge-runtime/edge.sock").touch()
    service = Path(DEFAULT_URL.removeprefix("unix://"))
    assert default_url() == (DEFAULT_URL if service.exists() else f"unix://{tmp_path}/edge-runtime/edge.sock")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_no_timeout(timeout: object) -> None:
    """A timeout is a number of seconds above 0."""
    with pytest.raises(InputError, match="timeout"):
        Client(DEFAULT_URL, timeout=timeout)  # type: ignore[arg-type]
