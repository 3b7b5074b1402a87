"""What a board may be doing when the power goes: the folder before, the change, and what may be running afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_hooks.errors import Refused
from firmware_hooks.slots.slots import Slots
from firmware_hooks.slots.verification import verify
from tests.firmware_hooks.slots.releases import NAME, Releases

Change = Callable[[Slots, Releases], object]

PIECE = 30_000
"""bytes of a model that are written at a time"""


@dataclass(frozen=True)
class Scenario:
    """One change to a model's slots."""

    before: Change
    """makes the folder as it was, without a cut"""
    change: Change
    """what the power goes out in"""
    versions: frozenset[int]
    """that may be running afterwards"""
    done: int
    """the version that is running where the power stayed"""


def slots(folder: Path, releases: Releases) -> Slots:
    """Slots with real verification; the self-test only reads the model, for it is not what is tested here."""

    def light(model: Path) -> None:
        verify(model, model.with_name("model.sig"), releases.trust)

    return Slots(folder / NAME, releases.trust, light)


def push(version: int, *, switch: bool = True) -> Change:
    def change(slots: Slots, releases: Releases) -> None:
        slots.install(releases.statement(version), pieces(releases, version), switch=switch)

    return change


def pieces(releases: Releases, version: int) -> Callable[[int], Iterable[bytes]]:
    """A release as it arrives over a line."""
    content = releases.models[version].read_bytes()
    return lambda offset: (content[place : place + PIECE] for place in range(offset, len(content), PIECE))


def one(slots: Slots, releases: Releases) -> None:
    """Version 1 is good, the other slot empty."""
    push(1)(slots, releases)
    slots.confirm()


def two(slots: Slots, releases: Releases) -> None:
    """Version 2 is good, and version 1 is there to go back to."""
    one(slots, releases)
    push(2)(slots, releases)
    slots.confirm()


def trial(slots: Slots, releases: Releases) -> None:
    """Version 2 is on trial, version 1 good."""
    one(slots, releases)
    push(2)(slots, releases)


def worn_trial(slots: Slots, releases: Releases) -> None:
    """Version 2 has had all the starts that a trial has."""
    trial(slots, releases)
    for _ in range(3):
        slots.start()


def half_sent(slots: Slots, releases: Releases) -> None:
    """Half of version 2 arrived before the line broke."""
    one(slots, releases)
    content = releases.models[2].read_bytes()
    with pytest.raises(Refused, match="goes on from there"):
        slots.install(releases.statement(2), lambda offset: [content[offset : len(content) // 2]])


def waiting(slots: Slots, releases: Releases) -> None:
    """Version 2 waits in the other slot."""
    one(slots, releases)
    push(2, switch=False)(slots, releases)


def damaged(slots: Slots, releases: Releases) -> None:
    """Version 2 is good, and its file on the card has lost a bit since."""
    two(slots, releases)
    path = slots.current.resolve()
    content = bytearray(path.read_bytes())
    content[5000] ^= 4
    path.write_bytes(content)


def forgotten(slots: Slots, releases: Releases) -> None:
    """Both records are lost."""
    two(slots, releases)
    for place in range(2):
        (slots.folder / f"record-{place}").unlink()


def releases_in_a_row(slots: Slots, releases: Releases) -> None:
    """Version 2 is pushed and proves itself, then version 3: both slots are written to."""
    for version in (2, 3):
        push(version)(slots, releases)
        slots.confirm()


def start(slots: Slots, _: Releases) -> None:
    slots.start()


SCENARIOS = {
    "push onto one model": Scenario(one, push(2), frozenset({1, 2}), 2),
    "push onto two models": Scenario(two, push(3), frozenset({2, 3}), 3),
    "releases in a row": Scenario(one, releases_in_a_row, frozenset({1, 2, 3}), 3),
    "push the rest": Scenario(half_sent, push(2), frozenset({1, 2}), 2),
    "push without switching": Scenario(one, push(2, switch=False), frozenset({1}), 1),
    "switch": Scenario(waiting, lambda slots, _: slots.switch(), frozenset({1, 2}), 2),
    "confirm": Scenario(trial, lambda slots, _: slots.confirm(), frozenset({2}), 2),
    "roll back": Scenario(two, lambda slots, _: slots.rollback(), frozenset({1, 2}), 1),
    "start a trial": Scenario(trial, start, frozenset({2}), 2),
    "start a trial too often": Scenario(worn_trial, start, frozenset({1}), 1),
    "start with a damaged model": Scenario(damaged, start, frozenset({1}), 1),
    "start without records": Scenario(forgotten, start, frozenset({2}), 2),
}
