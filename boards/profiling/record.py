"""What a profile's JSON must hold to be shown; docs/profiling.md says what the fields mean."""

from __future__ import annotations

from typing import Any

from boards.errors import BoardError

FORMAT = 1

_NUMBER = (int, float)
_SHAPE: dict[str, Any] = {
    "made": str,
    "tool": str,
    "board": {"id": str, "name": str, "detected": bool, "by": str},
    "machine": {
        "kernel": str,
        "machine": str,
        "bits": int,
        "memory_kb": (int, type(None)),
        "features": [str],
        "clusters": [{"name": str, "numbers": [int], "mhz": (int, type(None))}],
        "governors": [str],
        "throttles_at": (int, type(None)),
        "load_before": _NUMBER,
    },
    "model": {"name": str, "digest": str, "bytes": int, "backend": str, "backend_version": str},
    "settings": {"backend": str, "threads": int, "reason": str, "minutes": _NUMBER, "quick": bool},
    "latency": [
        {"threads": int, "length": int, "runs": int, "least_ms": _NUMBER, "p50_ms": _NUMBER, "p95_ms": _NUMBER}
    ],
    "loading": {
        "cold": [{"stage": str, "ms": _NUMBER}],
        "warm": [{"stage": str, "ms": _NUMBER}],
        "cold_cached": (int, float, type(None)),
        "page_cache": [{"file": str, "bytes": int, "cached_bytes": int}],
    },
    "without_operators": (str, type(None)),
    "soak": {
        "length": int,
        "samples": [
            {
                "seconds": _NUMBER,
                "tokens_per_second": _NUMBER,
                "p50_ms": _NUMBER,
                "temperatures": dict,
                "mhz": dict,
                "throttled": (int, type(None)),
                "watts": (int, float, type(None)),
            }
        ],
        "summary": {"kept": _NUMBER, "first_tokens_per_second": _NUMBER, "last_tokens_per_second": _NUMBER},
    },
}
_OPERATORS: dict[str, Any] = {
    "method": str,
    "backend": str,
    "length": int,
    "total_ms": _NUMBER,
    "whole_ms": _NUMBER,
    "by_operator": [{"operator": str, "count": int, "ms": _NUMBER}],
    "by_part": [{"part": str, "ms": _NUMBER}],
}
_MAY_BE_EMPTY = ("features", "governors", "page_cache")


def check(record: Any, place: str) -> dict[str, Any]:
    """The record itself, if it can be shown.

    Raises:
        BoardError: with the first field that is missing or of another kind.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise BoardError(f"{place} is no profile of format {FORMAT} (format: {found!r})")
    _check(record, _SHAPE, place)
    if record.get("operators") is not None:
        _check(record["operators"], _OPERATORS, f"{place}: operators")
    return record


def _check(value: Any, shape: Any, place: str) -> None:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise BoardError(f"{place} is no table")
        for name, inner in shape.items():
            if name not in value:
                raise BoardError(f"{place}: {name} is missing")
            _check(value[name], inner, f"{place}: {name}")
    elif isinstance(shape, list):
        if not isinstance(value, list) or (not value and not place.endswith(_MAY_BE_EMPTY)):
            raise BoardError(f"{place} is no list, or an empty one")
        for index, each in enumerate(value):
            _check(each, shape[0], f"{place}[{index}]")
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        raise BoardError(f"{place} is {value!r}")
