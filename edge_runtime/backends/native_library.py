"""What a process has to do about the native runtimes in it: chatter, float mode, and the memory that they leave behind.

LiteRT writes two dozen lines about accelerators that it does not find, straight to file descriptor 2, and offers no
switch.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STANDARD_ERROR = 2
_ONE_AT_A_TIME = threading.RLock()
_depth = 0
_exit_is_silent = False

_FLOAT_MODE_BYTES = 64
"""more than any fenv_t takes"""

_CHATTER = (b"INFO:", b"WARNING:", b"ERROR:", "└".encode(), b"W0000", b"I0000", b"E0000")


@contextmanager
def captured() -> Iterator[None]:
    """Hold back what is written to standard error meanwhile; afterwards pass on what did not come from the runtime.

    The descriptor belongs to the whole process, so one block runs at a time; a block within a block does nothing.
    """
    global _depth  # noqa: PLW0603  guarded by the lock above; the descriptor is global as well
    with _ONE_AT_A_TIME:
        if _depth:
            yield
            return
        try:
            saved = os.dup(_STANDARD_ERROR)
        except OSError:
            # standard error is closed: nothing to keep clean
            yield
            return
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), _STANDARD_ERROR)
            _depth = 1
            try:
                yield
            finally:
                _depth = 0
                os.dup2(saved, _STANDARD_ERROR)
                os.close(saved)
                held.seek(0)
                others = [line for line in held if line.strip() and not line.startswith(_CHATTER)]
                with suppress(OSError):
                    os.write(_STANDARD_ERROR, b"".join(others))


def silence_exit() -> None:
    """Keep LiteRT from saying goodbye on standard error when the process ends.

    Its last line is written by a C++ destructor, when Python has long been finalised. What is registered with the C
    library after that destructor runs before it, so closing descriptor 2 there hides that line and nothing of Python's.
    """
    global _exit_is_silent  # noqa: PLW0603  once a process
    if _exit_is_silent:
        return
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.__cxa_atexit(libc.close, ctypes.c_void_p(_STANDARD_ERROR), None)
        _exit_is_silent = True


@contextmanager
def kept_float_mode() -> Iterator[None]:
    """Leave this thread's floating-point mode as it is, whatever libraries are loaded meanwhile (fegetenv(3)).

    One that was linked with GCC's -ffast-math, as tflite-runtime's is, makes the thread that loads it take subnormal
    numbers for 0 from then on, the application's own as well.
    """
    library, mode = ctypes.CDLL(None), ctypes.create_string_buffer(_FLOAT_MODE_BYTES)
    known = hasattr(library, "fegetenv") and library.fegetenv(mode) == 0
    try:
        yield
    finally:
        if known:
            library.fesetenv(mode)


def release_freed_memory() -> None:
    """Give freed memory back to the system: packing weights takes 30 MB, which glibc would keep (malloc_trim(3))."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
