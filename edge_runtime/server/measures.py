"""What the server counts: its metrics' names, labels and buckets."""

from __future__ import annotations

from typing import NamedTuple

from edge_runtime.server.metrics import Counter, Histogram, Registry

_LATENCY = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""seconds: from a small model's inference on a workstation to a text in many windows on a Raspberry Pi Zero"""

STATES = ("starting", "ready", "degraded", "stopping")


class Times(NamedTuple):
    """Where the time of one model's requests went."""

    total: Histogram
    queue: Histogram
    tokenise: Histogram
    infer: Histogram


class Measures:
    """The server's metrics."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._requests = registry.counter(
            "edge_requests_total", "Requests answered, by outcome: ok or an error's code.", ("model", "op", "outcome")
        )
        self._total = registry.histogram(
            "edge_request_seconds", "From a request's arrival to its answer.", _LATENCY, ("model",)
        )
        self._queue = registry.histogram("edge_queue_seconds", "Time spent waiting.", _LATENCY, ("model",))
        self._tokenise = registry.histogram("edge_tokenise_seconds", "Time spent tokenising.", _LATENCY, ("model",))
        self._infer = registry.histogram("edge_infer_seconds", "Time spent in the network.", _LATENCY, ("model",))
        self.windows = registry.counter("edge_windows_total", "Windows of streams that were run.", ("model",))
        self.reloads = registry.counter(
            "edge_reloads_total", "Reloads, by outcome: ok or failed.", ("model", "outcome")
        )
        self.worker_ends = registry.counter("edge_worker_ends_total", "Workers that ended unasked.", ("model",))
        self.accepted = registry.counter("edge_connections_total", "Connections accepted.", ("transport",))
        self.ended = registry.counter(
            "edge_connections_ended_total", "Connections that the server ended, by reason.", ("reason",)
        )
        self.connections = registry.gauge("edge_connections", "Open connections.").labels()
        self.streams = registry.gauge("edge_streams", "Open streams.").labels()
        self.queued = registry.gauge("edge_queue_length", "Requests waiting for a worker.", ("model",))
        self.workers = registry.gauge("edge_workers", "Workers that are ready.", ("model",))
        self.models = registry.gauge(
            "edge_model_info", "1 for the model that is served.", ("model", "digest", "backend"), merge="max"
        )
        self.state = registry.gauge("edge_state", "1 for the state that the server is in.", ("state",), merge="max")
        self.duty = registry.gauge(
            "edge_duty", "Share of their time that workers may compute; 1 unless slowed down.", merge="max"
        ).labels()
        self.temperature = registry.gauge("edge_temperature_celsius", "Of a thermal zone.", ("zone",), merge="max")
        self.private = registry.gauge("edge_private_memory_bytes", "Memory that no other process shares.").labels()
        self.resident = registry.gauge("process_resident_memory_bytes", "Resident memory.").labels()
        self.cpu = registry.counter("process_cpu_seconds_total", "User and system time.").labels()
        self.descriptors = registry.gauge("process_open_fds", "Open descriptors of the server itself.").labels()
        self.started = registry.gauge(
            "process_start_time_seconds", "Start of the server, since the epoch.", merge="max"
        ).labels()
        self._times: dict[str, Times] = {}
        self._outcomes: dict[tuple[str, str, str], Counter] = {}

    def times(self, model: str) -> Times:
        found = self._times.get(model)
        if found is None:
            children = (family.labels(model) for family in (self._total, self._queue, self._tokenise, self._infer))
            found = self._times[model] = Times(*children)
        return found

    def answered(self, model: str, op: str, outcome: str) -> None:
        """Count a request. All three are ours, never a peer's."""
        key = model, op, outcome
        child = self._outcomes.get(key)
        if child is None:
            child = self._outcomes[key] = self._requests.labels(*key)
        child.add()
