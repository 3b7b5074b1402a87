"""What a `board.toml` may say, checked; each fact names where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from boards.errors import BoardError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Detect:
    """How the board is told from others."""

    sources: tuple[str, ...]
    compatible: tuple[str, ...] = ()
    """of the device tree's root; one suffices"""
    model: tuple[str, ...] = ()
    """how the device tree's `model` begins"""
    machine: tuple[str, ...] = ()
    """`uname -m`, for boards without a profile of their own"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores of one kind."""

    core: str
    part: int
    """`CPU part` of /proc/cpuinfo, of implementer 0x41 (Arm)"""
    cores: tuple[int, ...]
    mhz: int
    """the highest clock it has by default"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The CPU."""

    sources: tuple[str, ...]
    architecture: str
    soc: str | None = None
    clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Instructions that matter to the kernels, in the words of /proc/cpuinfo."""

    sources: tuple[str, ...]
    has: tuple[str, ...]
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the board is sold with."""

    sources: tuple[str, ...]
    mb: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """Temperatures."""

    sources: tuple[str, ...]
    zones: tuple[str, ...]
    """`type` of the thermal zones"""
    throttles_at: int | None = None
    """°C"""
    hard_limit: int | None = None
    """°C, of a board that loses only a little of its clock at `throttles_at`, and most of it here"""
    flags: str | None = None
    """what tells of throttling: "vcgencmd" """


@dataclass(frozen=True, slots=True, kw_only=True)
class Serial:
    """A UART that a microcontroller may be wired to."""

    sources: tuple[str, ...]
    device: str
    what: str
    console: bool
    """whether a usual system has its console or a login on it"""
    free: str
    """how it is freed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """The hardware watchdog."""

    sources: tuple[str, ...]
    device: str
    identity: str
    """as its driver names it in /sys/class/watchdog"""
    longest: int | None = None
    """seconds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Led:
    """The light that a program may use."""

    sources: tuple[str, ...]
    name: str
    """in /sys/class/leds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """What surprises people."""

    sources: tuple[str, ...]
    what: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board's profile."""

    id: str
    """its folder"""
    format: int
    name: str
    summary: str
    detect: Detect
    cpu: Processor
    sources: Mapping[str, str]
    """what the facts' `sources` name: a URL or a document"""
    features: Features | None = None
    memory: Memory | None = None
    thermal: Thermal | None = None
    serial: tuple[Serial, ...] = ()
    watchdog: Watchdog | None = None
    led: Led | None = None
    traps: tuple[Trap, ...] = ()

    @property
    def generic(self) -> bool:
        """Whether it stands for any board of its architecture."""
        return bool(self.detect.machine)


def understand(identity: str, told: Mapping[str, Any]) -> Board:
    """A profile from what its file says.

    Raises:
        BoardError: with the place and what is wrong there.
    """
    if told.get("format") != FORMAT:
        raise BoardError(f"{identity}/board.toml: format is {told.get('format')!r}; this release reads {FORMAT}")
    if "id" in told:
        raise BoardError(f"{identity}/board.toml: id is the folder's name and not written in the file")
    board: Board = _table(Board, {**told, "id": identity}, f"{identity}/board.toml")
    detect = board.detect
    if bool(detect.machine) == bool(detect.compatible or detect.model):
        raise BoardError(f"{identity}/board.toml: detect has either compatible and model, or machine")
    cores = [core for cluster in board.cpu.clusters for core in cluster.cores]
    if len(set(cores)) != len(cores):
        raise BoardError(f"{identity}/board.toml: cpu.clusters: a core is in two clusters")
    if board.features and set(board.features.has) & set(board.features.lacks):
        raise BoardError(f"{identity}/board.toml: features: one is both there and missing")
    used = set(_used(board))
    if missing := used - set(board.sources):
        raise BoardError(f"{identity}/board.toml: sources has no {', '.join(sorted(missing))}")
    if idle := set(board.sources) - used:
        raise BoardError(f"{identity}/board.toml: nothing rests on the sources {', '.join(sorted(idle))}")
    return board


def _used(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for each in value:
            yield from _used(each)
    elif hasattr(value, "__dataclass_fields__"):
        if not isinstance(value, Board) and hasattr(value, "sources"):
            yield from value.sources
        for field in fields(value):
            yield from _used(getattr(value, field.name)) if field.name != "sources" else ()


def _table(kind: Any, told: Any, place: str) -> Any:
    """A dataclass from a TOML table whose keys are its fields."""
    if not isinstance(told, Mapping):
        raise BoardError(f"{place} must be a table")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if strange := sorted(set(told) - set(known)):
        raise BoardError(f"{place}: nothing is called {', '.join(strange)}; there are {', '.join(known)}")
    if absent := sorted(name for name, field in known.items() if name not in told and field.default is MISSING):
        raise BoardError(f"{place}: {', '.join(absent)} is missing")
    values = {name: _value(hints[name], value, f"{place}: {name}") for name, value in told.items()}
    if "sources" in values and not values["sources"]:
        raise BoardError(f"{place}: a fact needs at least one source")
    return kind(**values)


def _value(hint: Any, value: Any, place: str) -> Any:
    origin = get_origin(hint)
    if origin in (UnionType, Union):
        return _value(next(each for each in get_args(hint) if each is not type(None)), value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise BoardError(f"{place} must be a list")
        return tuple(_value(get_args(hint)[0], each, f"{place}[{index}]") for index, each in enumerate(value))
    if origin is not None:
        if not isinstance(value, dict) or not all(isinstance(each, str) and each for each in value.values()):
            raise BoardError(f"{place} must be a table of texts")
        return value
    if hasattr(hint, "__dataclass_fields__"):
        return _table(hint, value, place)
    if type(value) is not hint or (hint is str and not value.strip()) or (hint is int and value < 0):
        word = {str: "a text", int: "a whole number", bool: "true or false"}[hint]
        raise BoardError(f"{place} must be {word}, not {value!r}")
    return value
