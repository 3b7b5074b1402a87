"""asyncio without OpenSSL, which takes a megabyte and which no transport here uses."""

from __future__ import annotations

import sys


def import_asyncio() -> None:
    """Import asyncio as it is where Python was built without `ssl`; whoever imports that later gets it.

    Where one of the two has been imported before, nothing changes.
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    # None stands for a module that cannot be imported (The Python Language Reference, 5.3.1)
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401  for its effect
    finally:
        del sys.modules["ssl"]
