"""Two profiles side by side: two boards, two backends, or before and after a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from boards.profiling.page import (
    STAGES,
    chosen,
    document,
    facts,
    operator_rows,
    private_mb,
    section,
    shown_length,
    soak_series,
    stage,
    start_parts,
    table,
    threads,
    tiles,
)
from boards.profiling.plot import Bar, Series, bars, figure, legend, lines

SAME = 0.03
"""a difference below this share is not called one: two runs on one quiet machine differ by as much"""


def comparison_page(first: dict[str, Any], second: dict[str, Any]) -> str:
    """The page of two profiles.

    Args:
        first: what is compared with, A.
        second: what is compared, B.
    """
    names = labels(first, second)
    title = f"{names[0]} against {names[1]}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<p>Ratios are B to A: below 1, B takes less.</p>",
        legend([(f"A: {names[0]}", 0), (f"B: {names[1]}", 1)]),
        tiles(list(_tiles(first, second))),
        _latency(first, second, names),
        _operators(first, second),
        _starting(first, second),
        _soak(first, second),
        _facts(first, second),
    ]
    return document(title, "".join(parts), second["tool"])


def labels(first: dict[str, Any], second: dict[str, Any]) -> tuple[str, str]:
    """What to call the two: by what differs, the board first of all."""

    def name(record: dict[str, Any], fields: list[str]) -> str:
        said = {
            "board": record["board"]["name"],
            "model": record["model"]["name"],
            "backend": record["settings"]["backend"],
            "threads": threads(record["settings"]["threads"]),
            "version": record["model"]["backend_version"],
            "made": record["made"],
        }
        return ", ".join(said[field] for field in fields)

    order = ["board", "model", "backend", "threads", "version"]
    differing = [field for field in order if name(first, [field]) != name(second, [field])]
    fields = differing or ["made"]
    return name(first, fields), name(second, fields)


def ratio(first: float | None, second: float | None, *, more_is_better: bool = False) -> str:
    """B to A as HTML, coloured where it is a difference."""
    if not first or second is None:
        return ""
    value = second / first
    if abs(value - 1) < SAME:
        return f"{value:.2f} ×"
    better = (value > 1) == more_is_better
    return f'<span class="{"better" if better else "worse"}">{value:.2f} ×</span>'


def _tiles(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    length = shown_length(first)["length"]

    def short(record: dict[str, Any]) -> float | None:
        return next((row["p50_ms"] for row in chosen(record) if row["length"] == length), None)

    def answer(record: dict[str, Any]) -> float | None:
        return stage(record, "warm", "first answer")

    def speed(record: dict[str, Any]) -> float | None:
        return float(record["soak"]["summary"]["last_tokens_per_second"])

    pairs: list[tuple[str, Callable[[dict[str, Any]], float | None], str, bool]] = [
        (f"{length} tokens", short, "ms", False),
        ("First answer, warm", answer, "ms", False),
        ("Memory of its own", private_mb, "MB", False),
        ("At full load", speed, "tokens/s", True),
    ]
    for what, read, unit, more in pairs:
        one, other = read(first), read(second)
        if one is not None and other is not None:
            yield what, figure(other), unit, f"A {figure(one)}; {ratio(one, other, more_is_better=more)}"


def _latency(first: dict[str, Any], second: dict[str, Any], names: tuple[str, str]) -> str:
    counts = sorted({row["threads"] for each in (first, second) for row in each["latency"]})
    plots, rows = [], []
    for count in counts:
        series = []
        for record, name, colour in ((first, "A", 0), (second, "B", 1)):
            found = [row for row in record["latency"] if row["threads"] == count]
            if found:
                points = [(row["length"], row["p50_ms"]) for row in found]
                series.append(Series(name, colour, points, [row["p95_ms"] for row in found]))
        said = f"{threads(count)}: milliseconds by tokens, {names[0]} and {names[1]}"
        plot = lines(said, series, "tokens", "ms", powers=True, height=240, width=440)
        plots.append(f"<div><h3>{threads(count)}</h3>{plot}</div>")
        mine = {row["length"]: row for row in first["latency"] if row["threads"] == count}
        theirs = {row["length"]: row for row in second["latency"] if row["threads"] == count}
        for length in sorted(set(mine) & set(theirs)):
            one, other = mine[length], theirs[length]
            rows.append(
                [
                    threads(count),
                    str(length),
                    *(f"{each[key]:.3f}" for key in ("p50_ms", "p95_ms") for each in (one, other)),
                    ratio(one["p50_ms"], other["p50_ms"]),
                    ratio(one["p95_ms"], other["p95_ms"]),
                ]
            )
    heads = ["threads", "tokens", "A p50 ms", "B p50 ms", "A p95 ms", "B p95 ms", "p50", "p95"]
    return section(
        "Latency",
        "Milliseconds of one inference. Lines are medians; shades reach up to p95.",
        f'<div class="pair">{"".join(plots)}</div>',
        table(heads, rows, None),
    )


def _operators(first: dict[str, Any], second: dict[str, Any]) -> str:
    mine, theirs = first["operators"], second["operators"]
    if mine is None or theirs is None:
        return section("Where the time goes", "One of the two was not measured operator by operator.")
    if mine["length"] != theirs["length"]:
        return section(
            "Where the time goes", f"A has {mine['length']} tokens and B {theirs['length']}: not comparable."
        )
    other = {each["operator"]: each["ms"] for each in theirs["by_operator"]}
    made, rows = [], []
    for kind, _, ms in operator_rows(mine):
        if kind in other:
            made += _two(kind.lower(), max(ms, 0.0), max(other[kind], 0.0), "ms")
            rows.append([escape(kind), f"{ms:.4f}", f"{other[kind]:.4f}", ratio(ms, other[kind]) if ms > 0 else ""])
    return section(
        "Where the time goes",
        f"{mine['length']} tokens, by kind of operator; A {figure(mine['total_ms'])} ms and"
        f" B {figure(theirs['total_ms'])} ms in all. A: {escape(mine['backend'])}; B: {escape(theirs['backend'])}.",
        bars("Milliseconds by kind of operator, A above B", made),
        table(["operator", "A ms", "B ms", "B to A"], rows),
    )


def _two(label: str, one: float, other: float, unit: str) -> list[Bar]:
    return [
        Bar(label, [(one, 0, f"A {figure(one)} {unit}")], f"{figure(one)} {unit}"),
        Bar("", [(other, 1, f"B {figure(other)} {unit}")], f"{figure(other)} {unit}"),
    ]


def _starting(first: dict[str, Any], second: dict[str, Any]) -> str:
    made = []
    for start in ("cold", "warm"):
        for record, name in ((first, "A"), (second, "B")):
            parts = start_parts(record, start)
            made.append(Bar(f"{start}, {name}", parts, f"{figure(sum(size for size, _, _ in parts))} ms"))
    fields = (("private_dirty_kb", "memory of its own, kB"), ("proportional_kb", "proportional share, kB"))
    rows = []
    for field, what in fields:
        one, other = (stage(record, "warm", "first answer", field) for record in (first, second))
        if one is not None and other is not None:
            rows.append([what, f"{one:.0f}", f"{other:.0f}", ratio(one, other)])
    return section(
        "From start to first answer",
        "Milliseconds of a process of its own, and what it takes after its first answer.",
        bars("Milliseconds from the start of a process to its first answer", made, label_width=70),
        legend([(what, colour) for _, what, colour in STAGES]),
        table(["after the first answer", "A", "B", "B to A"], rows, None) if rows else "",
    )


def _soak(first: dict[str, Any], second: dict[str, Any]) -> str:
    series = [soak_series(first, "A", 0), soak_series(second, "B", 1)]
    content = [lines("Tokens per second over minutes", series, "minutes", "tokens/s", height=230)]
    warm = []
    for record, name, colour in ((first, "A", 0), (second, "B", 1)):
        points = [
            (each["seconds"] / 60, max(each["temperatures"].values()))
            for each in record["soak"]["samples"]
            if each["temperatures"]
        ]
        if points:
            warm.append(Series(name, colour, points))
    if warm:
        content += [
            "<h3>Warmest zone, °C</h3>",
            lines("Temperature", warm, "minutes", "°C", height=190, from_zero=False),
        ]
    rows = []
    for key, what, more in (
        ("first_tokens_per_second", "tokens/s at first", True),
        ("last_tokens_per_second", "tokens/s at the end", True),
    ):
        one, other = (record["soak"]["summary"][key] for record in (first, second))
        rows.append([what, figure(one), figure(other), ratio(one, other, more_is_better=more)])
    energy = [record["soak"].get("energy") for record in (first, second)]
    if all(energy):
        one, other = (each["millijoules_per_token"] for each in energy if each)
        rows.append(["mJ per token", figure(one), figure(other), ratio(one, other)])
    lengths = {record["soak"]["length"] for record in (first, second)}
    said = "Tokens per second without a pause." if len(lengths) == 1 else "The two had different lengths of text."
    return section("Full load", said, *content, table(["", "A", "B", "B to A"], rows, None))


def _facts(first: dict[str, Any], second: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(one)}</td>'
        f"<td>{'the same' if one == other else escape(other)}</td></tr>"
        for (name, one), (_, other) in zip(facts(first), facts(second), strict=True)
    )
    return (
        '<section><h2>What was measured</h2><table class="facts"><thead><tr><th></th><th>A</th><th>B</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )
