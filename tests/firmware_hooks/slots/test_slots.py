"""Models come into a slot, are tried, become good or go; what is refused leaves everything as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_hooks.errors import Refused
from firmware_hooks.flash import signing
from firmware_hooks.slots import record as records
from firmware_hooks.slots import storage
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.slots import Slots
from firmware_hooks.slots.staging import RESERVE, Staging
from tests.firmware_hooks.power_cuts import scenarios
from tests.firmware_hooks.slots.releases import Releases


def contents(slots: Slots) -> dict[str, bytes | str]:
    """All that counts in the folder: not what is on its way in, nor empty folders."""
    found: dict[str, bytes | str] = {}
    for path in sorted(slots.folder.rglob("*")):
        if "incoming" in path.parts:
            continue
        if path.is_symlink():
            found[path.name] = os.readlink(path)  # noqa: PTH115
        elif path.is_file():
            found[str(path.relative_to(slots.folder))] = path.read_bytes()
    return found


def states(slots: Slots) -> dict[str, tuple[str, int]]:
    return {name: (slot.state, slot.version) for name, slot in slots.record().slots.items()}


def served(slots: Slots, releases: Releases) -> int:
    """The version that `current` leads to."""
    content = slots.current.read_bytes()
    return next(version for version, model in releases.models.items() if model.read_bytes() == content)


def test_a_model_comes_on_trial_and_becomes_good(slots: Slots, releases: Releases) -> None:
    """A pushed model is active at once, on trial, and good when confirmed; the one before stays to go back to."""
    assert scenarios_push(slots, releases, 2)
    assert states(slots) == {"a": ("good", 1), "b": ("trial", 2)}
    assert served(slots, releases) == 2
    assert slots.confirm()
    assert not slots.confirm()
    assert states(slots) == {"a": ("good", 1), "b": ("good", 2)}
    assert slots.record().floor == 2


def scenarios_push(slots: Slots, releases: Releases, version: int, **options: bool) -> bool:
    return slots.install(releases.statement(version), releases.source(version), **options)


def test_the_same_model_again_is_nothing_new(slots: Slots, releases: Releases) -> None:
    """Pushing what is active changes nothing and does not even read it."""

    def unread(_: int) -> list[bytes]:
        raise AssertionError

    before = contents(slots)
    assert not slots.install(releases.statement(1), unread)
    assert contents(slots) == before


def test_rollback(slots: Slots, releases: Releases) -> None:
    """Going back makes the other good model active and the one before bad; there is no way further back."""
    scenarios_push(slots, releases, 2)
    slots.rollback("it sings")
    assert states(slots) == {"a": ("good", 1), "b": ("bad", 2)}
    assert slots.record().slots["b"].reason == "it sings"
    assert served(slots, releases) == 1
    with pytest.raises(Refused, match="nothing to go back to"):
        slots.rollback()
    # the same release may come again
    assert scenarios_push(slots, releases, 2)
    assert states(slots) == {"a": ("good", 1), "b": ("trial", 2)}


def test_a_trial_has_so_many_starts(slots: Slots, releases: Releases) -> None:
    """A model that is not good after three starts is given up at the fourth."""
    scenarios_push(slots, releases, 2)
    assert [slots.start().version for _ in range(4)] == [2, 2, 2, 1]
    assert states(slots) == {"a": ("good", 1), "b": ("bad", 2)}
    assert "3 starts" in slots.record().slots["b"].reason


def test_the_only_model_may_start_for_ever(tmp_path: Path, releases: Releases) -> None:
    """A first model that nobody confirmed is not given up: there is nothing to go back to."""
    slots = scenarios.slots(tmp_path, releases)
    scenarios_push(slots, releases, 1)
    assert [slots.start().version for _ in range(6)] == [1] * 6


def test_a_damaged_model_is_not_started(slots: Slots, releases: Releases) -> None:
    """Where the card has spoilt the active model the other one is started, and where it has spoilt both, none."""
    scenarios_push(slots, releases, 2)
    slots.confirm()
    for name, running in (("b", 1), ("a", None)):
        path = slots.model(name)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        if running:
            assert slots.start().version == running
            assert served(slots, releases) == running
        else:
            with pytest.raises(Refused, match="not the one that was signed"):
                slots.start()


def test_a_trial_is_not_pushed_over(slots: Slots, releases: Releases) -> None:
    """While a model is on trial the other slot is what it would go back to, and is not written to."""
    scenarios_push(slots, releases, 2)
    before = contents(slots)
    with pytest.raises(Refused, match="still on trial"):
        scenarios_push(slots, releases, 3)
    assert contents(slots) == before
    slots.confirm()
    assert scenarios_push(slots, releases, 3)


def test_older_versions_are_refused(slots: Slots, releases: Releases) -> None:
    """What is older than what proved itself comes in only if its signature and the one who pushes both say so."""
    scenarios_push(slots, releases, 3)
    slots.confirm()
    before = contents(slots)
    for permitted, asked in ((False, False), (False, True), (True, False)):
        with pytest.raises(Refused, match="version 2 is not newer than 3"):
            slots.install(releases.statement(2, downgrade=permitted), releases.source(2), allow_downgrade=asked)
    assert contents(slots) == before
    assert slots.install(releases.statement(2, downgrade=True), releases.source(2), allow_downgrade=True)
    slots.confirm()
    assert (served(slots, releases), slots.record().floor) == (2, 2)


def test_two_models_of_one_version(slots: Slots, releases: Releases) -> None:
    """Another model under a version that proved itself is refused."""
    other = signing.sign(releases.models[2], releases.key, 1).encoded()
    with pytest.raises(Refused, match="version 1 is not newer than 1"):
        slots.install(other, releases.source(2))


@pytest.mark.parametrize("damage", ["model", "signature", "key", "name", "cut short", "too long"])
def test_what_is_refused_changes_nothing(slots: Slots, releases: Releases, damage: str) -> None:
    """A changed model or signature, an unknown key, another name: refused with a reason, and all is as it was."""
    content, stated = bytearray(releases.models[2].read_bytes()), bytearray(releases.statement(2))
    match damage:
        case "model":
            content[len(content) // 2] ^= 1
            reason = "not the one that was signed"
        case "signature":
            stated[-5] = ord("0") if stated[-5] != ord("0") else ord("1")
            reason = "the signature is not one of the key"
        case "key":
            stated = bytearray(signing.sign(releases.models[2], Ed25519PrivateKey.generate(), 2).encoded())
            reason = "not trusted here"
        case "name":
            slots = Slots(slots.folder.with_name("another"), releases.trust)
            reason = "named tiny"
        case "cut short":
            del content[1000:]
            reason = "1000 of"
        case "too long":
            # what follows is not read, and was not signed
            content[-1] ^= 1
            content += b"more"
            reason = "not the one that was signed"
    before = contents(slots)
    with pytest.raises(Refused, match=reason):
        slots.install(bytes(stated), lambda offset: [bytes(content[offset:])])
    assert contents(slots) == before


def test_a_model_that_fails_its_self_test_is_refused(tmp_path: Path, slots: Slots, releases: Releases) -> None:
    """What does not pass its self-test never gets into a slot."""

    def fails(_: Path) -> None:
        raise Refused("the self-test failed: its outputs are all the same")

    before = contents(slots)
    with pytest.raises(Refused, match="all the same"):
        Slots(slots.folder, releases.trust, fails).install(releases.statement(2), releases.source(2))
    assert contents(slots) == before
    assert not list((slots.folder / "incoming").iterdir())


def test_keys_can_be_changed(slots: Slots, releases: Releases) -> None:
    """With old and new key trusted a release with the new one comes in; without the old one it alone can be started."""
    new = Ed25519PrivateKey.generate()
    public = new.public_key().public_bytes_raw()
    from firmware_hooks.slots import keys

    both = Trust({**releases.trust.keys, keys.identifier(public): public})
    rotating = Slots(slots.folder, both, lambda _: None)
    rotating.install(signing.sign(releases.models[2], new, 2).encoded(), releases.source(2))
    rotating.confirm()
    only = Slots(slots.folder, Trust({keys.identifier(public): public}), lambda _: None)
    assert only.start().version == 2
    with pytest.raises(Refused, match="not trusted here"):
        only.rollback()


def test_a_broken_transfer_is_continued(slots: Slots, releases: Releases) -> None:
    """What arrived before the line broke is not sent again; another release begins from the start."""
    content = releases.models[2].read_bytes()
    with pytest.raises(Refused, match="goes on from there"):
        slots.install(releases.statement(2), lambda offset: [content[offset:40_000]])
    asked = []

    def source(offset: int) -> list[bytes]:
        asked.append(offset)
        return [content[offset:]]

    stated = releases.statement(2)
    assert slots.install(stated, source)
    slots.confirm()
    half = releases.models[3].read_bytes()[:50_000]
    with pytest.raises(Refused, match="50000 of"):
        slots.install(releases.statement(3), lambda offset: [half[offset:]])
    content = releases.models[4].read_bytes()
    assert slots.install(releases.statement(4), source)
    assert asked == [40_000, 0]


def test_waiting_models(slots: Slots, releases: Releases) -> None:
    """A model can be put into its slot without being switched to, and take over later."""
    with pytest.raises(Refused, match="no new model waits"):
        slots.switch()
    scenarios_push(slots, releases, 2, switch=False)
    assert served(slots, releases) == 1
    slots.switch()
    assert served(slots, releases) == 2
    assert states(slots) == {"a": ("good", 1), "b": ("trial", 2)}


def test_no_room(slots: Slots, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that is too full for the model is noticed before anything is written."""
    size = releases.models[2].stat().st_size
    monkeypatch.setattr(storage, "free", lambda _: size + RESERVE - 1)
    before = contents(slots)
    with pytest.raises(Refused, match="make room"):
        scenarios_push(slots, releases, 2)
    assert contents(slots) == before
    assert not list((slots.folder / "incoming").iterdir())
    monkeypatch.setattr(storage, "free", lambda _: size + RESERVE)
    assert scenarios_push(slots, releases, 2)


