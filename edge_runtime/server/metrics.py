"""Counters, gauges and histograms, and how they are written for Prometheus.

The format is text exposition 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Each process keeps a registry
of its own; `snapshot` is what it sends to the process that answers a scrape, and `exposition` adds the snapshots up.

    registry = Registry()
    requests = registry.counter("edge_requests_total", "Requests answered.", ("op",))
    requests.labels("classify").add()
"""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

MAX_CHILDREN = 256
"""sets of label values of one metric. A scrape, and the memory behind it, stay small whatever peers send; a few models
with a dozen operations and half a dozen outcomes each have as many"""
MAX_LABEL_VALUE = 128
"""characters of a label value; the rest is cut"""
OTHER = "other"
"""what every label says of the values beyond `MAX_CHILDREN`"""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Merge = Literal["sum", "max"]
Snapshot = list[dict[str, Any]]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class Counter:
    """A number that only grows."""

    __slots__ = ("_lock", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: float = 0

    def add(self, n: float = 1) -> None:
        """Raises ValueError for a number below 0."""
        if not n >= 0:
            raise ValueError(f"a counter only grows; it cannot take {n!r}")
        with self._lock:
            self._value += n

    def follow(self, total: float) -> None:
        """Take over a total that somebody else counts (the kernel, say); a smaller one is ignored."""
        with self._lock:
            self._value = max(self._value, total)

    def read(self) -> float:
        return self._value


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_lock", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: float = 0

    def add(self, n: float = 1) -> None:
        with self._lock:
            self._value += n

    def set(self, x: float) -> None:
        with self._lock:
            self._value = x

    def read(self) -> float:
        return self._value


class Histogram:
    """How often a value fell below each of some bounds, and their sum."""

    __slots__ = ("_bounds", "_counts", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._lock = threading.Lock()
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, x: float) -> None:
        """Values that are no finite number are left out: one would make every later sum NaN."""
        if not -math.inf < x < math.inf:
            return
        place = bisect_left(self._bounds, x)
        with self._lock:
            self._counts[place] += 1
            self._sum += x

    def read(self) -> dict[str, Any]:
        """Observations by bucket, not cumulative, the last one above all bounds; and their sum."""
        with self._lock:
            return {"counts": list(self._counts), "sum": self._sum}


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """A metric: one child for each set of label values."""

    def __init__(self, description: dict[str, Any], make: Callable[[], Child]) -> None:
        self.name: str = description["name"]
        self._description = description
        self._make: Callable[[], Child] = make
        self._width = len(description["labels"])
        self._lock = threading.Lock()
        self._children: dict[tuple[str, ...], Child] = {}
        if not self._width:
            self._children[()] = make()  # so that it is there, as 0, before the first event

    def labels(self, *values: str) -> Child:
        """The child of these label values, in the order of the declaration; none for a metric without labels.

        Raises:
            ValueError: there are more or fewer values than labels.
        """
        child = self._children.get(values)
        return child if child is not None else self._add(values)

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            children = list(self._children.items())
        return {**self._description, "children": [[list(values), child.read()] for values, child in children]}

    def _add(self, values: tuple[str, ...]) -> Child:
        if len(values) != self._width:
            labels = self._description["labels"]
            raise ValueError(f"{self.name} has the labels {labels}; {len(values)} values were given")
        values = tuple(value[:MAX_LABEL_VALUE] for value in values)
        with self._lock:
            # one place is kept for those that share it
            if values not in self._children and len(self._children) >= MAX_CHILDREN - 1:
                values = (OTHER,) * self._width
            return self._children.setdefault(values, self._make())


class Registry:
    """The metrics of one process. Threads may share it and all that it holds."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]] = {}

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Family[Counter]:  # noqa: A002
        """Declare a counter; by convention its name ends in `_total`.

        Raises:
            ValueError: a name cannot be used, or is taken; so with `gauge` and `histogram`.
        """
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total; {name!r} does not")
        return self._declare(Family(_description("counter", name, help, labels), Counter))

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        merge: Merge = "sum",
    ) -> Family[Gauge]:
        """Declare a gauge; `merge` says how those of several processes become one number."""
        return self._declare(Family({**_description("gauge", name, help, labels), "merge": merge}, Gauge))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        buckets: Sequence[float],
        labels: Sequence[str] = (),
    ) -> Family[Histogram]:
        """Declare a histogram; `buckets` are upper bounds, rising, without the infinite one."""
        bounds = tuple(float(bound) for bound in buckets)
        if not bounds or not all(map(math.isfinite, bounds)) or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"the buckets of {name} must be finite and rising, not {buckets!r}")
        if "le" in labels:
            raise ValueError(f"{name} cannot have a label le, which its buckets have")
        description = {**_description("histogram", name, help, labels), "buckets": list(bounds)}
        return self._declare(Family(description, lambda: Histogram(bounds)))

    def snapshot(self) -> Snapshot:
        """All metrics as lists, dicts, strings and numbers."""
        return [family.snapshot() for family in list(self._families.values())]

    def _declare(self, family: Family[Child]) -> Family[Child]:
        name = family.name
        if name in self._families:
            raise ValueError(f"there is a metric {name} already")
        self._families[name] = family
        return family


def exposition(snapshots: Iterable[Snapshot]) -> str:
    """The metrics of several processes added up, in the text format.

    Raises:
        ValueError: the snapshots declare a metric differently.
    """
    merged: dict[str, dict[str, Any]] = {}
    children: dict[str, dict[tuple[str, ...], Any]] = {}
    for snapshot in snapshots:
        for family in snapshot:
            name = family["name"]
            description = {key: value for key, value in family.items() if key != "children"}
            if merged.setdefault(name, description) != description:
                raise ValueError(f"the metric {name} is not the same in all processes")
            mine = children.setdefault(name, {})
            for values, value in family["children"]:
                key = tuple(values)
                mine[key] = _merged(description, mine[key], value) if key in mine else value
    lines: list[str] = []
    for name, description in merged.items():
        lines += (f"# HELP {name} {_escaped_help(description['help'])}", f"# TYPE {name} {description['type']}")
        for values, value in children[name].items():
            lines += _samples(description, values, value)
    return "".join(f"{line}\n" for line in lines)


def _description(kind: str, name: str, help: str, labels: Sequence[str]) -> dict[str, Any]:  # noqa: A002
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a metric")
    if wrong := [label for label in labels if not _LABEL.fullmatch(label)]:
        raise ValueError(f"{name}: {wrong[0]!r} cannot be the name of a label")
    if len(set(labels)) != len(labels):
        raise ValueError(f"{name}: a label is declared twice")
    return {"name": name, "type": kind, "help": help, "labels": list(labels)}


def _merged(description: dict[str, Any], one: Any, other: Any) -> Any:
    if description["type"] == "histogram":
        counts = [a + b for a, b in zip(one["counts"], other["counts"], strict=True)]
        return {"counts": counts, "sum": one["sum"] + other["sum"]}
    return max(one, other) if description.get("merge") == "max" else one + other


def _samples(description: dict[str, Any], values: tuple[str, ...], value: Any) -> Iterable[str]:
    name = description["name"]
    pairs = [f'{label}="{_escaped(text)}"' for label, text in zip(description["labels"], values, strict=True)]
    braced = f"{{{','.join(pairs)}}}" if pairs else ""
    if description["type"] != "histogram":
        yield f"{name}{braced} {_number(value)}"
        return
    total = 0
    for bound, count in zip([*description["buckets"], math.inf], value["counts"], strict=True):
        total += count
        inner = ",".join([*pairs, f'le="{_number(bound)}"'])
        yield f"{name}_bucket{{{inner}}} {total}"
    yield f"{name}_sum{braced} {_number(value['sum'])}"
    yield f"{name}_count{braced} {total}"


def _number(x: float) -> str:
    """As Go's ParseFloat reads it."""
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "+Inf" if x > 0 else "-Inf"
    # neither True nor np.float64(…), which are numbers to Python
    return str(int(x)) if isinstance(x, int) else repr(float(x))


def _escaped_help(text: str) -> str:
    return _encodable(text).replace("\\", r"\\").replace("\n", r"\n")


def _escaped(text: str) -> str:
    return _escaped_help(text).replace('"', r"\"")


def _encodable(text: str) -> str:
    """Without unpaired surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
