"""One profile as a page: a single file that needs nothing else, not even a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from boards.probe import ranges
from boards.profiling.plot import Bar, Series, bars, cut_off, figure, legend, lines

_STYLE = Path(__file__).with_name("page.css")
_MEMORY = (
    ("private_dirty_kb", "private, written: this process alone has it", 0),
    ("private_clean_kb", "private, from files: dropped when memory is short", 2),
    ("shared_clean_kb", "shared with other processes", 4),
)
MAX_KINDS = 12
"""operators that are shown by themselves; the others are one bar"""
_SIDE = 440
"""pixels of a plot that stands beside another"""


def page(record: dict[str, Any]) -> str:
    """The page of one profile.

    Args:
        record: as `record.check` let it pass.
    """
    board, model, settings = record["board"], record["model"], record["settings"]
    title = f"{model['name']} on {board['name']}"
    name = record["machine"].get("model") or processor(record)
    said = [name, f"{model['backend']} {model['backend_version']}", _ways(settings), record["made"]]
    if settings["quick"]:
        said.append("a quick look: few runs")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(' · '.join(said))}</p>",
        tiles(list(_tiles(record))),
        _latency(record),
        _operators(record),
        _starting(record),
        _memory(record),
        _soak(record),
        _machine(record),
    ]
    return document(title, "".join(parts), record["tool"])


def document(title: str, body: str, tool: str) -> str:
    """A page around its content."""
    style = _STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"<footer>Made by edge-boards profile, squeezebert-edge {escape(tool)}; docs/profiling.md says how each figure"
        " is measured.</footer>\n</main>\n</body>\n</html>\n"
    )


def tiles(entries: Sequence[tuple[str, str, str, str]]) -> str:
    """Figures that stand out: what, value, unit, note."""
    found = "".join(
        f'<div class="tile"><dt>{escape(what)}</dt><dd>{escape(value)} <small>{escape(unit)}</small>'
        f'<span class="note">{note}</span></dd></div>'
        for what, value, unit, note in entries
    )
    return f'<dl class="tiles">{found}</dl>'


def section(title: str, said: str, *content: str) -> str:
    """A card with a headline and a sentence on what is in it."""
    return f"<section><h2>{escape(title)}</h2><p>{said}</p>{''.join(content)}</section>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], summary: str | None = "The numbers") -> str:
    """A table, folded away under `summary` unless that is None; cells are HTML."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    made = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return made if summary is None else f"<details><summary>{escape(summary)}</summary>{made}</details>"


def processor(record: dict[str, Any]) -> str:
    """The machine's cores in words."""
    return (
        ", ".join(f"{len(each['numbers'])} × {each['name']}" for each in record["machine"]["clusters"]) or "unknown CPU"
    )


def threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def stage(record: dict[str, Any], start: str, name: str, field: str = "ms") -> float | None:
    """A field of a stage of loading, or None."""
    for each in record["loading"][start]:
        if each["stage"] == name and field in each:
            return float(each[field])
    return None


