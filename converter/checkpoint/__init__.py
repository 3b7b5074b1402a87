"""A Hugging Face checkpoint folder, read into a float32 `Network`."""

from __future__ import annotations

from converter.checkpoint.folder import read

__all__ = ["read"]
