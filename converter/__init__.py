"""From a Hugging Face SqueezeBERT (or BERT) checkpoint to one fully-integer TFLite model file. Runs on a
workstation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.conversion import Report, convert
    from converter.errors import ConverterError
    from converter.evaluation import Evaluation, evaluate
    from converter.inspection import Inspection, inspect

__all__ = ["ConverterError", "Evaluation", "Inspection", "Report", "convert", "evaluate", "inspect"]

_HOME = {
    "ConverterError": "errors",
    "Evaluation": "evaluation",
    "Inspection": "inspection",
    "Report": "conversion",
    "convert": "conversion",
    "evaluate": "evaluation",
    "inspect": "inspection",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `edge-converter --help` needs none of it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"converter.{_HOME[name]}"), name)
