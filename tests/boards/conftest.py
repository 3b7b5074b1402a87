"""A busy machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("boards", deadline=None)
settings.load_profile("boards")
