"""What happens to a text that is longer than the model takes: one policy, the same for every operation.

- `error` (the default): `TooLong`, which says how many tokens there are and how many may be;
- `truncate`: the end is dropped;
- `window`: the text is read in windows that overlap by a quarter, and what was found is merged.

Of a pair only the second text is cut; the first (a question) is needed whole in every window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from edge_runtime.errors import InputError, TooLong
from edge_runtime.streaming.excerpt import Excerpt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.tokenizer import Encoding, Offset, Pieces, Tokenizer

Overflow = Literal["error", "truncate", "window"]

MAX_WINDOWS = 256
"""a bound on how long one request may take: half a minute on a Raspberry Pi 4"""
OVERLAP = 4
"""windows overlap by one part in so many: every phrase shorter than that stands whole in one of them"""
_NOTHING = Excerpt()


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `start` to `stop` of the text that is cut, made ready for the network."""

    encoding: Encoding
    start: int
    stop: int
    index: int = 0
    """of a stream: how many windows came before"""
    excerpt: Excerpt = _NOTHING
    """of a stream: what it covers of the text, from the end of the token before; otherwise the caller has the text"""

    @property
    def ids(self) -> tuple[int, ...]:
        """What `Model.run` takes, special tokens included."""
        return self.encoding.ids

    @property
    def types(self) -> tuple[int, ...]:
        """Token types, which `Model.run` takes too."""
        return self.encoding.types

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """(start, end) of each token in characters of the whole text; None for special tokens."""
        return self.encoding.offsets

    @property
    def span(self) -> tuple[int, int]:
        """First character of the text in it, and one past the last; (0, 0) if there is none."""
        of_text = max((text for text in self.encoding.texts if text is not None), default=0)
        places = zip(self.encoding.offsets, self.encoding.texts, strict=True)
        offsets = [offset for offset, text in places if offset is not None and text == of_text]
        return (offsets[0][0], offsets[-1][1]) if offsets else (0, 0)

    @property
    def weight(self) -> int:
        """How much of the text it holds: at least 1, so that a mean over windows exists."""
        return max(1, self.stop - self.start)


def policy(name: str) -> Overflow:
    """Check a policy's name.

    Raises:
        InputError: there is no such policy.
    """
    for known in get_args(Overflow):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"overflow must be one of {', '.join(get_args(Overflow))}, not {name!r}")


def cut(
    tokenizer: Tokenizer, first: Pieces, second: Pieces | None, max_length: int, overflow: Overflow
) -> list[Window]:
    """One window if the texts fit into `max_length` tokens, special ones included; else what the policy says.

    Raises:
        TooLong: they do not fit and the policy is `error`, the first text of a pair leaves no room for the second, or
            there would be more than `MAX_WINDOWS` windows.
    """
    specials = tokenizer.special_tokens(pair=second is not None)
    fixed = specials + (len(first) if second is not None else 0)
    content = first if second is None else second
    room = max_length - fixed
    if len(content) <= room:
        spans = [(0, len(content))]
    elif overflow == "error":
        raise TooLong(
            f"the text has {fixed + len(content)} tokens and the model takes {max_length}; "
            f'shorten it, or load the model with overflow="truncate" or overflow="window"'
        )
    elif room < 1:
        raise TooLong(f"the first text has {len(first)} tokens and leaves no room for the second in {max_length}")
    elif overflow == "truncate":
        spans = [(0, room)]
    else:
        spans = _spans(len(content), room)
    return [
        Window(tokenizer.join(*((content.cut(*span),) if second is None else (first, content.cut(*span)))), *span)
        for span in spans
    ]


def _spans(length: int, room: int) -> list[tuple[int, int]]:
    step = room - room // OVERLAP
    count = 1 + -(-(length - room) // step)
    if count > MAX_WINDOWS:
        raise TooLong(f"the text has {length} tokens, {count} windows; at most {MAX_WINDOWS} are read at once")
    starts = [min(place * step, length - room) for place in range(count)]
    return [(start, start + room) for start in starts]


def mean(windows: Sequence[Window], rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean of what the windows gave, weighted by their tokens: logits or vectors [1, width] → [width]."""
    import numpy as np

    if len(rows) == 1:
        # nearly always; an average would take as long as a fifth of a small model's inference
        only: NDArray[np.float32] = rows[0][0]
        return only
    weights = [window.weight for window in windows]
    merged: NDArray[np.float32] = np.average(np.concatenate(rows), axis=0, weights=weights).astype(np.float32)
    return merged


def stitch(windows: Sequence[Window], rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """For each token of the text its row from the window in which it is farthest from an edge.

    The beginning and the end of the text itself are no edges.

    Args:
        windows: of one text, in order.
        rows: for each window a row for each of its tokens, special ones included: [S, width].

    Returns:
        [tokens of the text, width], without special tokens.
    """
    import numpy as np

    if len(windows) == 1:
        return rows[0][[text is not None for text in windows[0].encoding.texts]]
    end = windows[-1].stop
    merged = np.zeros((end, rows[0].shape[1]), np.float32)
    best = np.full(end, -1.0)
    for window, values in zip(windows, rows, strict=True):
        improve(merged, best, window, values, 0, last=window.stop == end)
    return merged


def improve(
    merged: NDArray[np.float32],
    best: NDArray[np.float64],
    window: Window,
    values: NDArray[np.float32],
    first: int,
    *,
    last: bool,
) -> None:
    """Take a window's rows for the tokens that are farther from its edges than from those of the windows before.

    Args:
        merged: [tokens, width], changed in place.
        best: distance of each from the nearest edge of the window that its row comes from, below 0 if there is none;
            changed in place.
        window: its tokens are among those.
        values: a row for each of its tokens, special ones included: [S, width].
        first: which token of the text the first row of `merged` is for.
        last: whether the window ends where the text does.
    """
    import numpy as np

    place = np.arange(window.start, window.stop)
    left = place - window.start if window.start > 0 else np.full(len(place), np.inf)
    right = np.full(len(place), np.inf) if last else window.stop - 1 - place
    distance = np.minimum(left, right)
    better = distance > best[place - first]
    content = values[[text is not None for text in window.encoding.texts]]
    merged[place[better] - first] = content[better]
    best[place - first] = np.maximum(best[place - first], distance)
