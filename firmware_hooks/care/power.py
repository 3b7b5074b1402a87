"""What slows the CPU down or endangers the board, told once when it begins and once when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from boards.schema import Board
from boards.system import System
from boards.throttling import cooling, flags, named, undervoltage, vcgencmd

SUPPLY = "undervoltage"

CAUSES = {
    SUPPLY: "the supply's voltage is too low; use a supply and a cable that hold 5 V under load",
    "clock capped": "the firmware caps the CPU's clock, for the voltage or the temperature",
    "throttled": "the firmware slows the CPU down, for the voltage or the temperature",
    "soft temperature limit": "the CPU is so hot that its clock is lowered a little; a heat sink or a fan helps",
}
COOLING = "the kernel slows the CPU down because it is too hot; a heat sink or a fan helps"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that began or ended."""

    what: str
    began: bool
    cause: str


class Power:
    """Looks, and says what has changed since it looked last."""

    def __init__(self, system: System, board: Board | None) -> None:
        self.now: dict[str, str] = {}
        """what is so now, each with its cause"""
        self._system = system
        self._firmware = board is not None and board.thermal is not None and board.thermal.flags == "vcgencmd"
        self._looked = False

    @property
    def starved(self) -> bool:
        """Whether the supply's voltage is too low."""
        return SUPPLY in self.now

    def look(self) -> list[Change]:
        """What changed. The first time also what has been since boot, as ended already."""
        bits = flags(vcgencmd("get_throttled")) if self._firmware else None
        current, past = ({}, []) if bits is None else _told(bits)
        if undervoltage(self._system):
            current[SUPPLY] = CAUSES[SUPPLY]
        for device, state, most in cooling(self._system):
            current[f"cooling {device}"] = f"{COOLING} (step {state} of {most})"
        changes = [Change(what, True, cause) for what, cause in current.items() if what not in self.now]
        changes += [Change(what, False, "") for what in self.now if what not in current]
        if not self._looked:
            self._looked = True
            changes += [Change(what, False, CAUSES[what]) for what in past if what not in current]
        self.now = current
        return changes


def _told(bits: int) -> tuple[dict[str, str], list[str]]:
    now, since = named(bits)
    return {what: CAUSES[what] for what in now}, since
