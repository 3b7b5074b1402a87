"""The tree of files that a device gets: packages without an installer, a model in its slots, and what they are.

    Target("aarch64", "3.11") ──lock──▶ wheels ──pruning──▶ packages/ ──┐
    this package's own files ───────────────────────────────────────────┼─▶ release.json
    models ─────────────────────────▶ slots ────────────────────────────┘

Made on a workstation, for any machine, with nothing of that machine run. `edge-flash ssh`, `card` and `image` put it
there.
"""

from firmware_hooks.payload.assembly import build
from firmware_hooks.payload.release import Release
from firmware_hooks.payload.target import Target

__all__ = ["Release", "Target", "build"]
