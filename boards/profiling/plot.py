"""Plots as SVG text that stands by itself: no script, no font, no file besides; colours come from the page's CSS.

Every plot has a title and a description for those who do not see it, and the page puts its numbers in a table below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH = 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 118, 12, 40
_MARGIN = 20
OUTLIERS = 1.6
"""how many times the highest line a band may reach; what is higher is cut off, or nobody would see the lines"""
_LABEL_HEIGHT = 15
"""pixels that two labels at the ends of lines keep apart"""
_ROUNDS = 20
_BAR, _GAP = 18, 10
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Series:
    """One line, with its colour's number and what it is called at its end."""

    name: str
    colour: int
    points: Sequence[tuple[float, float]]
    upper: Sequence[float] = ()
    """of a band from the line upwards, a value for each point"""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a bar plot: parts beside each other, each with its colour's number."""

    label: str
    parts: Sequence[tuple[float, int, str]]
    """length, colour, what it is"""
    text: str
    """at its end"""


def lines(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    powers: bool = False,
    height: int = 320,
    limit: tuple[float, str] | None = None,
    from_zero: bool = True,
    width: int = WIDTH,
    x_ticks: Sequence[float] = (),
) -> str:
    """Lines over one axis.

    Args:
        title: for the reader who does not see the plot, with what can be seen in it.
        series: at least one, each with at least one point.
        x_label: of the axis.
        y_label: of the axis, with its unit.
        powers: whether the horizontal axis grows by powers of two.
        height: pixels.
        limit: a height to mark, and its name.
        from_zero: whether the vertical axis begins at 0.
        width: pixels.
        x_ticks: where the horizontal axis has its marks, if not where round numbers are.
    """
    xs = [x for each in series for x, _ in each.points]
    ys = [y for each in series for _, y in each.points]
    highest = OUTLIERS * max(ys)
    ys += [min(y, highest) for each in series for y in each.upper]
    if limit is not None:
        ys.append(limit[0])
    y_ticks = ticks(0.0 if from_zero else min(ys), max(ys))
    low, high = y_ticks[0], max(y_ticks[-1], *ys)
    right, bottom = width - (_RIGHT if len(series) > 1 else _MARGIN), height - _BOTTOM
    scale: Callable[[float], float] = math.log2 if powers else float
    first, last = scale(min(xs)), scale(max(xs))

    def across(x: float) -> float:
        return _LEFT + (right - _LEFT) * ((scale(x) - first) / (last - first) if last > first else 0.5)

    def up(y: float) -> float:
        return bottom - (bottom - _TOP) * ((y - low) / (high - low) if high > low else 0.5)

    marks = list(x_ticks) or (sorted(set(xs)) if powers else ticks(min(xs), max(xs)))
    body = []
    for tick in y_ticks:
        body.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        body.append(_text(_LEFT - 8, up(tick) + 4, figure(tick), "tick", "end"))
    seen = [tick for tick in marks if first <= scale(tick) <= last]
    body += [_text(across(tick), bottom + 18, figure(tick), "tick", "middle") for tick in seen]
    body.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    body.append(_text((_LEFT + right) / 2, height - 4, x_label, "name", "middle"))
    if limit is not None:
        place = up(limit[0])
        body.append(f'<line class="limit" x1="{_LEFT}" x2="{right}" y1="{place:.1f}" y2="{place:.1f}"/>')
        body.append(_text(right - 4, place - 5, limit[1], "tick", "end"))
    for each in series:
        if each.upper:
            there = [f"{across(x):.1f},{up(y):.1f}" for x, y in each.points]
            back = [
                f"{across(x):.1f},{up(min(y, high)):.1f}" for (x, _), y in zip(each.points, each.upper, strict=True)
            ]
            body.append(f'<polygon class="band f{each.colour}" points="{" ".join(there + back[::-1])}"/>')
    for each in series:
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in each.points)
        dash = ' stroke-dasharray="6 4"' if each.dashed else ""
        body.append(f'<polyline class="line s{each.colour}"{dash} points="{path}"/>')
        if len(each.points) <= 12:
            body += [
                f'<circle class="dot f{each.colour}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="4">'
                f"<title>{escape(f'{each.name}: {figure(x)} {x_label}, {figure(y)} {y_label}')}</title></circle>"
                for x, y in each.points
            ]
    ends = spread([up(each.points[-1][1]) for each in series], _LABEL_HEIGHT)
    if len(series) > 1:
        for each, place in zip(series, ends, strict=True):
            body.append(
                f'<rect class="f{each.colour}" x="{right + 10}" y="{place - 5:.1f}" width="10" height="10" rx="2"/>'
            )
            body.append(_text(right + 25, place + 4, each.name, "label", "start"))
    return _svg(title, width, height, body)


def bars(title: str, rows: Sequence[Bar], *, label_width: int = 170, width: int = WIDTH) -> str:
    """Horizontal bars, one below the other, all from the same zero.

    Args:
        title: for the reader who does not see the plot.
        rows: at least one.
        label_width: pixels for the labels.
        width: pixels.
    """
    longest = max(sum(max(size, 0.0) for size, _, _ in row.parts) for row in rows) or 1.0
    room = width - label_width - 110
    body = []
    top = 4 - _GAP - _BAR
    for row in rows:
        # a row without a label belongs to the one above
        top += _BAR + (_GAP if row.label else 2)
        body.append(_text(label_width - 10, top + 13, row.label, "label", "end"))
        left = float(label_width)
        for size, colour, name in row.parts:
            wide = room * max(size, 0.0) / longest
            body.append(
                f'<rect class="bar f{colour}" x="{left:.1f}" y="{top}" width="{max(wide, 0.5):.1f}"'
                f' height="{_BAR}" rx="2">'
                f"<title>{escape(f'{row.label}: {name}')}</title></rect>"
            )
            left += wide
        body.append(_text(left + 8, top + 13, row.text, "figure", "start"))
    return _svg(title, width, top + _BAR + 4, body)


def cut_off(series: Sequence[Series]) -> bool:
    """Whether a band reaches beyond what `lines` shows of it."""
    return max((y for each in series for y in each.upper), default=0.0) > OUTLIERS * max(
        y for each in series for _, y in each.points
    )


def legend(names: Sequence[tuple[str, int]]) -> str:
    """What colours mean, as HTML."""
    items = "".join(f'<li><span class="key k{colour}"></span>{escape(name)}</li>' for name, colour in names)
    return f'<ul class="legend">{items}</ul>'


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers that hold both ends between them."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = (high - low) / _TICKS
    power = 10 ** math.floor(math.log10(step))
    nice = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)
    first = math.floor(low / nice + 1e-9)
    last = math.ceil(high / nice - 1e-9)
    return [round(number * nice, 10) for number in range(first, last + 1)]


def spread(places: Sequence[float], apart: float) -> list[float]:
    """The same places, moved as little as need be for each two to be so far apart."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    # neighbours push each other apart; so many rounds settle a dozen labels to a fraction of a pixel
    for _ in range(_ROUNDS * len(places)):
        for one, other in pairwise(order):
            lack = apart - (moved[other] - moved[one])
            if lack > 0:
                moved[one] -= lack / 2
                moved[other] += lack / 2
    return moved


def figure(value: float) -> str:
    """A number as people write it: three digits that count, no more."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    if size >= 100:
        return f"{value:.0f}"
    text = f"{value:.{2 - math.floor(math.log10(size))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    if not text:
        return ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, width: int, height: int, body: Sequence[str]) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )
