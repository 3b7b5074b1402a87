"""What can go wrong here, as sentences a user can act on."""

from __future__ import annotations

from edge_runtime.errors import EdgeError


class BoardError(EdgeError):
    """A profile cannot be used, no board has that name, or a measurement failed."""
