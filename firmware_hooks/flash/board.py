"""What can be done with the models of the board that this runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.manifest import NAME
from firmware_hooks.errors import HookError, Refused
from firmware_hooks.slots import keys, serving, statement
from firmware_hooks.slots.record import SLOTS
from firmware_hooks.slots.slots import MAX_STARTS, Slots, Source
from firmware_hooks.slots.trial import Terms, Trial, Verdict


@dataclass(frozen=True, slots=True)
class Board:
    """Where things are on it."""

    models: Path
    """folder with a folder of slots for each model"""
    keys: Path
    """folder with the public keys that are trusted"""
    url: str
    """of the server that is told of new models"""
    max_starts: int = MAX_STARTS

    def slots(self, name: str) -> Slots:
        """A model's slots.

        Raises:
            HookError: no model can have this name.
        """
        if not NAME.fullmatch(name):
            raise HookError(f"{name!r} cannot be a model's name")
        return Slots(self.models / name, keys.trusted(self.keys), max_starts=self.max_starts)

    def names(self) -> list[str]:
        """Models that have slots."""
        if not self.models.is_dir():
            return []
        return sorted(path.name for path in self.models.iterdir() if NAME.fullmatch(path.name) and path.is_dir())

    def the(self, name: str | None) -> Slots:
        """The slots of the model named, or of the only one there is.

        Raises:
            HookError: there are several, or none.
        """
        names = self.names()
        if name is None and len(names) != 1:
            held = ", ".join(names) or "none"
            raise HookError(f"say which model is meant, with --name; {self.models} holds {held}")
        if name is not None and name not in names:
            raise HookError(
                f"{self.models} has no slots of a model named {name!r}; it holds {', '.join(names) or 'none'}"
            )
        return self.slots(name or names[0])

    def push(self, stated: bytes, source: Source, *, allow_downgrade: bool, switch: bool) -> dict[str, Any]:
        """Install a model and let the server take it.

        Raises:
            HookError: it was refused, or the server could not load it; what ran before still does.
        """
        said = statement.parse(stated)
        slots = self.slots(said.name)
        changed = slots.install(stated, source, allow_downgrade=allow_downgrade, switch=switch)
        return {"changed": changed, **self._told(slots, switch and changed)}

    def switch(self, name: str | None) -> dict[str, Any]:
        """Let the model that waits take over."""
        slots = self.the(name)
        slots.switch()
        return self._told(slots, True)

    def rollback(self, name: str | None, reason: str = "rolled back by hand") -> dict[str, Any]:
        """Go back to the other model."""
        slots = self.the(name)
        slots.rollback(reason)
        return self._told(slots, True)

    def confirm(self, name: str | None) -> dict[str, Any]:
        """Say that the active model is good."""
        slots = self.the(name)
        return {"changed": slots.confirm(), **_active(slots)}

    def start(self, name: str | None) -> list[dict[str, Any]]:
        """Before the server is started: all models, or one.

        Slots that never held a model, for the first push was cut off, are passed over.
        """
        found = []
        for each in [self.the(name)] if name is not None else map(self.slots, self.names()):
            if name is None and not each.begun:
                continue
            each.start()
            found.append({**_active(each), "path": str(each.current)})
        return found

    def status(self, name: str | None) -> dict[str, Any]:
        """How all models do, or one."""
        names = self.names() if name is None else [self.the(name).name]
        return {"models": [self._status(self.slots(each)) for each in names]}

    def judge(self, slots: Slots, trial: Trial, now: float) -> Mapping[str, Any]:
        """Look at a trial once, and end it where it is decided."""
        current = slots.record().current
        verdict = trial.judge(serving.read(self.url, slots.name), now)
        if current.manifest != trial.digest:
            verdict = Verdict("open", "another model is active now")
        told: dict[str, Any] = {}
        if verdict.outcome == "good":
            slots.confirm(trial=current.sha512)
        elif verdict.outcome == "bad":
            try:
                slots.rollback(verdict.reason, trial=current.sha512)
            except Refused as error:
                told = {"note": str(error)}
            else:
                told = self._told(slots, True)
        return {"name": slots.name, **asdict(verdict), **told}

    def trials(self, terms: Terms, known: Mapping[str, Trial]) -> dict[str, Trial]:
        """The trials that are going on; those that were known go on."""
        found = {}
        for name in self.names():
            current = self.slots(name).record().current
            if current.state == "trial":
                before = known.get(name)
                same = before is not None and before.digest == current.manifest
                found[name] = before if before is not None and same else Trial(current.manifest, terms)
        return found

    def _told(self, slots: Slots, tell: bool) -> dict[str, Any]:
        """What is active now, once the server was told of it."""
        current = slots.record().current
        note = None
        if tell:
            try:
                note = serving.reload(self.url, slots.name, current.manifest)
            except serving.Rejected as error:
                if current.state != "trial":
                    raise
                slots.rollback(str(error), trial=current.sha512)
                back = slots.record().current.version
                raise Refused(f"{error}; version {back} goes on running") from None
        return {**_active(slots), "note": note}

    def _status(self, slots: Slots) -> dict[str, Any]:
        record = slots.record()
        found: dict[str, Any] = {}
        for name in SLOTS:
            slot, said = record.slots[name], slots.statement(name)
            found[name] = asdict(slot)
            if slot.state != "empty":
                found[name] |= {
                    "size": None if said is None else said.size,
                    "key": None if said is None else said.key,
                    "wrong": slots.verified(name),
                }
        return {"name": slots.name, "active": record.active or None, "floor": record.floor, "slots": found}


def _active(slots: Slots) -> dict[str, Any]:
    record = slots.record()
    current = record.current
    return {"name": slots.name, "active": record.active or None, "version": current.version, "state": current.state}
