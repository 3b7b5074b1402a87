"""Units that start with the board: the links that `systemctl enable` would make on it."""

from __future__ import annotations

from pathlib import Path

from firmware_hooks.errors import HookError

UNITS = Path("usr/lib/systemd/system")
ENABLED = Path("etc/systemd/system")


def enable(root: Path, name: str) -> None:
    """Do what a unit's [Install] section says.

    Raises:
        HookError: there is no such unit, or nothing that it could be enabled by.
    """
    unit = root / UNITS / name
    if not unit.exists():
        raise HookError(f"there is no unit {name} in the image")
    install = _install(unit)
    for folder, key in (("wants", "WantedBy"), ("requires", "RequiredBy")):
        for target in install.get(key, []):
            _link(root / ENABLED / f"{target}.{folder}" / name, f"/{UNITS / name}")
    for alias in install.get("Alias", []):
        _link(root / ENABLED / alias, f"/{UNITS / name}")
    for other in install.get("Also", []):
        # the links lead to where the board has its units, and so nowhere here
        if not any((folder / other).is_symlink() for folder in (root / ENABLED).iterdir()):
            enable(root, other)
    if not install:
        raise HookError(f"{name} has no [Install] section")


def mask(root: Path, name: str) -> None:
    """Keep a unit from ever being started."""
    _link(root / ENABLED / name, "/dev/null")


def _link(link: Path, target: str) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _install(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    section = ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[Install]" and "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            found.setdefault(key.strip(), []).extend(value.split())
    return found
