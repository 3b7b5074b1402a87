"""The two slots of one model, and every change that can be made to them.

    /var/lib/edge-runtime/models/assistant/
        a/ b/                 a slot: model.tflite and model.sig
        current -> a          what a server opens: current/model.tflite
        record-0 record-1     which slot is active, and how it does (`record`)
        incoming/             a model on its way (`staging`)
        lock

The record decides; `current` follows it, and `start` mends what a power cut left between the two. The active slot is
never written to, and the other one only while the active one has proven itself: so one good model is always whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from edge_runtime import __version__
from firmware_hooks.errors import HookError, Refused
from firmware_hooks.slots import record as records
from firmware_hooks.slots import statement, storage, verification
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.record import Record, Slot
from firmware_hooks.slots.self_test import run as run_self_test
from firmware_hooks.slots.staging import Staging
from firmware_hooks.slots.statement import Statement

FOLDER = Path("/var/lib/edge-runtime/models")
MODEL, STATEMENT, CURRENT = "model.tflite", "model.sig", "current"

MAX_STARTS = 3
"""of a model on trial: one may be lost to a power cut, a second to bad luck"""

SelfTest = Callable[[Path], None]
"""raises Refused where the model at a path cannot be run or answers wrongly"""
Source = Callable[[int], Iterable[bytes]]
"""the bytes of a model from an offset on"""


class Slots:
    """One model's slots. Each method is one change, made under a lock and safe against power cuts."""

    def __init__(
        self, folder: Path, trust: Trust, self_test: SelfTest = run_self_test, max_starts: int = MAX_STARTS
    ) -> None:
        """Nothing is touched yet.

        Args:
            folder: of the slots; its name is the model's.
            trust: whose models are taken.
            self_test: what a model must pass before it is switched to.
            max_starts: that a model on trial may need to become good.
        """
        self.folder = folder
        self.name = folder.name
        self._trust = trust
        self._self_test = self_test
        self._max_starts = max_starts

    @property
    def current(self) -> Path:
        """Where a server finds the active model."""
        return self.folder / CURRENT / MODEL

    def model(self, slot: str) -> Path:
        return self.folder / slot / MODEL

    @property
    def begun(self) -> bool:
        """Whether a model was ever active here, as far as can be told: where the record is lost, by what lies there."""
        record = records.read(self.folder)
        return bool(record.active) if record else any(self.model(name).exists() for name in records.SLOTS)

    def record(self) -> Record:
        """How things stand, as far as it is written down."""
        return records.read(self.folder) or Record()

    def install(self, stated: bytes, source: Source, *, allow_downgrade: bool = False, switch: bool = True) -> bool:
        """Take a model into the spare slot and switch to it, on trial.

        Args:
            stated: its statement.
            source: of its bytes.
            allow_downgrade: also if it is older than what proved itself here, where its statement permits that.
            switch: False leaves it in its slot, to be switched to later.

        Returns:
            Whether there was anything to do: False if this very model is the active one.

        Raises:
            Refused: with the reason; the active model is as it was.
        """
        said = statement.parse(stated)
        self._trust.check(said)
        if not self._admit(said, self.record(), allow_downgrade):
            return False
        try:
            storage.make_folder(self.folder)
            with Staging(self.folder) as staging:
                with _cleared_where_full(staging):
                    here = staging.begin(stated, said.size)
                    here += staging.append(source(here), said.size - here)
                if here < said.size:
                    raise Refused(f"only {here} of {said.size} bytes arrived; push again, and it goes on from there")
                return self._take(staging, allow_downgrade, switch)
        except OSError as error:
            raise Refused(f"the model cannot be written: {error.strerror}; what was running still is") from None

    def switch(self) -> None:
        """Let the model that lies in the spare slot take over, on trial.

        Raises:
            Refused: there is none, or it does not pass verification and self-test.
        """
        with self._locked():
            record = self.record()
            if record.slots[record.spare].state != "written":
                raise Refused("no new model waits in the other slot; push one first")
            self._admit_on_trial(record)
            self._verify(record.spare, record.slots[record.spare])
            self._self_test(self.model(record.spare))
            self._switch()

    def start(self) -> Slot:
        """Before each start of the server: mend what a power cut left, count a trial's starts, verify.

        Returns:
            The active slot, whose model is verified.

        Raises:
            Refused: neither slot holds a model that can be trusted.
        """
        if not self.folder.is_dir():
            raise Refused(f"there are no slots at {self.folder}; push a model first")
        with self._locked():
            record = records.read(self.folder) or self._rebuilt()
            slot = record.current
            reason = ""
            if slot.state == "trial":
                slot = replace(slot, starts=slot.starts + 1)
                record = records.write(self.folder, record.changed(record.active, slot))
                if slot.starts > self._max_starts:
                    reason = f"it did not become good within {self._max_starts} starts"
            if not reason:
                try:
                    self._verify(record.active, slot)
                except Refused as error:
                    reason = str(error)
                else:
                    self._follow(record)
                    return slot
            try:
                record = self._give_up(record, reason)
            except Refused:
                # the only one there is may go on if all that is wrong is that nobody confirmed it
                self._verify(record.active, slot)
                self._follow(record)
            return record.current

    def confirm(self, *, trial: str | None = None) -> bool:
        """The active model has proven itself; False if it had already.

        Args:
            trial: SHA-512 of the model on trial that is meant; nothing is done if that is no longer so.

        Raises:
            Refused: there is none.
        """
        with self._locked():
            record = self.record()
            if trial is not None and (record.current.state, record.current.sha512) != ("trial", trial):
                return False
            if not record.active:
                raise Refused(f"no model is active in {self.folder}")
            if record.current.state == "good":
                return False
            slot = replace(record.current, state="good", starts=0, reason="")
            records.write(self.folder, record.changed(record.active, slot, floor=slot.version))
            return True

    def rollback(self, reason: str = "rolled back by hand", *, trial: str | None = None) -> Slot:
        """Give the active model up and go back to the other one.

        Args:
            reason: kept in the record.
            trial: SHA-512 of the model on trial that is meant; nothing is done if that is no longer so.

        Returns:
            What is active now.

        Raises:
            Refused: the other slot holds no model that proved itself, or it does not pass verification.
        """
        with self._locked():
            record = self.record()
            if trial is not None and (record.current.state, record.current.sha512) != ("trial", trial):
                return record.current
            return self._give_up(record, reason).current

    def verified(self, name: str) -> str | None:
        """What is wrong with what a slot holds; None if nothing is."""
        try:
            self._verify(name, self.record().slots[name])
        except Refused as error:
            return str(error)
        return None

    def statement(self, name: str) -> Statement | None:
        """What is said of the model in a slot; None if nothing can be read."""
        try:
            return statement.parse((self.folder / name / STATEMENT).read_bytes())
        except (OSError, Refused):
            return None

    def _take(self, staging: Staging, allow_downgrade: bool, switch: bool) -> bool:
        """Examine what has arrived, move it into the spare slot, and switch."""
        try:
            found = verification.examine(staging.model, staging.statement, self._trust)
            self._self_test(staging.model)
        except HookError:
            staging.discard()
            raise
        with self._locked():
            # again: somebody else may have changed something meanwhile
            if not self._admit(found.statement, self.record(), allow_downgrade):
                staging.discard()
                return False
            self._place(staging, found)
            if switch:
                self._switch()
        return True

    def _admit(self, said: Statement, record: Record, allow_downgrade: bool) -> bool:
        """Whether a model may come in; False if it is the active one.

        Raises:
            Refused: it may not.
        """
        if said.name != self.name:
            raise Refused(f"the model is named {said.name}, and these slots are {self.name}'s")
        if _numbers(said.runtime) > _numbers(__version__):
            raise Refused(f"the model asks for runtime {said.runtime} and this is {__version__}; update it first")
        current = record.current
        if current.sha512 == said.sha512 and current.state in ("trial", "good"):
            return False
        self._admit_on_trial(record)
        known = {slot.sha512: slot.version for slot in record.slots.values()}
        newer = said.version > record.floor or known.get(said.sha512) == said.version >= record.floor
        if not newer and not (allow_downgrade and (said.downgrade or said.signature is None)):
            way = (
                "push it with --allow-downgrade"
                if said.downgrade
                else "sign it with --allow-downgrade, and push it with that, if it is meant"
            )
            raise Refused(f"version {said.version} is not newer than {record.floor}, which proved itself here; {way}")
        return True

    @staticmethod
    def _admit_on_trial(record: Record) -> None:
        if record.current.state == "trial" and record.slots[record.spare].state == "good":
            raise Refused(
                f"version {record.current.version} is still on trial, and the other slot is what it would go back to; "
                "wait until it is good, or say `edge-flash model confirm` or `edge-flash model rollback`"
            )

    def _place(self, staging: Staging, found: verification.Verified) -> None:
        """Move a verified model from the staging folder into the spare slot."""
        record = self.record()
        name, said = record.spare, found.statement
        target = self.folder / name
        storage.make_folder(target)
        record = records.write(self.folder, record.changed(name, Slot()))
        storage.move(staging.model, target / MODEL)
        storage.move(staging.statement, target / STATEMENT)
        slot = Slot("written", said.version, said.sha512, found.manifest)
        records.write(self.folder, record.changed(name, slot))

    def _switch(self) -> None:
        """Make the spare slot's model the active one."""
        record = self.record()
        name = record.spare
        slot = replace(record.slots[name], state="trial", starts=0)
        if record.current.state == "trial":
            record = record.changed(record.active, replace(record.current, state="written"))
        self._follow(records.write(self.folder, record.changed(name, slot, active=name)))

    def _give_up(self, record: Record, reason: str) -> Record:
        """Go back to the other slot."""
        name = record.spare
        if record.slots[name].state != "good":
            raise Refused("there is no other model that proved itself, so there is nothing to go back to")
        self._verify(name, record.slots[name])
        if record.active:
            record = record.changed(record.active, replace(record.current, state="bad", reason=reason))
        record = records.write(self.folder, replace(record, active=name))
        self._follow(record)
        return record

    def _verify(self, name: str, slot: Slot) -> None:
        if name not in records.SLOTS:
            raise Refused(f"no model is active in {self.folder}; push one")
        said = verification.verify(self.model(name), self.folder / name / STATEMENT, self._trust)
        if (said.name, said.sha512) != (self.name, slot.sha512):
            raise Refused(f"slot {name} holds another model than was put there; push it again")

    def _follow(self, record: Record) -> None:
        """Let `current` lead to the active slot."""
        link = self.folder / CURRENT
        with suppress(OSError):
            if os.readlink(link) == record.active:  # noqa: PTH115  its text, not a path
                return
        storage.point(link, record.active)

    def _rebuilt(self) -> Record:
        """A record made from what lies in the slots, for where both files of it are lost.

        Raises:
            Refused: neither slot holds a model that can be trusted.
        """
        found: dict[str, Slot] = {}
        for name in records.SLOTS:
            with suppress(Refused):
                checked = verification.examine(self.model(name), self.folder / name / STATEMENT, self._trust)
                said = checked.statement
                if said.name == self.name:
                    found[name] = Slot("good", said.version, said.sha512, checked.manifest)
        if not found:
            raise Refused(f"neither slot of {self.folder} holds a model that can be trusted; push one")
        newest = max(found, key=lambda name: found[name].version)
        with suppress(OSError):
            linked = os.readlink(self.folder / CURRENT)  # noqa: PTH115  its text, not a path
            newest = linked if linked in found else newest
        slots = {name: found.get(name, Slot()) for name in records.SLOTS}
        floor = max(slot.version for slot in found.values())
        return records.write(self.folder, Record(active=newest, slots=slots, floor=floor))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time; and what a killed process left unsynced is synced before anything builds upon it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, storage.FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for folder in (self.folder, *(self.folder / name for name in records.SLOTS)):
                if folder.is_dir():
                    storage.sync_folder(folder)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _cleared_where_full(staging: Staging) -> Iterator[None]:
    """Where the file system is full, part of a model only makes that worse."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError):
                staging.discard()
        raise


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
