"""The tables of docs/performance.md, from what was measured; all of them tell ours as a multiple of the peer's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.peers.document import table
from tests.peers.suite import fit as fitting
from tests.peers.suite.mixed import EXACT, EXACT_TOGETHER
from tests.peers.suite.roster import OURS, PEERS

Content = dict[str, Any]
SHOWN = (16, 128)
"""tokens whose ratios are shown with their spread"""
NOTHING = "–"
BERT = "BERT"


def latency(content: Content) -> str:
    """Milliseconds of a run, one thread."""
    rows = [row for row in content["latency"] if row["threads"] == 1]
    lengths = sorted({row["tokens"] for row in rows})
    found = {(row["peer"], row["tokens"]): row for row in rows}
    lines = []
    for name in _peers(rows):
        cells = [f"{found[name, n]['ms']:.{1 if n < 256 else 0}f}" if (name, n) in found else NOTHING for n in lengths]
        lines.append([name, *cells])
    return table(["ms, one thread", *(f"{n} tokens" for n in lengths)], lines)


def ratios(content: Content) -> str:
    """Ours by theirs, with the 10th and 90th percentile."""
    rows = [row for row in content["latency"] if row["tokens"] in SHOWN and row["peer"] != OURS]
    columns = sorted({(row["threads"], row["tokens"]) for row in rows})
    found = {(row["peer"], row["threads"], row["tokens"]): _ratio(row) for row in rows}
    lines = [[name, *(found.get((name, *column), NOTHING) for column in columns)] for name in _peers(rows)]
    headings = [f"{n} tokens, {t} thread{'s' * (t > 1)}" for t, n in columns]
    return table(["ours in", *headings], lines)


def mixed(content: Content) -> str:
    rows = content["mixed"]
    columns = sorted({row["threads"] for row in rows})
    found = {(row["peer"], row["way"], row["threads"]): row for row in rows}
    lines = []
    for name, way in dict.fromkeys((row["peer"], row["way"]) for row in rows):
        cells = []
        for threads in columns:
            row = found.get((name, way, threads))
            cells += [f"{row['per_second']:.0f}", _ratio(row) if name != OURS else "1"] if row else [NOTHING, NOTHING]
        lines.append([name, way, *cells])
    headings = [h for t in columns for h in (f"requests a second, {t} thread{'s' * (t > 1)}", "ours is × that")]
    return table(["", "given", *headings], lines)


def best(content: Content) -> str:
    """Of the best peer for each way: exact length, and padded."""
    lines = []
    for kind, ways in (("exact length", (EXACT, EXACT_TOGETHER)), (f"padded to {64}", ("padded", "padded, together"))):
        for threads in sorted({row["threads"] for row in content["mixed"]}):
            peers = [
                row
                for row in content["mixed"]
                if row["way"] in ways and row["threads"] == threads and not row["peer"].startswith("ours")
            ]
            for family in (False, True):
                group = [row for row in peers if row["peer"].startswith(BERT) == family]
                if group:
                    row = max(group, key=lambda each: each["per_second"])
                    network = "BERT-base" if family else "SqueezeBERT-base"
                    given = f"{row['peer']}; {row['way']}"
                    lines.append([kind, network, str(threads), given, _ratio(row)])
    return table(["", "network", "threads", "best peer", "ours is × its throughput"], lines)


def load(content: Content) -> str:
    rows = content["load"]
    lines = []
    for row in rows:
        times = [f"{row[name]:.0f}" for name in ("import_ms", "load_ms", "first_run_ms", "first_answer_ms", "clock_ms")]
        held = [f"{row[name]:.0f}" for name in ("added_mb", "private_mb", "shared_mb")]
        lines.append([row["peer"], row["state"], *times, *held])
    times = ["import, ms", "load, ms", "first run, ms", "first answer, ms", "by the clock, ms"]
    return table(["", "", *times, "added by the model, MiB", "process: private, MiB", "of files, MiB"], lines)


def start(content: Content) -> str:
    lines = [[f"`{row['what']}`", f"{row['ms']:.0f}", f"{row['longest_ms']:.0f}"] for row in content["start"]]
    return table(["", "ms on the processor, median", "longest"], lines)


def size(content: Content) -> str:
    cosines = {row["peer"]: f"{row['cosine']:.4f}" for row in content["same"]}
    lines = [
        [row["peer"], f"{row['file_mb']:.1f}", _megabytes(row["install_mb"]), cosines[row["peer"]]]
        for row in content["size"]
        if row["peer"] in cosines
    ]
    return table(["", "file, MB", "packages, MB", "cosine to float32"], lines)


def arm(content: Content) -> str:
    """Millions of instructions, and ours by theirs."""
    rows = content["arm"]
    found = {(row["peer"], row["core"], row["tokens"]): row["instructions"] for row in rows if "tokens" in row}
    columns = sorted({(core, tokens) for _, core, tokens in found})
    lines = []
    for name in _peers(rows):
        cells = []
        for column in columns:
            theirs, ours = found.get((name, *column)), found.get((OURS, *column))
            ratio = f": {ours / theirs:.2f}" if ours and theirs and name != OURS else ""
            cells.append(f"{theirs / 1e6:.0f}{ratio}" if theirs else NOTHING)
        lines.append([name, *cells])
    return table(["M instructions: ours in it", *(f"{core}, {tokens} tokens" for core, tokens in columns)], lines)


def fit(content: Content) -> str:
    """Instructions by size, and the fit's."""
    rows = content["fit"]
    lines = []
    for core in sorted({row["core"] for row in rows}):
        of_core = [row for row in rows if row["core"] == core]
        found = fitting.fit(of_core)
        for row in of_core:
            expected = fitting.expected(found, row)
            off = 100 * (row["instructions"] / expected - 1)
            size_ = [core, row["model"], str(row["hidden"]), str(row["layers"]), str(row["tokens"])]
            numbers = [f"{row['products'] / 1e6:.1f}", f"{row['instructions'] / 1e6:.2f}", f"{expected / 1e6:.2f}"]
            lines.append([*size_, *numbers, f"{off:+.1f} %".replace("-", "−")])
    headings = ["core", "", "hidden size", "layers", "tokens", "M products", "M instructions", "by the fit", "off"]
    return table(headings, lines)


