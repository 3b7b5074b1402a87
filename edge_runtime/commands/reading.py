"""What happened at a server between two looks at its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.client import Client, exposition
from edge_runtime.client.exposition import Buckets, Samples

_STAGES = ("edge_queue_seconds", "edge_tokenise_seconds", "edge_infer_seconds")


@dataclass(frozen=True, slots=True)
class Look:
    """What a server said at one time."""

    health: Mapping[str, Any]
    samples: Samples
    at: float
    """`time.monotonic`"""

    @classmethod
    def take(cls, client: Client, at: float) -> Look:
        """Raises EdgeError."""
        return cls(client.health(), exposition.parse(client.metrics()), at)

    @property
    def uptime(self) -> float:
        found = self.health.get("uptime_s")
        return float(found) if isinstance(found, (int, float)) else 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """One model; times in milliseconds, None without requests."""

    model: str
    requests_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    queue_ms: float | None
    """mean, as the two below"""
    tokenise_ms: float | None
    infer_ms: float | None
    queued: int
    """waiting now"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One operation and how it ended."""

    model: str
    op: str
    outcome: str
    per_s: float
    total: int
    """since the server was started"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A server between two looks; rates are per second."""

    state: str
    reasons: tuple[str, ...]
    pace: float
    """share of their time that workers may compute; 1 unless slowed down"""
    slowed_for: str
    """why they may not all of it, as whoever slowed them down says"""
    uptime_s: float
    seconds: float
    """between the looks"""
    requests_per_s: float
    failures_per_s: float
    windows_per_s: float
    connections: int
    connections_per_s: float
    streams: int
    queued: int
    cpu_percent: float | None
    """of one core"""
    resident_mb: float | None
    private_mb: float | None
    temperatures: Mapping[str, float]
    """°C, by zone"""
    models: tuple[Served, ...]
    outcomes: tuple[Outcome, ...]
    """busiest first"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def between(before: Look | None, now: Look) -> Reading:
    """What happened since `before`, or since the server was started: if there is no look before, or it was started in
    the meantime.
    """
    if before is not None and before.uptime > now.uptime:
        before = None
    seconds = max(1e-3, now.at - before.at if before is not None else now.uptime)
    samples = now.samples
    then: Samples = before.samples if before is not None else {}

    def rate(name: str) -> float:
        return max(0.0, (exposition.single(samples, name) or 0.0) - (exposition.single(then, name) or 0.0)) / seconds

    outcomes = _outcomes(samples, then, seconds)
    cpu = exposition.single(samples, "process_cpu_seconds_total")
    reasons, slowed = now.health.get("reasons"), now.health.get("slowed")
    duty = exposition.single(samples, "edge_duty")
    return Reading(
        state=str(now.health.get("state", "unknown")),
        reasons=tuple(map(str, reasons)) if isinstance(reasons, list) else (),
        pace=1.0 if duty is None else duty,
        slowed_for=str(slowed.get("reason", "")) if isinstance(slowed, dict) else "",
        uptime_s=now.uptime,
        seconds=seconds,
        requests_per_s=sum(each.per_s for each in outcomes),
        failures_per_s=sum(each.per_s for each in outcomes if each.outcome != "ok"),
        windows_per_s=rate("edge_windows_total"),
        connections=_whole(exposition.single(samples, "edge_connections")),
        connections_per_s=rate("edge_connections_total"),
        streams=_whole(exposition.single(samples, "edge_streams")),
        queued=_whole(exposition.single(samples, "edge_queue_length")),
        cpu_percent=None if cpu is None else 100 * rate("process_cpu_seconds_total"),
        resident_mb=_megabytes(exposition.single(samples, "process_resident_memory_bytes")),
        private_mb=_megabytes(exposition.single(samples, "edge_private_memory_bytes")),
        temperatures=exposition.total(samples, "edge_temperature_celsius", "zone"),
        models=tuple(_models(samples, then, seconds)),
        outcomes=tuple(outcomes),
    )


def _models(samples: Samples, then: Samples, seconds: float) -> list[Served]:
    latency = _since(samples, then, "edge_request_seconds")
    stages = [_since(samples, then, name) for name in _STAGES]
    queued = exposition.total(samples, "edge_queue_length", "model")
    named = {sample.labels.get("model", "") for sample in samples.get("edge_model_info", [])}
    found = []
    for model in sorted(named | set(latency) | set(queued)):
        times = latency.get(model)
        p50, p95, p99 = (_milliseconds(times.quantile(share) if times else None) for share in (0.5, 0.95, 0.99))
        queue, tokenise, infer = (_milliseconds(each[model].mean if model in each else None) for each in stages)
        answered = (times.count if times else 0.0) / seconds
        waiting = _whole(queued.get(model))
        found.append(Served(model, answered, p50, p95, p99, queue, tokenise, infer, waiting))
    return found


def _since(samples: Samples, then: Samples, name: str) -> dict[str, Buckets]:
    before = exposition.histograms(then, name, "model")
    return {key: each.since(before.get(key)) for key, each in exposition.histograms(samples, name, "model").items()}


def _outcomes(samples: Samples, then: Samples, seconds: float) -> list[Outcome]:
    def counted(these: Samples) -> dict[tuple[str, str, str], float]:
        return {
            (one.labels.get("model", ""), one.labels.get("op", ""), one.labels.get("outcome", "")): one.value
            for one in these.get("edge_requests_total", [])
        }

    before = counted(then)
    found = [
        Outcome(*key, max(0.0, value - before.get(key, 0.0)) / seconds, _whole(value))
        for key, value in counted(samples).items()
    ]
    return sorted(found, key=lambda each: (-each.per_s, -each.total, each.model, each.op, each.outcome))


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _megabytes(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _whole(value: float | None) -> int:
    return int(value) if value is not None and abs(value) < 2**63 else 0
