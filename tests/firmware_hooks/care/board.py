"""A Raspberry Pi 4's /sys as far as care looks at it: files, as the kernel's sysfs interface is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class Tree:
    """A root folder with what a board's kernel tells, to be changed while a program reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zone = root / "sys/class/thermal/thermal_zone0"
        self._hwmon = root / "sys/class/hwmon/hwmon1"
        self._cooling = root / "sys/class/thermal/cooling_device0"
        self.led = root / "sys/class/leds/ACT"
        for folder in (self._zone, self._hwmon, self._cooling, self.led):
            folder.mkdir(parents=True)
        (self._zone / "type").write_text("cpu-thermal\n")
        self.degrees(45.0)
        (self._hwmon / "name").write_text("rpi_volt\n")
        self.undervoltage(False)
        (self._cooling / "type").write_text("cpufreq-cpu0\n")
        (self._cooling / "max_state").write_text("4\n")
        self.cooling(0)
        (self.led / "brightness").write_text("0\n")
        (self.led / "trigger").write_text("none rc-feedback [mmc0] timer heartbeat\n")

    def degrees(self, value: float) -> None:
        # beside, and renamed: a reader of a file of the kernel's never sees it empty
        self._put(self._zone / "temp", f"{value * 1000:.0f}\n")

    def lose_sensor(self) -> None:
        (self._zone / "temp").unlink()

    def undervoltage(self, now: bool) -> None:
        self._put(self._hwmon / "in0_lcrit_alarm", f"{now:d}\n")

    def cooling(self, state: int) -> None:
        self._put(self._cooling / "cur_state", f"{state}\n")

    def trip(self, number: int, kind: str, degrees: float) -> None:
        (self._zone / f"trip_point_{number}_type").write_text(f"{kind}\n")
        (self._zone / f"trip_point_{number}_temp").write_text(f"{degrees * 1000:.0f}\n")

    def unit(self, name: str) -> Callable[[bool], None]:
        """A unit of systemd's that has processes → what says whether it still has."""
        events = self.root / f"sys/fs/cgroup/system.slice/{name}/cgroup.events"
        events.parent.mkdir(parents=True)

        def populated(now: bool) -> None:
            self._put(events, f"populated {now:d}\nfrozen 0\n")

        populated(True)
        return populated

    @staticmethod
    def _put(path: Path, text: str) -> None:
        aside = path.with_name(path.name + ".new")
        aside.write_text(text)
        aside.rename(path)
