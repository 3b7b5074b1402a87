"""What /etc/edge-runtime/care.toml may say; every default is meant to be left alone."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from firmware_hooks.errors import HookError

FILE = Path("/etc/edge-runtime/care.toml")
AUTO, OFF = "auto", "off"


@dataclass(frozen=True, slots=True)
class Server:
    url: str = "unix:///run/edge-runtime/edge.sock"
    unit: str = "edge-runtime.service"
    """whose processes tell whether it runs at all: connecting would start a server that was stopped"""


@dataclass(frozen=True, slots=True)
class Thermal:
    enabled: bool = True
    limit: float = 0.0
    """°C at which the SoC slows itself down; 0: as the board's profile or the kernel says"""
    margin: float = 8.0
    """°C below it at which the server begins to be slowed down"""
    hysteresis: float = 3.0
    """°C that it must be cooler again before the server is let go faster"""
    least_duty: float = 0.1
    """of its time that the server computes, at the limit"""
    blind_duty: float = 0.5
    """at most, while a sensor that was there does not answer"""


@dataclass(frozen=True, slots=True)
class Power:
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Led:
    name: str = AUTO
    """in /sys/class/leds; auto: as the board's profile says; off: none"""


@dataclass(frozen=True, slots=True)
class Hooks:
    folder: str = "/etc/edge-runtime/hooks.d"
    seconds: float = 30.0
    """that one may take"""


@dataclass(frozen=True, slots=True)
class Models:
    watch: bool = True
    """end the trials of new models, as `edge-flash model watch` does"""
    folder: str = "/var/lib/edge-runtime/models"
    keys: str = "/etc/edge-runtime/keys"
    requests: int = 20
    """answered well, after which a model on trial is good"""
    seconds: float = 600.0
    """served, after which it is good though nobody asked"""


@dataclass(frozen=True, slots=True)
class Settings:
    server: Server = field(default_factory=Server)
    thermal: Thermal = field(default_factory=Thermal)
    power: Power = field(default_factory=Power)
    led: Led = field(default_factory=Led)
    hooks: Hooks = field(default_factory=Hooks)
    models: Models = field(default_factory=Models)


_BOUNDS = {
    ("thermal", "limit"): (0, 150),
    ("thermal", "margin"): (2, 50),
    ("thermal", "hysteresis"): (0.5, 20),
    ("thermal", "least_duty"): (0.01, 1),
    ("thermal", "blind_duty"): (0.01, 1),
    ("hooks", "seconds"): (1, 3600),
    ("models", "requests"): (1, 1_000_000),
    ("models", "seconds"): (1, 1_000_000),
}


def read(path: Path) -> Settings:
    """The settings in a file; the defaults where there is none.

    Raises:
        HookError: with the place and what is wrong there.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise HookError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise HookError(f"{path} is no TOML: {error}") from None
    parts = get_type_hints(Settings)
    if strange := sorted(set(told) - set(parts)):
        raise HookError(f"{path}: nothing is called {', '.join(strange)}; there are {', '.join(parts)}")
    return Settings(**{name: _part(parts[name], name, value, path) for name, value in told.items()})


def _part(kind: Any, part: str, told: Any, path: Path) -> Any:
    if not isinstance(told, dict):
        raise HookError(f"{path}: {part} must be a table")
    hints = get_type_hints(kind)
    if strange := sorted(set(told) - set(hints)):
        known = ", ".join(each.name for each in fields(kind))
        raise HookError(f"{path}: nothing in [{part}] is called {', '.join(strange)}; there are {known}")
    values = {}
    for name, value in told.items():
        wanted = hints[name]
        if wanted is float and type(value) is int:
            value = float(value)  # noqa: PLW2901  a whole number is a number
        if type(value) is not wanted:
            word = {str: "a text", float: "a number", int: "a whole number", bool: "true or false"}[wanted]
            raise HookError(f"{path}: {part}.{name} must be {word}, not {value!r}")
        least, most = _BOUNDS.get((part, name), (None, None))
        if least is not None and most is not None and not least <= value <= most:
            raise HookError(f"{path}: {part}.{name} must be {least} to {most}, not {value!r}")
        values[name] = value
    return kind(**values)
