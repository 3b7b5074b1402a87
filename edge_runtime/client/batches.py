"""Requests that are sent several in one message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.client import decoding, messages
from edge_runtime.errors import EdgeError, InputError, ServerError, TooLong
from edge_runtime.protocol.limits import Limits

_FRAME = 256
"""bytes of a batch's line beside its entries: id, op, deadline and brackets"""


@dataclass(frozen=True, slots=True)
class Part:
    """As much as one message holds."""

    places: Sequence[int]
    """of its requests in the whole"""
    requests: Sequence[Mapping[str, Any]]


class Batch:
    """A list of text operations on its way to a list of their results."""

    def __init__(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """Raises InputError if they are no list of objects that JSON can carry."""
        if not isinstance(requests, Sequence) or not all(isinstance(each, Mapping) for each in requests):
            raise InputError('a batch is a list of requests such as {"op": "understand", "text": "hello"}')
        self._requests = [dict(each) for each in requests]
        self._sizes = [len(messages.dump(each)) + 1 for each in self._requests]
        self.results: list[Any] = [None] * len(self._requests)
        """of each request its result or its EdgeError, as far as they are there"""

    def parts(self, limits: Limits) -> Iterator[Part]:
        """Messages that the server takes. A request too long for any of them gets its error at once."""
        room = limits.line_bytes - _FRAME
        places: list[int] = []
        filled = 0
        for place, size in enumerate(self._sizes):
            if size > room:
                self.results[place] = TooLong(f"the request has {size} bytes and the server takes {room}")
                continue
            if len(places) == limits.batch or filled + size > room:
                yield self._part(places)
                places, filled = [], 0
            places.append(place)
            filled += size
        if places:
            yield self._part(places)

    def take(self, part: Part, reply: Mapping[str, Any]) -> None:
        """Note the results in the reply to a part.

        Raises:
            EdgeError: the whole part was refused, or the reply is none.
        """
        found = decoding.rows(messages.result(reply))
        if len(found) != len(part.places):
            raise ServerError(f"the server answered {len(found)} of {len(part.places)} requests of a batch")
        for place, each in zip(part.places, found, strict=True):
            self.results[place] = _result(each)

    def _part(self, places: Sequence[int]) -> Part:
        return Part(places, [self._requests[place] for place in places])


def _result(reply: Any) -> Any:
    try:
        return messages.text_result(decoding.field({"entry": reply}, "entry", dict))
    except EdgeError as error:
        return error
