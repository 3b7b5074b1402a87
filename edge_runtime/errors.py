"""Every error that a caller of this package can meet, and the protocol's code for it (docs/protocol.md)."""

from __future__ import annotations


class EdgeError(Exception):
    """Something that the caller can act on; its text is one sentence that says what was wrong and what to do."""

    code: str = "internal"
    """what a server answers when a request ends in it, and what a client raises it for"""


class UnknownModel(EdgeError):  # noqa: N818  short names, as they are caught
    """No bundled model has this name, no file is at this path, or no such model is served."""

    code = "unknown_model"


class ModelError(EdgeError):
    """The model file is damaged, is none of ours, or asks for a newer runtime."""


class NoSuchHead(EdgeError):  # noqa: N818
    """The model has no head for the operation that was asked for."""

    code = "no_such_head"


class InputError(EdgeError):
    """The text, the token ids or an option cannot be used."""

    code = "bad_request"


class TooLong(InputError):  # noqa: N818
    """The input has more tokens (or characters) than the model or the chosen policy takes, or a message is too long."""

    code = "too_long"


class BackendError(EdgeError):
    """No TFLite runtime here can run the model, or the one that was chosen failed."""


class Overloaded(EdgeError):  # noqa: N818
    """The answer would have come too late, or a queue is full; nothing was computed. Worth trying again later."""

    code = "overloaded"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """seconds after which it would probably be taken, as far as the server can tell"""


class DeadlineExceeded(EdgeError):  # noqa: N818
    """Time ran out before the answer was there. Worth trying again later."""

    code = "deadline"


class Cancelled(EdgeError):  # noqa: N818
    """The request was taken back before it was its turn."""

    code = "cancelled"


class Forbidden(EdgeError):  # noqa: N818
    """The operation is for administrators, or the server asks for a token."""

    code = "forbidden"


class Unavailable(EdgeError):  # noqa: N818
    """The server is starting or stopping. Worth trying again on a new connection."""

    code = "unavailable"


class ServerError(EdgeError):
    """The server failed, or answered what the protocol does not allow; its log may say how."""


class ConnectionLost(EdgeError):  # noqa: N818
    """The server cannot be reached, or the connection ended before the reply came."""
