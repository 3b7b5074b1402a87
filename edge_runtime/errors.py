"""Every error that a caller of this package can meet."""

from __future__ import annotations


class EdgeError(Exception):
    """Something that the caller can act on; its text is one sentence that says what was wrong and what to do."""


class UnknownModel(EdgeError):  # noqa: N818  short names, as they are caught
    """No bundled model has this name, or no file is at this path."""


class ModelError(EdgeError):
    """The model file is damaged, is none of ours, or asks for a newer runtime."""


class NoSuchHead(EdgeError):  # noqa: N818
    """The model has no head for the operation that was asked for."""


class InputError(EdgeError):
    """The text, the token ids or an option cannot be used."""


class TooLong(InputError):  # noqa: N818
    """The input has more tokens (or characters) than the model or the chosen policy takes."""


class BackendError(EdgeError):
    """No TFLite runtime here can run the model, or the one that was chosen failed."""
