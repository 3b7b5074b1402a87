"""Clients of a running server: addresses, messages, one that waits and one for asyncio.

Neither loads NumPy (until a vector arrives) or an interpreter, and `Client` not asyncio either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.client.blocking import Client

if TYPE_CHECKING:
    from edge_runtime.client.asynchronous import AsyncClient

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    """asyncio is half of what a process with `AsyncClient` loads, and one with `Client` does not need it (PEP 562)."""
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edge_runtime.client.asynchronous import AsyncClient

    return AsyncClient
