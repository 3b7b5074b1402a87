"""Full load for minutes: what temperature, clock, power and speed do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from boards.probe import Probe
from boards.sensors import PowerMeter, clocks, joules, power_meter, temperatures, throttled, watts
from boards.statistics import percentile
from boards.system import System

INTERVAL = 2.0
"""seconds of load between two looks at the sensors; a clock that falls is seen within as much"""
IDLE_SECONDS = 5.0
"""of rest before the load, for the power that the board takes anyway"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, after `INTERVAL` of load."""

    seconds: float
    """since the load began"""
    tokens_per_second: float
    p50_ms: float
    p95_ms: float
    temperatures: dict[str, float]
    """°C"""
    mhz: dict[str, float]
    throttled: int | None
    """`throttling.BITS`"""
    watts: float | None


@dataclass(frozen=True, slots=True)
class Soak:
    """All looks, and what was told of energy."""

    length: int
    samples: tuple[Sample, ...]
    meter: str | None
    meter_scope: str | None
    idle_watts: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "length": self.length,
            "samples": [asdict(sample) for sample in self.samples],
            "summary": self.summary(),
            "energy": self.energy(),
        }

    def summary(self) -> dict[str, Any]:
        """The first minute against the last: what is left of the speed when the board is warm."""
        rates = [sample.tokens_per_second for sample in self.samples]
        share = max(1, min(round(60 / INTERVAL), len(rates) // 5 or 1))
        first, last = percentile(rates[:share], 50), percentile(rates[-share:], 50)
        zones = [max(sample.temperatures.values()) for sample in self.samples if sample.temperatures]
        flags = [sample.throttled for sample in self.samples if sample.throttled is not None]
        return {
            "seconds": self.samples[-1].seconds,
            "first_tokens_per_second": first,
            "last_tokens_per_second": last,
            "kept": last / first,
            "highest_temperature": max(zones) if zones else None,
            "throttled": any(flag & 0xF for flag in flags) if flags else None,
        }

    def energy(self) -> dict[str, Any] | None:
        """Power, and energy per token beyond what the idle board takes; None where nothing tells it."""
        told = [sample for sample in self.samples if sample.watts is not None]
        if not told:
            return None
        load = percentile([sample.watts or 0.0 for sample in told], 50)
        rate = percentile([sample.tokens_per_second for sample in told], 50)
        beyond = None if self.idle_watts is None else max(load - self.idle_watts, 0.0)
        return {
            "meter": self.meter,
            "scope": self.meter_scope,
            "idle_watts": self.idle_watts,
            "load_watts": load,
            "millijoules_per_token": 1e3 * load / rate,
            "millijoules_per_token_beyond_idle": None if beyond is None else 1e3 * beyond / rate,
        }


def soak(
    probe: Probe, length: int, minutes: float, firmware: bool, progress: Callable[[str], None], system: System
) -> Soak:
    """Keep a loaded model busy and look at the sensors in between.

    Args:
        probe: the model.
        length: tokens of each inference.
        minutes: of load; at least one interval.
        firmware: whether the Raspberry Pi's firmware is asked too.
        progress: told how far it is.
        system: this machine.

    Raises:
        BoardError: the model's process ended.
    """
    meter = power_meter(system, firmware)
    gauge = _Gauge(system, meter)
    if meter is not None:
        time.sleep(IDLE_SECONDS)
    idle = gauge.watts()
    began = time.monotonic()
    samples: list[Sample] = []
    while not samples or time.monotonic() - began < 60 * minutes:
        times = probe.seconds(length, INTERVAL)
        spent = time.monotonic() - began
        if len(samples) % round(60 / INTERVAL) == 0:
            progress(f"full load: {spent / 60:.1f} of {minutes:g} min …")
        samples.append(
            Sample(
                round(spent, 2),
                length * len(times) / (sum(times) / 1e3),
                percentile(times, 50),
                percentile(times, 95),
                temperatures(system),
                clocks(system, firmware),
                throttled(firmware),
                gauge.watts(),
            )
        )
    name, scope = (None, None) if meter is None else (meter.name, meter.scope)
    return Soak(length, tuple(samples), name, scope, idle)


class _Gauge:
    """Watts from either kind of meter: as told, or from the joules counted since the last look."""

    def __init__(self, system: System, meter: PowerMeter | None) -> None:
        self._system = system
        self._meter = meter
        self._joules = None if meter is None else joules(system, meter)
        self._when = time.monotonic()

    def watts(self) -> float | None:
        if self._meter is None:
            return None
        if self._joules is None:
            return watts(self._system, self._meter)
        counted, now = joules(self._system, self._meter), time.monotonic()
        if counted is None:
            return None
        spent, seconds = counted - self._joules, now - self._when
        self._joules, self._when = counted, now
        # a counter that began anew says nothing about this stretch
        return spent / seconds if spent >= 0 and seconds > 0 else None
