"""LiteRT's `CompiledModel` without ml_dtypes.

Its Python front imports that package to name three kinds of floats, none of which an int8 network has. Importing it
takes 20 ms, as much as a second from version 0.7 on, which registers every function of NumPy for every pair of its
types; and nothing but this needs it on a board.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType

import numpy as np

NAME = "ml_dtypes"
FRONT = "ai_edge_litert.tensor_buffer"
FLOATS = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
"""that LiteRT's front names"""

_ONE_AT_A_TIME = threading.Lock()


def import_front() -> None:
    """Import the part of LiteRT that asks for ml_dtypes, with a stand-in for it that is gone afterwards.

    Whoever has imported ml_dtypes keeps it, and whoever does so later gets it.

    Raises:
        ImportError: LiteRT is not installed, or asks for more than it did.
    """
    with _ONE_AT_A_TIME:
        if NAME in sys.modules or FRONT in sys.modules:
            import ai_edge_litert.tensor_buffer

            return
        stand_in = ModuleType(NAME)
        for name in FLOATS:
            # equal to no type that an array has
            setattr(stand_in, name, np.dtype([(name, np.uint8)]))
        sys.modules[NAME] = stand_in
        try:
            import ai_edge_litert.tensor_buffer  # noqa: F401
        except AttributeError as error:
            raise ImportError(f"ai-edge-litert asks for more of {NAME} than its floats: {error}") from None
        finally:
            if sys.modules.get(NAME) is stand_in:
                del sys.modules[NAME]
