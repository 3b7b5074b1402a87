"""Language understanding on small boards: load a model file, ask it.

    import edge_runtime
    model = edge_runtime.load("assistant")
    model.understand("turn off the kitchen lights")

Importing this package loads neither NumPy nor an interpreter; `load` does.
"""

from __future__ import annotations

from importlib import import_module

# what type checkers know as typing.TYPE_CHECKING; `typing` would be most of what importing this package costs
TYPE_CHECKING = False

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edge_runtime.client import AsyncClient, Client
    from edge_runtime.errors import (
        BackendError,
        Cancelled,
        ConnectionLost,
        DeadlineExceeded,
        EdgeError,
        Forbidden,
        InputError,
        ModelError,
        NoSuchHead,
        Overloaded,
        ServerError,
        TooLong,
        Unavailable,
        UnknownModel,
    )
    from edge_runtime.model import Model, ModelInfo, load
    from edge_runtime.streaming.stream import Stream
    from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding, WindowResult
    from edge_runtime.tokenizer import Encoding
    from edge_runtime.windows import Window

__all__ = [
    "Answer",
    "AsyncClient",
    "BackendError",
    "Cancelled",
    "Choice",
    "Client",
    "ConnectionLost",
    "DeadlineExceeded",
    "EdgeError",
    "Encoding",
    "Entity",
    "Filling",
    "Forbidden",
    "InputError",
    "Label",
    "Model",
    "ModelError",
    "ModelInfo",
    "NoSuchHead",
    "Overloaded",
    "ServerError",
    "Stream",
    "TooLong",
    "Unavailable",
    "Understanding",
    "UnknownModel",
    "Window",
    "WindowResult",
    "__version__",
    "load",
]

_HOME = {
    **dict.fromkeys(
        (
            "BackendError",
            "Cancelled",
            "ConnectionLost",
            "DeadlineExceeded",
            "EdgeError",
            "Forbidden",
            "InputError",
            "ModelError",
            "NoSuchHead",
            "Overloaded",
            "ServerError",
            "TooLong",
            "Unavailable",
            "UnknownModel",
        ),
        "edge_runtime.errors",
    ),
    **dict.fromkeys(("AsyncClient", "Client"), "edge_runtime.client"),
    **dict.fromkeys(("Model", "ModelInfo", "load"), "edge_runtime.model"),
    **dict.fromkeys(
        ("Answer", "Choice", "Entity", "Filling", "Label", "Understanding", "WindowResult"),
        "edge_runtime.tasks.results",
    ),
    "Encoding": "edge_runtime.tokenizer",
    "Stream": "edge_runtime.streaming.stream",
    "Window": "edge_runtime.windows",
}


def __getattr__(name: str) -> object:
    """Import a public name's module on first use (PEP 562), so that `import edge_runtime` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