def laws(content: Content) -> str:
    """The fits themselves: instructions a product and a value, and the straight line over tokens."""
    lines = []
    for core in sorted({row["core"] for row in content["fit"]}):
        of_core = [row for row in content["fit"] if row["core"] == core]
        found = fitting.fit(of_core)
        base = [row for row in of_core if row["model"] == fitting.BASE]
        tokens, counts = [row["tokens"] for row in base], [row["instructions"] / 1e6 for row in base]
        _, slope, share = fitting.line(tokens, counts)
        law = f"{found.products:.3f} × products + {found.values:.0f} × values + {found.scores:.1f} × scores"
        lines.append([f"instructions, {core}", law, f"{100 * found.worst:.1f} %", f"{slope:.2f} M", f"{share:.4f}"])
    for threads in sorted({row["threads"] for row in content.get("latency", [])}):
        rows = [row for row in content["latency"] if row["peer"] == OURS and row["threads"] == threads]
        if len(rows) > 2:
            _, slope, share = fitting.line([row["tokens"] for row in rows], [row["ms"] for row in rows])
            name = f"ms, {threads} thread{'s' * (threads > 1)}"
            lines.append([name, NOTHING, NOTHING, f"{slope:.3f} ms", f"{share:.4f}"])
    return table(["", "fit over sizes and lengths", "farthest off", "a token more", "R² of a line over tokens"], lines)


def absent(content: Content) -> str:
    failed = [[row["peer"], row["core"], row["failed"]] for row in content.get("arm", []) if "failed" in row]
    lines = [[row["peer"], "here", row["reason"]] for row in content["absent"]] + failed
    return table(["", "where", "how it failed"], lines) if lines else "None.\n"


TABLES: dict[str, Callable[[Content], str]] = {
    "latency": latency,
    "ratios": ratios,
    "mixed": mixed,
    "best": best,
    "load": load,
    "start": start,
    "size": size,
    "arm": arm,
    "fit": fit,
    "laws": laws,
    "absent": absent,
}
OF_PART = {
    "same": (),
    "latency": ("latency", "ratios"),
    "mixed": ("mixed", "best"),
    "load": ("start", "load"),
    "size": ("size",),
    "arm": ("arm",),
    "fit": ("fit", "laws"),
}


def text(content: Content, parts: Sequence[str]) -> str:
    """The tables of some parts, for a terminal."""
    shown = [name for part in parts for name in OF_PART[part]]
    return "\n".join(TABLES[name](content) for name in (*shown, "absent"))


def _peers(rows: Iterable[dict[str, Any]]) -> list[str]:
    """In the roster's order."""
    there = {row["peer"] for row in rows}
    return [peer.name for peer in PEERS if peer.name in there]


def _megabytes(value: float | None) -> str:
    """Nothing of what was built from sources and not by pip."""
    return NOTHING if value is None else f"{value:.0f}"


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f} ({row['ratio_10']:.2f}–{row['ratio_90']:.2f})"
