"""What a peer may send at most; `hello` announces all of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

PROTOCOL = 1
"""the version of docs/protocol.md"""
SERVER = "squeezebert-edge"

LARGEST_ID = 2**53 - 1
"""beyond it JavaScript's and Lua's numbers are no longer exact"""
CHARACTERS_PER_TOKEN = 64
"""longest text that is tokenised at all, per token that the model takes: English has four or five characters to a
token, and tokenising a text ten times as long as any that fits would hold up everybody else"""

FULL_DUTY, LEAST_DUTY = 1.0, 0.01
"""of its time that a worker may be told to compute; at less, hardly a request would meet its deadline"""
LONGEST_ORDER_MS = 600_000.0
"""that an order to slow down may hold"""
MAX_REASON = 200
"""characters of what is said to people with it"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers that `hello` announces; docs/protocol.md says what happens beyond each."""

    line_bytes: int = 256 << 10
    """a feed of the largest size in base64, three times over; a board holds one such line for each connection"""
    reply_bytes: int = 4 << 20
    """a batch of vectors fits"""
    id_characters: int = 64
    pending: int = 128
    batch: int = 64
    top_k: int = 100
    choices: int = 64
    streams: int = 8
    feed_bytes: int = 64 << 10
    default_deadline_ms: float = 2000
    """an answer to somebody who has been waiting for longer comes too late"""
    max_deadline_ms: float = 60_000
    stream_idle_ms: float = 600_000
    line_ms: float = 10_000
    """256 KiB at 115,200 baud would take longer, but no socket is that slow"""
    unread_ms: float = 10_000
    connections: int = 256

    def to_json(self) -> dict[str, int | float]:
        """As `hello` announces them."""
        return asdict(self)
