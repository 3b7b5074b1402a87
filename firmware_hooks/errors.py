"""Every error that the commands of this package report: a sentence that says what was wrong and what to do."""

from __future__ import annotations


class HookError(Exception):
    """Something on the device, or on the way to it, is not as it should be."""


class Refused(HookError):  # noqa: N818  short names, as they are caught
    """A model was not accepted, or there is none to go back to; what was running before still is."""
