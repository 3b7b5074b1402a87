"""The Prometheus text format → numbers (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_PAIR = r'[ \t]*[A-Za-z_]\w*="(?:[^"\\]|\\.)*"[ \t]*'
_SAMPLE = re.compile(
    r"([A-Za-z_:][\w:]*)" + rf"(?:\{{((?:{_PAIR}(?:,|(?=\}})))*)\}})?" + r"[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*"
)
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One number, with its labels."""

    labels: Mapping[str, str]
    value: float


Samples = Mapping[str, list[Sample]]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram: how many observations there were up to each bound."""

    bounds: tuple[float, ...]
    """rising; the last is infinite"""
    counts: tuple[float, ...]
    """cumulative"""
    sum: float

    @property
    def count(self) -> float:
        return self.counts[-1] if self.counts else 0.0

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count > 0 else None

    def since(self, before: Buckets | None) -> Buckets:
        """What was observed after `before`; all of it where the server has been started anew since."""
        if before is None or before.bounds != self.bounds or before.count > self.count:
            return self
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Buckets(self.bounds, counts, self.sum - before.sum)

    def quantile(self, share: float) -> float | None:
        """The value below which a share of the observations lies; None without observations.

        As Prometheus' histogram_quantile estimates it: evenly spread within a bucket, and the highest finite bound for
        what lies above that.
        """
        if self.count <= 0:
            return None
        rank = share * self.count
        place = next(place for place, count in enumerate(self.counts) if count >= rank)
        if math.isinf(self.bounds[place]):
            return self.bounds[place - 1] if place else None
        low, below = (self.bounds[place - 1], self.counts[place - 1]) if place else (0.0, 0.0)
        within = self.counts[place] - below
        return low + (self.bounds[place] - low) * ((rank - below) / within if within > 0 else 1.0)


def parse(text: str) -> Samples:
    """Samples by metric; lines that are none are left out."""
    found: dict[str, list[Sample]] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        try:
            value = float(sample[3])
        except ValueError:
            continue
        labels = {name: _ESCAPE.sub(_unescaped, text) for name, text in _LABEL.findall(sample[2] or "")}
        found.setdefault(sample[1], []).append(Sample(labels, value))
    return found


def histograms(samples: Samples, name: str, label: str) -> dict[str, Buckets]:
    """The histograms of a metric, by the value of one label; several with the same value are added up."""
    counts: dict[str, dict[float, float]] = {}
    for sample in samples.get(f"{name}_bucket", []):
        bound = _bound(sample.labels.get("le", ""))
        if bound is not None:
            mine = counts.setdefault(sample.labels.get(label, ""), {})
            mine[bound] = mine.get(bound, 0.0) + sample.value
    sums = total(samples, f"{name}_sum", label)
    return {
        key: Buckets(tuple(sorted(mine)), tuple(mine[bound] for bound in sorted(mine)), sums.get(key, 0.0))
        for key, mine in counts.items()
    }


def total(samples: Samples, name: str, label: str) -> dict[str, float]:
    """The samples of a metric added up by the value of one label."""
    found: dict[str, float] = {}
    for sample in samples.get(name, []):
        key = sample.labels.get(label, "")
        found[key] = found.get(key, 0.0) + sample.value
    return found


def single(samples: Samples, name: str) -> float | None:
    """All samples of a metric added up; None if there are none."""
    values = [sample.value for sample in samples.get(name, [])]
    return sum(values) if values else None


def _unescaped(escape: re.Match[str]) -> str:
    return {"n": "\n"}.get(escape[1], escape[1])


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