def chosen(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Latencies with the threads that the profile is of, by length."""
    return [row for row in record["latency"] if row["threads"] == record["settings"]["threads"]]


def shown_length(record: dict[str, Any]) -> dict[str, Any]:
    """The latency that stands for a command: 16 tokens, or the nearest."""
    return min(chosen(record), key=lambda row: abs(row["length"] - 16))


def private_mb(record: dict[str, Any]) -> float | None:
    """Memory that belongs to the process alone after its first answer, MB."""
    value = stage(record, "warm", "first answer", "private_dirty_kb")
    return None if value is None else value / 1e3


def _ways(settings: dict[str, Any]) -> str:
    kept = f", cores {ranges(settings['cores'])}" if settings.get("cores") else ""
    return threads(settings["threads"]) + kept


def _tiles(record: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    row = shown_length(record)
    yield f"{row['length']} tokens", figure(row["p50_ms"]), "ms", f"p95 {figure(row['p95_ms'])} ms"
    answer, cold = stage(record, "warm", "first answer"), stage(record, "cold", "first answer")
    if answer is not None and cold is not None:
        yield "First answer of a process", figure(answer), "ms", f"cold {figure(cold)} ms"
    memory = private_mb(record)
    if memory is not None:
        yield (
            "Memory of its own",
            figure(memory),
            "MB",
            f"the model file is {figure(record['model']['bytes'] / 1e6)} MB",
        )
    summary = record["soak"]["summary"]
    yield (
        "At full load",
        figure(summary["last_tokens_per_second"]),
        "tokens/s",
        f"{100 * summary['kept']:.0f} % of what it was at first",
    )
    energy = record["soak"].get("energy")
    if energy:
        yield "Energy", figure(energy["millijoules_per_token"]), "mJ/token", f"at {figure(energy['load_watts'])} W"
    elif summary.get("highest_temperature") is not None:
        yield "Warmest", figure(summary["highest_temperature"]), "°C", "in the soak"


def _latency(record: dict[str, Any]) -> str:
    counts = sorted({row["threads"] for row in record["latency"]})
    series = []
    for index, count in enumerate(counts):
        rows = [row for row in record["latency"] if row["threads"] == count]
        points = [(row["length"], row["p50_ms"]) for row in rows]
        series.append(Series(threads(count), index % 4, points, [row["p95_ms"] for row in rows]))
    rows = [
        [
            threads(row["threads"]),
            str(row["length"]),
            str(row["runs"]),
            *(f"{row[key]:.3f}" for key in ("least_ms", "p50_ms", "p95_ms")),
        ]
        for row in record["latency"]
    ]
    beyond = " Where it leaves the plot, the table has its height: the machine was busy." if cut_off(series) else ""
    most = max(record["latency"], key=lambda row: row["length"])
    title = f"Milliseconds by tokens; {threads(most['threads'])}, {most['length']} tokens: {figure(most['p50_ms'])} ms"
    return section(
        "Latency",
        "Milliseconds of one inference by the length of the text. The line is the median; the shade reaches up to p95."
        f" Numbers of threads took turns.{beyond}",
        lines(title, series, "tokens", "ms", powers=True),
        table(["threads", "tokens", "runs", "least ms", "p50 ms", "p95 ms"], rows),
    )


def operator_rows(operators: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Kinds of operators with their number and milliseconds; those beyond `MAX_KINDS` together."""
    rows = [(each["operator"], each["count"], each["ms"]) for each in operators["by_operator"]]
    rest = rows[MAX_KINDS:]
    if rest:
        rows = [*rows[:MAX_KINDS], (f"{len(rest)} others", sum(row[1] for row in rest), sum(row[2] for row in rest))]
    return rows


def _operators(record: dict[str, Any]) -> str:
    operators = record["operators"]
    if operators is None:
        return section(
            "Where the time goes", f"Not measured: {escape(record['without_operators'] or 'no reason told')}."
        )
    total = operators["total_ms"]

    def bar(label: str, ms: float) -> Bar:
        return Bar(
            label, [(ms, 0, f"{figure(max(ms, 0.0))} ms")], f"{figure(max(ms, 0.0))} ms · {100 * ms / total:.0f} %"
        )

    kinds = [bar(f"{name.lower()} × {count}", ms) for name, count, ms in operator_rows(operators)]
    parts = [bar(each["part"], each["ms"]) for each in operators["by_part"]]
    rows = [
        [escape(each["operator"]), str(each["count"]), f"{each['ms']:.4f}", f"{100 * each['ms'] / total:.1f}"]
        for each in operators["by_operator"]
    ]
    return section(
        "Where the time goes",
        f"{operators['length']} tokens, {figure(total)} ms in all ({escape(operators['backend'])}; the whole network at"
        f" its quickest: {figure(operators['whole_ms'])} ms)."
        f" {escape(operators['method'])}",
        "<h3>By part of the network</h3>",
        bars("Milliseconds by part of the network", parts),
        "<h3>By operator</h3>",
        bars("Milliseconds by kind of operator", kinds),
        table(["operator", "how many", "ms", "%"], rows),
    )


STAGES = (
    ("python", "Python starts", 4),
    ("libraries", "libraries are imported", 2),
    ("model loaded", "the model is loaded", 0),
    ("first answer", "the first text is answered", 1),
)


def start_parts(record: dict[str, Any], start: str) -> list[tuple[float, int, str]]:
    """Milliseconds of each stage of a start, for a bar."""
    parts, before = [], 0.0
    for name, what, colour in STAGES:
        reached = stage(record, start, name)
        if reached is not None:
            parts.append((reached - before, colour, f"{what}, {figure(reached - before)} ms"))
            before = reached
    return parts


def _starting(record: dict[str, Any]) -> str:
    made = []
    for start, label in (("cold", "cold"), ("warm", "warm")):
        parts = start_parts(record, start)
        made.append(Bar(label, parts, f"{figure(sum(size for size, _, _ in parts))} ms"))
    share = record["loading"]["cold_cached"]
    cold = "" if share is None else f" ({100 * share:.0f} % of the model file was in the page cache all the same)"
    rows = [
        [start, escape(each["stage"]), f"{each['ms']:.1f}"]
        for start in ("cold", "warm")
        for each in record["loading"][start]
    ]
    return section(
        "From start to first answer",
        "A process of its own. Cold: no packed weights, nothing verified yet, the model file dropped from the page"
        f" cache{cold}. Warm: as every later start.",
        bars("Milliseconds from the start of a process to its first answer, cold and warm", made, label_width=60),
        legend([(what, colour) for _, what, colour in STAGES]),
        table(["start", "stage", "ms since the start"], rows),
    )


def _memory(record: dict[str, Any]) -> str:
    stages = [each for each in record["loading"]["warm"] if "private_dirty_kb" in each]
    cache = [
        f"{escape(each['file'])}: {figure(each['cached_bytes'] / 1e6)} of {figure(each['bytes'] / 1e6)} MB"
        for each in record["loading"]["page_cache"]
    ]
    said = "What the process takes after each step (/proc/self/smaps_rollup)." + (
        f" In the page cache, for all processes together: {'; '.join(cache)}." if cache else ""
    )
    if not stages:
        return section("Memory", "This kernel does not tell it (no /proc/self/smaps_rollup).")
    made = []
    for each in stages:
        parts = [
            (each.get(field, 0) / 1e3, colour, f"{what}: {figure(each.get(field, 0) / 1e3)} MB")
            for field, what, colour in _MEMORY
        ]
        made.append(Bar(each["stage"], parts, f"{figure(sum(size for size, _, _ in parts))} MB"))
    fields = [field for field, _, _ in _MEMORY] + ["proportional_kb", "swap_kb"]
    rows = [[escape(each["stage"]), *(str(each.get(field, "")) for field in fields)] for each in stages]
    return section(
        "Memory",
        said,
        bars("Megabytes of the process after each step", made),
        legend([(what, colour) for _, what, colour in _MEMORY]),
        table(["after", *(field.removesuffix("_kb").replace("_", " ") + " kB" for field in fields)], rows),
    )


def _duration(minutes: float) -> str:
    return f"{figure(minutes)} minutes" if minutes >= 2 else f"{60 * minutes:.0f} seconds"


def soak_series(record: dict[str, Any], name: str, colour: int) -> Series:
    """Tokens per second over minutes."""
    samples = record["soak"]["samples"]
    return Series(name, colour, [(each["seconds"] / 60, each["tokens_per_second"]) for each in samples])


def _soak(record: dict[str, Any]) -> str:
    soak = record["soak"]
    samples, summary = soak["samples"], soak["summary"]
    minutes = samples[-1]["seconds"] / 60
    rate = lines(
        f"Tokens per second over {_duration(minutes)}",
        [soak_series(record, "tokens/s", 0)],
        "minutes",
        "tokens/s",
        height=200,
    )
    content = ["<h3>Tokens per second</h3>", rate]
    for field, title, unit in (("temperatures", "Temperature, °C", "°C"), ("mhz", "Clock, MHz", "MHz")):
        names = sorted({name for each in samples for name in each[field]})
        series = [
            Series(
                name, index % 4, [(each["seconds"] / 60, each[field][name]) for each in samples if name in each[field]]
            )
            for index, name in enumerate(names[:4])
        ]
        if series:
            limit = record["machine"].get("throttles_at") if field == "temperatures" else None
            mark = None if limit is None else (float(limit), f"slowed down from {limit} °C on")
            plot = lines(title, series, "minutes", unit, height=190, limit=mark, from_zero=field == "mhz")
            content += [f"<h3>{title}</h3>", plot]
    if any(each["watts"] is not None for each in samples):
        points = [(each["seconds"] / 60, each["watts"]) for each in samples if each["watts"] is not None]
        content += ["<h3>Power, W</h3>", lines("Watts", [Series("W", 3, points)], "minutes", "W", height=190)]
    said = (
        f"{_duration(minutes)} of {soak['length']}-token inferences without a pause:"
        f" {figure(summary['first_tokens_per_second'])} tokens/s at first,"
        f" {figure(summary['last_tokens_per_second'])} at the end."
    )
    missing = [
        what
        for what, there in (
            ("temperature", any(each["temperatures"] for each in samples)),
            ("clock", any(each["mhz"] for each in samples)),
            ("throttling", any(each["throttled"] is not None for each in samples)),
            ("power", soak.get("energy") is not None),
        )
        if not there
    ]
    if missing:
        said += f" This machine does not tell: {', '.join(missing)}."
    if summary.get("throttled"):
        said += " The CPU was throttled."
    energy = soak.get("energy")
    if energy:
        beyond = energy["millijoules_per_token_beyond_idle"]
        more = "" if beyond is None else f", {figure(beyond)} beyond what the idle board takes"
        said += (
            f" Energy by {escape(energy['meter'])} ({escape(energy['scope'])}):"
            f" {figure(energy['millijoules_per_token'])} mJ per token{more}."
        )
    rows = [
        [
            f"{each['seconds']:.0f}",
            f"{each['tokens_per_second']:.0f}",
            f"{each['p50_ms']:.2f}",
            "" if not each["temperatures"] else f"{max(each['temperatures'].values()):.1f}",
            "" if not each["mhz"] else f"{max(each['mhz'].values()):.0f}",
            "" if each["throttled"] is None else f"0x{each['throttled']:x}",
            "" if each["watts"] is None else f"{each['watts']:.2f}",
        ]
        for each in samples
    ]
    heads = ["second", "tokens/s", "p50 ms", "warmest °C", "fastest MHz", "throttled", "W"]
    return section("Full load", said, *content, table(heads, rows))


def facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What the machine and the run were, in words."""
    machine, settings, model = record["machine"], record["settings"], record["model"]
    memory = machine["memory_kb"]
    return [
        ("Board", f"{record['board']['name']} ({record['board']['by']})"),
        ("CPU", processor(record)),
        ("Instructions that matter", ", ".join(machine["features"]) or "none of atomics, asimddp, i8mm (names of ARM)"),
        ("Memory", "unknown" if memory is None else f"{memory / 1e6:.1f} GB"),
        ("System", f"Linux {machine['kernel']}, {machine['machine']}, {machine['bits']} bits"),
        ("Governor", ", ".join(machine["governors"]) or "not told"),
        ("Load before", f"{machine['load_before']:.2f} (one-minute average; above 0.3 others were at work too)"),
        ("Model", f"{model['name']}, {model['digest'][:16]}, {model['bytes'] / 1e6:.1f} MB"),
        ("Backend", f"{model['backend']} {model['backend_version']}: {settings['reason']}"),
        ("Threads", _ways(settings)),
    ]


def _machine(record: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in facts(record)
    )
    return f'<section><h2>What was measured</h2><table class="facts"><tbody>{rows}</tbody></table></section>'
