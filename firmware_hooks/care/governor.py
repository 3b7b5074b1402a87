"""How fast the server may be, from how hot the board is.

Between `limit - margin` and `LAST` below the limit the duty cycle falls in a straight line from 1 to the least. It falls
as soon as it gets hotter, and rises only when it is cooler by the hysteresis than what it fell for: a backlash, so that
a temperature that trembles moves nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from boards.schema import Thermal as Profile
from boards.sensors import temperatures
from boards.system import System
from firmware_hooks.care.settings import Thermal

LAST = 1.0
"""°C below the limit at which the duty cycle is the least: the sensor has steps of half a degree"""
STEP = 20
"""steps from 0 to 1 in which the duty cycle moves"""
BLIND_AFTER = 10.0
"""seconds without a reading, after which a sensor is taken for lost"""
COLDEST, HOTTEST = -40.0, 150.0
"""°C; what is beyond is no temperature but a sensor that failed"""

_PROCESSOR = re.compile(r"cpu|soc|package|core|x86_pkg", re.IGNORECASE)
"""types of zones that mean the processor, on boards without a profile"""


class Governor:
    """The duty cycle, reading by reading."""

    def __init__(self, settings: Thermal, limit: float) -> None:
        """`limit`: °C at which the SoC slows itself down."""
        self.limit = limit
        self.begins = limit - settings.margin
        """°C"""
        self.duty = 1.0
        self._settings = settings
        self._read_at: float | None = None

    def read(self, degrees: float | None, now: float) -> float:
        """The duty cycle after one more reading at `now` (seconds on any steady clock); None where there was none."""
        if degrees is None:
            if self._read_at is not None and now - self._read_at > BLIND_AFTER:
                self.duty = min(self.duty, self._settings.blind_duty)
            return self.duty
        self._read_at = now
        hotter, cooler = self._ramp(degrees), self._ramp(degrees + self._settings.hysteresis)
        self.duty = min(max(self.duty, cooler), hotter)
        return self.duty

    def blind(self, now: float) -> bool:
        """Whether a sensor that was there does not answer any more."""
        return self._read_at is not None and now - self._read_at > BLIND_AFTER

    def _ramp(self, degrees: float) -> float:
        least = self._settings.least_duty
        width = self.limit - LAST - self.begins
        share = min(max((degrees - self.begins) / width, 0.0), 1.0)
        return max(least, math.floor((1 - share * (1 - least)) * STEP) / STEP)


def hottest(system: System, profile: Profile | None) -> float | None:
    """°C of the hottest zone of the processor; None where none tells a temperature."""
    found = {zone: degrees for zone, degrees in temperatures(system).items() if COLDEST <= degrees <= HOTTEST}
    return max((found[zone] for zone in _of_processor(list(found), profile)), default=None)


def limit(system: System, profile: Profile | None, settings: Thermal) -> float | None:
    """°C at which the SoC slows itself down: as configured, as the profile says, or the lowest passive trip there is."""
    if settings.limit:
        return settings.limit
    if profile is not None and (known := profile.hard_limit or profile.throttles_at):
        return float(known)
    trips = []
    for kind in system.glob("/sys/class/thermal/thermal_zone*/trip_point_*_type"):
        zone = system.text(kind.with_name("type"))
        if system.text(kind) == "passive" and _of_processor([zone], profile):
            degrees = system.text(kind.with_name(kind.name.replace("_type", "_temp")))
            if degrees.isdecimal() and 0 < int(degrees) <= HOTTEST * 1e3:
                trips.append(int(degrees) / 1e3)
    return min(trips, default=None)


def _of_processor(zones: Sequence[str], profile: Profile | None) -> Sequence[str]:
    if profile is not None:
        # a second zone of one type has its number behind it
        return [zone for zone in zones if zone.partition(" ")[0] in profile.zones]
    return [zone for zone in zones if _PROCESSOR.search(zone)] or zones
