"""A queue that takes turns between clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.server.fairness import FairQueue


def drain(queue: FairQueue[str]) -> list[str]:
    taken = []
    while queue:
        client, _ = next(queue.heads())
        taken.append(queue.pop(client))
    return taken


def test_clients_take_turns() -> None:
    """Somebody who sends one request waits for one of each other client, not for all of theirs."""
    queue: FairQueue[str] = FairQueue()
    for entry in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.push(entry[0], entry)
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_first_again() -> None:
    """What is put back comes before everything else."""
    queue: FairQueue[str] = FairQueue()
    for entry in ("a1", "b1", "b2"):
        queue.push(entry[0], entry)
    queue.push_first("b", "b0")
    queue.push_first("c", "c0")
    assert drain(queue) == ["c0", "b0", "a1", "b1", "b2"]


def test_taking_out() -> None:
    """One entry, or all of a client, can be taken out; what is not there cannot."""
    queue: FairQueue[str] = FairQueue()
    for entry in ("a1", "a2", "b1", "b2"):
        queue.push(entry[0], entry)
    assert queue.remove("a", "a2")
    assert not queue.remove("a", "a2")
    assert not queue.remove("z", "a1")
    assert queue.remove_all("b") == ["b1", "b2"]
    assert queue.remove_all("b") == []
    assert (len(queue), queue.clients, queue.waiting("a"), queue.waiting("b")) == (1, 1, 1, 0)
    assert drain(queue) == ["a1"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["push", "first", "pop", "remove", "all"]), st.integers(0, 3), st.integers(0, 9))
    )
)
def test_nothing_is_lost(steps: list[tuple[str, int, int]]) -> None:
    """After any steps the queue holds what was put in and not taken out, each client's in its order."""
    queue: FairQueue[int] = FairQueue()
    held: dict[int, list[int]] = {}
    for step, client, entry in steps:
        mine = held.setdefault(client, [])
        match step:
            case "push":
                queue.push(client, entry)
                mine.append(entry)
            case "first":
                queue.push_first(client, entry)
                mine.insert(0, entry)
            case "pop" if mine:
                assert queue.pop(client) == mine.pop(0)
            case "remove":
                assert queue.remove(client, entry) == (entry in mine)
                if entry in mine:
                    mine.remove(entry)
            case "all":
                assert queue.remove_all(client) == mine
                mine.clear()
        assert len(queue) == sum(map(len, held.values()))
        assert dict(queue.heads()) == {c: m[0] for c, m in held.items() if m}
        assert sorted(queue) == sorted(entry for m in held.values() for entry in m)