def test_one_at_a_time(slots: Slots, releases: Releases) -> None:
    """While one model is being sent a second is refused."""
    with Staging(slots.folder), pytest.raises(Refused, match="being sent"):
        scenarios_push(slots, releases, 2)


@pytest.mark.parametrize("place", [0, 1])
def test_a_torn_record_is_survived(slots: Slots, releases: Releases, place: int) -> None:
    """Each of the two records may be torn: the other one tells how things stood just before."""
    scenarios_push(slots, releases, 2)
    path = slots.folder / f"record-{place}"
    path.write_bytes(path.read_bytes()[:100])
    assert slots.start().version in (1, 2)
    assert served(slots, releases) == slots.record().current.version


def test_lost_records_are_made_anew(slots: Slots, releases: Releases) -> None:
    """Without any record the slots are looked at, and what `current` led to stays active."""
    scenarios_push(slots, releases, 2)
    slots.confirm()
    slots.rollback()
    for place in range(2):
        (slots.folder / f"record-{place}").write_text("rubbish")
    assert records.read(slots.folder) is None
    assert slots.start().version == 1
    assert states(slots) == {"a": ("good", 1), "b": ("good", 2)}
    with pytest.raises(Refused, match="no slots"):
        Slots(slots.folder.with_name("none"), releases.trust).start()
