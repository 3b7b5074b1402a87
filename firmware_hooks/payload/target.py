"""What a payload is built for: a machine, its Python, and the TFLite runtime that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError

LITERT, TFLITE = "litert", "tflite"

NEWEST_GLIBC = {"3.11": 36, "3.12": 39, "3.13": 41}
"""Python → minor version of the glibc beside it: Debian 12, Ubuntu 24.04 and Debian 13, whose `python3` these are"""
OLDEST_GLIBC = 17
"""manylinux2014, the oldest that wheels are still made for"""

FROM_SYSTEM = {"armv7l": {"numpy": "python3-numpy"}}
"""machine → distributions that PyPI has no wheel of, and Debian's package with them"""


_LOCKED = (
    *((machine, python, LITERT) for machine in ("aarch64", "x86_64") for python in NEWEST_GLIBC),
    *((machine, "3.11", TFLITE) for machine in ("aarch64", "armv7l", "x86_64")),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device."""

    machine: str
    """as wheels call it: aarch64, armv7l, x86_64"""
    python: str
    """3.11 (Debian 12, Raspberry Pi OS bookworm), 3.12 (Ubuntu 24.04), 3.13 (Debian 13, Raspberry Pi OS trixie)"""
    runtime: str = ""
    """litert or tflite; left out: tflite for armv7l, litert for the others"""

    def __post_init__(self) -> None:
        """Choose the runtime, if it was left out, and refuse what cannot be.

        Raises:
            HookError: there is no lock for this.
        """
        if not self.runtime:
            object.__setattr__(self, "runtime", TFLITE if self.machine == "armv7l" else LITERT)
        if (self.machine, self.python, self.runtime) not in _LOCKED:
            raise HookError(f"there is no payload for {self}: {self._reason()}")

    def __str__(self) -> str:
        return f"{self.machine}, Python {self.python}, {self.runtime}"

    @property
    def lock(self) -> Path:
        """The file with its requirements."""
        return Path(__file__).parent / "locks" / f"{self.name}.txt"

    @property
    def name(self) -> str:
        """For files and folders."""
        return f"{self.machine}-python{self.python}-{self.runtime}"

    @property
    def platforms(self) -> list[str]:
        """The platform tags of wheels that it can use, best first."""
        newest = NEWEST_GLIBC[self.python]
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}"]

    @property
    def from_system(self) -> dict[str, str]:
        """Distributions that its operating system must have → their Debian packages."""
        return FROM_SYSTEM.get(self.machine, {})

    def _reason(self) -> str:
        machines = sorted({machine for machine, *_ in _LOCKED})
        if self.machine not in machines:
            return f"machines are {', '.join(machines)}"
        if self.runtime == TFLITE and self.python in NEWEST_GLIBC:
            way = "take a 64-bit system" if self.machine == "armv7l" else "take litert"
            return f"tflite-runtime stopped at 2.14.0, and Python 3.11 (Debian 12) is the newest that it is for; {way}"
        if self.machine == "armv7l" and self.runtime == LITERT:
            return "LiteRT has no 32-bit ARM wheel; leave the runtime out, and tflite-runtime is taken"
        return f"Pythons are {', '.join(NEWEST_GLIBC)}; runtimes are {LITERT} and {TFLITE}"


def targets() -> list[Target]:
    """All that there is a lock for."""
    return [Target(*each) for each in _LOCKED]
