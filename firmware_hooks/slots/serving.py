"""What a running server does with a slot's model: asked over the server's own protocol."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.client import Client
from edge_runtime.client.exposition import Samples, parse, single
from edge_runtime.errors import (
    BackendError,
    ConnectionLost,
    EdgeError,
    Forbidden,
    ServerError,
    Unavailable,
    UnknownModel,
)
from firmware_hooks.errors import HookError

RELOAD_SECONDS = 180.0
"""a Raspberry Pi Zero 2 W loads the largest model in a few; then what is asked of the server goes first"""
READ_SECONDS = 10.0


class Rejected(HookError):  # noqa: N818  short names, as they are caught
    """The server tried the model and goes on with the one before."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server's metrics say of one model, counted since the server was started."""

    digest: str | None
    """SHA-256 of the manifest of the model that is served; None where it serves none of this name"""
    answered: float
    """requests, well"""
    failed: float
    """requests that the server failed at, by no fault of the client's"""
    ends: float
    """workers that ended unasked"""
    workers: float
    """that are ready"""
    started: float
    """of the server, seconds since the epoch"""


def reload(url: str, name: str, digest: str) -> str | None:
    """Let the server take the model that `current` leads to.

    Args:
        url: of the server.
        name: of the model.
        digest: SHA-256 of the manifest that it should have then.

    Returns:
        Why it will only do so when it is started the next time; None if it has.

    Raises:
        Rejected: the server cannot run the model.
    """
    try:
        with Client(url, timeout=RELOAD_SECONDS) as client:
            found = client.reload(name)
    except (ConnectionLost, Unavailable) as error:
        return f"no server was told: {error}"
    except UnknownModel:
        return f"the server at {url} serves no model named {name}"
    except Forbidden:
        return f"the server at {url} takes such orders only from root and from the user it runs as"
    except (ServerError, BackendError) as error:
        raise Rejected(f"the server could not load the model: {error}") from None
    except EdgeError as error:
        return f"the server at {url} was not told: {error}"
    if any(each.get("digest") == digest for each in found):
        return None
    return f"the server at {url} opens another file for {name}; start it with --model …/{name}/current/model.tflite"


def read(url: str, name: str) -> Reading | None:
    """How a server's model does; None where no server answers."""
    try:
        with Client(url, timeout=READ_SECONDS) as client:
            samples = parse(client.metrics())
    except EdgeError:
        return None
    served = [
        sample.labels.get("digest")
        for sample in samples.get("edge_model_info", [])
        if sample.labels.get("model") == name and sample.value == 1
    ]
    return Reading(
        digest=served[0] if served else None,
        answered=_sum(samples, "edge_requests_total", model=name, outcome="ok"),
        failed=_sum(samples, "edge_requests_total", model=name, outcome="internal"),
        ends=_sum(samples, "edge_worker_ends_total", model=name),
        workers=_sum(samples, "edge_workers", model=name),
        started=single(samples, "process_start_time_seconds") or 0.0,
    )


def _sum(samples: Samples, metric: str, **labels: str) -> float:
    wanted = labels.items()
    return sum(sample.value for sample in samples.get(metric, []) if wanted <= sample.labels.items())
