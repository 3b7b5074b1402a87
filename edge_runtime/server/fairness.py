"""A queue that takes turns between clients, whatever each of them sends."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First in, first out for each client; round robin between them."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[T]] = {}
        self._turns: deque[Hashable] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def clients(self) -> int:
        """How many have something waiting."""
        return len(self._queues)

    def waiting(self, client: Hashable) -> int:
        """Entries of one client."""
        queue = self._queues.get(client)
        return 0 if queue is None else len(queue)

    def push(self, client: Hashable, entry: T) -> None:
        queue = self._queues.get(client)
        if queue is None:
            queue = self._queues[client] = deque()
            self._turns.append(client)
        queue.append(entry)
        self._length += 1

    def push_first(self, client: Hashable, entry: T) -> None:
        """Before everything else of this client, whose turn is next."""
        queue = self._queues.get(client)
        if queue is None:
            queue = self._queues[client] = deque()
        else:
            self._turns.remove(client)
        self._turns.appendleft(client)
        queue.appendleft(entry)
        self._length += 1

    def heads(self) -> Iterator[tuple[Hashable, T]]:
        """The first entry of each client, in the order of their turns. Nothing may be changed meanwhile."""
        for client in self._turns:
            yield client, self._queues[client][0]

    def pop(self, client: Hashable) -> T:
        """Take a client's first entry; it is the others' turn then."""
        queue = self._queues[client]
        entry = queue.popleft()
        self._length -= 1
        if self._turns[0] == client:
            self._turns.popleft()
        else:
            self._turns.remove(client)
        if queue:
            self._turns.append(client)
        else:
            del self._queues[client]
        return entry

    def remove(self, client: Hashable, entry: T) -> bool:
        """Take an entry out of the middle; False if it is not there."""
        queue = self._queues.get(client)
        if queue is None or entry not in queue:
            return False
        queue.remove(entry)
        self._length -= 1
        if not queue:
            del self._queues[client]
            self._turns.remove(client)
        return True

    def remove_all(self, client: Hashable) -> list[T]:
        """Take out everything of a client."""
        queue = self._queues.pop(client, None)
        if queue is None:
            return []
        self._turns.remove(client)
        self._length -= len(queue)
        return list(queue)

    def __iter__(self) -> Iterator[T]:
        for queue in self._queues.values():
            yield from queue
