"""`edge-flash ssh`: install on a running system, without a network there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from firmware_hooks.errors import HookError
from firmware_hooks.flash.cli import json_option, reported, show
from firmware_hooks.install import bundle, options, remote
from firmware_hooks.payload.target import NEWEST_GLIBC, Target


@click.command()
@click.argument("target", metavar="USER@HOST")
@options.payload
@click.option("--runtime", type=click.Choice(["litert", "tflite"]), help="[default: tflite on 32 bits, else litert]")
@click.option(
    "--serial", multiple=True, metavar="URL", help="Port that the server answers at, as `edge-runtime serve --serial`."
)
@click.option("--free-serial", is_flag=True, help="Take the kernel's console and the login from those ports.")
@click.option(
    "--no-start", is_flag=True, help="Leave the services as they are; the next start of the board starts them."
)
@click.option("--dry-run", is_flag=True, help="Look at the board and say what would be done.")
@click.option("--uninstall", is_flag=True, help="Take away what was installed; models, keys and settings stay.")
@click.option("--purge", is_flag=True, help="With --uninstall: models, keys and settings too.")
@click.option(
    "--root", default="/", show_default=True, metavar="DIR", help="Of a system that does not run, on that machine."
)
@json_option
def ssh(
    target: str,
    models: tuple[str, ...],
    key: Path | None,
    trusted: tuple[Path, ...],
    wheels: Path | None,
    runtime: str | None,
    serial: tuple[str, ...],
    free_serial: bool,
    no_start: bool,
    dry_run: bool,
    uninstall: bool,
    purge: bool,
    root: str,
    as_json: bool,
) -> None:
    """Install on the board USER@HOST, which runs and can be reached with ssh; or bring it up to date.

    The board needs python3, and a login as root or `sudo` without a password; it needs no network. What ran before is
    gone back to if the new release does not answer.
    """
    with reported():
        if purge and not uninstall:
            raise HookError("--purge goes with --uninstall")
        found = remote.order(target, {"op": "probe", "root": root}, sudo=False)
        sudo = not found["root"]
        if sudo and not found["sudo"]:
            raise HookError(
                f"{target} is not root there and `sudo -n` asks for a password; log in as root, or let that user: "
                'echo "$USER ALL=(ALL) NOPASSWD: ALL" | sudo tee /etc/sudoers.d/$USER'
            )
        if uninstall:
            if dry_run:
                show({"system": found}, as_json, f"{target}: would take away {found['current'] or 'nothing'}")
                return
            result = remote.order(target, {"op": "uninstall", "root": root, "models": purge}, sudo=sudo)
            show(result, as_json, "\n".join(result["removed"]) or "nothing was installed there")
            return
        kind = examined(found, runtime)
        with tempfile.TemporaryDirectory(prefix="edge-flash-") as folder:
            made = bundle.make(
                kind, Path(folder), models=options.absolute(models), key=key, trusted=trusted, wheels=wheels
            )
            plan = {"system": found, "release": made.release.name, "bytes": made.size, "unpacked": made.unpacked}
            if dry_run:
                show(plan, as_json, _planned(target, found, made))
                return
            order = made.order(root=root, start=not no_start, serial=list(serial), free_serial=free_serial)
            result = remote.order(target, order, sudo=sudo, archive=made.path, progress=_progress(as_json))
        show({**plan, **result}, as_json, _installed(target, result))


def examined(found: dict[str, Any], runtime: str | None) -> Target:
    """What to build for a system.

    Raises:
        HookError: it cannot be served, with the reason.
    """
    if found["python"] not in NEWEST_GLIBC:
        known = ", ".join(NEWEST_GLIBC)
        raise HookError(f"its python3 is {found['python']} ({found['system']}), and there are releases for {known}")
    kind = Target(found["machine"], found["python"], runtime or "")
    if not found["writable"]:
        raise HookError("its root file system is read-only; remount it writable for the installation")
    if kind.from_system and not found["numpy"]:
        packages = " ".join(kind.from_system.values())
        raise HookError(f"{packages} is needed there, for which PyPI has no wheel: sudo apt install {packages}")
    return kind


def _progress(quiet: bool) -> remote.Progress:
    """Steps, and how much was sent, on standard error."""
    last = [-1]

    def told(step: str, done: int, size: int) -> None:
        tenth = done * 10 // size if size else 0
        if not quiet and (not size or tenth != last[0]):
            click.echo(f"{step} {done / 1e6:.0f} of {size / 1e6:.0f} MB" if size else step, err=True)
        last[0] = tenth

    return told


def _planned(target: str, found: dict[str, Any], made: bundle.Bundle) -> str:
    start = "and start it" if found["systemd"] else "without starting it: systemd does not run there"
    return (
        f"{target}: {found['model'] or found['machine']}, {found['system']}, Python {found['python']}, "
        f"{found['free'] / 1e6:.0f} MB free; runs {found['current'] or 'nothing of ours'}\n"
        f"would send {made.size / 1e6:.0f} MB, install {made.release.name} ({made.unpacked / 1e6:.0f} MB) {start}"
    )


def _installed(target: str, result: dict[str, Any]) -> str:
    lines = [
        f"{target}: {result['release']} " + ("answers" if result["started"] else "is installed; it was not started")
    ]
    if result["previous"]:
        lines.append(f"kept to go back to: {result['previous']}")
    if result["models"]:
        lines.append(f"models put into slots: {', '.join(result['models'])}")
    return "\n".join([*lines, *result.get("serial", ())])
