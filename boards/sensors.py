"""Temperatures, clocks and power, as far as this machine tells them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boards.system import System, as_number
from boards.throttling import flags, vcgencmd

_RAIL = re.compile(r"^\s*(\S+)_([AV]) (?:current|volt)\(\d+\)=([0-9.]+)[AV]$", re.MULTILINE)
"""a line of `vcgencmd pmic_read_adc`, as ` VDD_CORE_A current(7)=1.23000000A`"""


@dataclass(frozen=True, slots=True)
class PowerMeter:
    """One way to tell power: watts now, or joules counted since some time."""

    name: str
    scope: str
    """what it measures: the whole board, its rails, the CPU package"""
    kind: str
    """hwmon-power, hwmon-product, energy or pmic"""
    paths: tuple[Path, ...] = ()


def temperatures(system: System) -> dict[str, float]:
    """°C by the zone's type; a second zone of one type is called by its number too."""
    found: dict[str, float] = {}
    for place in system.glob("/sys/class/thermal/thermal_zone*/temp"):
        value = as_number(system.text(place))
        if value is None:
            continue
        zone = system.text(place.with_name("type")) or place.parent.name
        found[zone if zone not in found else f"{zone} {place.parent.name.removeprefix('thermal_zone')}"] = value / 1e3
    return found


def clocks(system: System, firmware: bool) -> dict[str, float]:
    """MHz by cpufreq policy; on a Raspberry Pi the firmware's word, for the kernel only knows what it asked for."""
    if firmware and (answer := vcgencmd("measure_clock", "arm")):
        hertz = as_number(answer.rpartition("=")[2])
        if hertz:
            return {"arm": hertz / 1e6}
    found = {}
    for place in system.glob("/sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq"):
        value = as_number(system.text(place))
        if value is not None:
            found[place.parent.name] = value / 1e3
    return found


def throttled(firmware: bool) -> int | None:
    """The firmware's flags (`throttling.BITS`), or None."""
    return flags(vcgencmd("get_throttled")) if firmware else None


def power_meter(system: System, firmware: bool) -> PowerMeter | None:
    """The best meter there is: of the whole board rather than of a part."""
    return next(_meters(system, firmware), None)


def watts(system: System, meter: PowerMeter) -> float | None:
    """Power now; None where the meter counts energy, or does not answer."""
    match meter.kind:
        case "hwmon-power":
            value = as_number(system.text(meter.paths[0]))
            return None if value is None else value / 1e6
        case "hwmon-product":
            volts, amperes = (as_number(system.text(path)) for path in meter.paths)
            return None if volts is None or amperes is None else volts * amperes / 1e6
        case "pmic":
            return rails(vcgencmd("pmic_read_adc") or "")
    return None


def joules(system: System, meter: PowerMeter) -> float | None:
    """Energy counted so far; None where the meter tells power."""
    if meter.kind != "energy":
        return None
    value = as_number(system.text(meter.paths[0]))
    return None if value is None else value / 1e6


def rails(answer: str) -> float | None:
    """Watts of all rails whose voltage and current the Raspberry Pi 5's power controller tells."""
    told: dict[str, dict[str, float]] = {}
    for name, unit, value in _RAIL.findall(answer):
        told.setdefault(name, {})[unit] = float(value)
    found = [each["A"] * each["V"] for each in told.values() if len(each) == 2]
    return sum(found) if found else None


def _meters(system: System, firmware: bool) -> Iterator[PowerMeter]:
    for name in system.glob("/sys/class/hwmon/hwmon*/name"):
        chip = system.text(name)
        for place in sorted(name.parent.glob("power*_input")):
            # hwmon's sysfs interface: microwatts
            yield PowerMeter(f"{chip} {place.name}", "what its shunt is in", "hwmon-power", (place,))
        for current in sorted(name.parent.glob("curr*_input")):
            voltage = current.with_name(current.name.replace("curr", "in"))
            if voltage.exists():
                # millivolts and milliamperes
                label = system.text(voltage.with_name(voltage.name.replace("_input", "_label"))) or current.name
                yield PowerMeter(f"{chip} {label}", "what its shunt is in", "hwmon-product", (voltage, current))
    if firmware and rails(vcgencmd("pmic_read_adc") or "") is not None:
        yield PowerMeter("vcgencmd pmic_read_adc", "the rails of the power controller, without USB", "pmic")
    for place in system.glob("/sys/class/powercap/intel-rapl:*/energy_uj"):
        if as_number(system.text(place)) is not None:
            zone = system.text(place.with_name("name")) or place.parent.name
            yield PowerMeter(f"powercap {zone}", "the CPU package", "energy", (place,))
