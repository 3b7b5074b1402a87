"""`edge-flash payload`: fetch, build and measure what boards get."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from firmware_hooks.flash.cli import json_option, reported, show
from firmware_hooks.install import options
from firmware_hooks.payload import Release, Target, build, pins, wheels
from firmware_hooks.payload.assembly import BLOCK, MODELS, occupied
from firmware_hooks.payload.target import targets


@click.group()
def payload() -> None:
    """Fetch, build and measure what boards get."""


@payload.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@options.target
@json_option
def fetch(folder: Path, machine: str | None, python: str | None, runtime: str | None, as_json: bool) -> None:
    """Put the wheels of the lock files into FOLDER, for --wheels where there is no network.

    All of them; or, with --machine and the others, only those that are meant.
    """
    with reported():
        chosen = [
            each
            for each in targets()
            if machine in (None, each.machine) and python in (None, each.python) and runtime in (None, each.runtime)
        ]
        for each in chosen:
            wheels.fetch(each, pins.read(each), folder)
        names = sorted(path.name for path in folder.glob("*.whl"))
        show({"folder": str(folder), "wheels": names}, as_json, f"{folder}: {len(names)} wheels")


@payload.command("build")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@options.target
@options.payload
@json_option
def build_tree(
    folder: Path,
    machine: str | None,
    python: str | None,
    runtime: str | None,
    models: tuple[str, ...],
    key: Path | None,
    trusted: tuple[Path, ...],
    wheels: Path | None,
    as_json: bool,
) -> None:
    """Build what a board gets into FOLDER, laid out as its root file system."""
    with reported():
        target = Target(machine or "aarch64", python or "3.11", runtime or "")
        release = build(target, folder, models=options.absolute(models), key=key, trusted=trusted, wheels_folder=wheels)
        show(
            {"release": release.name, "folder": str(folder / release.folder)},
            as_json,
            f"{folder}: {release.name}, for {target}",
        )


@payload.command()
@options.target
@options.payload
@json_option
def sizes(
    machine: str | None,
    python: str | None,
    runtime: str | None,
    models: tuple[str, ...],
    key: Path | None,
    trusted: tuple[Path, ...],
    wheels: Path | None,
    as_json: bool,
) -> None:
    """Say what an install takes on disk, part by part: files rounded up to blocks of 4 KiB."""
    with reported(), tempfile.TemporaryDirectory(prefix="edge-flash-") as scratch:
        target = Target(machine or "aarch64", python or "3.11", runtime or "")
        tree = Path(scratch) / "tree"
        release = build(target, tree, models=options.absolute(models), key=key, trusted=trusted, wheels_folder=wheels)
        parts = measured(tree, release)
        total = sum(parts.values())
        lines = [f"{name:<28}{size / 1e6:8.2f} MB" for name, size in parts.items()]
        text = "\n".join([*lines, f"{'all':<28}{total / 1e6:8.2f} MB"])
        show({"target": str(target), "release": release.name, "parts": parts, "bytes": total}, as_json, text)


def measured(tree: Path, release: Release) -> dict[str, int]:
    """Part of an install → bytes on disk, the largest first."""
    packages = tree / release.folder / "packages"
    parts: dict[str, int] = {}
    for path in packages.iterdir():
        name = path.name.partition(".")[0].partition("-")[0]
        own = {"edge_runtime", "boards", "firmware_hooks"}
        parts["squeezebert-edge" if name in own else name] = parts.get(name, 0) + _size(path)
    ours = [packages / each for each in ("edge_runtime", "boards", "firmware_hooks")]
    parts["squeezebert-edge"] = sum(map(_size, ours))
    for model in (tree / MODELS).iterdir():
        parts[f"model {model.name}"] = _size(model)
    parts["else"] = _size(tree) - sum(parts.values())
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def _size(path: Path) -> int:
    own = path.lstat().st_size
    return occupied(path) + max(1, -(-own // BLOCK)) * BLOCK if path.is_dir() else max(1, -(-own // BLOCK)) * BLOCK
