"""`edge-flash serial`: let the server of this machine answer at serial ports."""

from __future__ import annotations

from pathlib import Path

import click

from firmware_hooks.errors import HookError
from firmware_hooks.flash.cli import reported

UNIT = "etc/systemd/system/edge-runtime.service.d/30-serial.conf"
MODULES = "etc/modules-load.d/edge-runtime-serial.conf"


@click.command()
@click.argument("ports", nargs=-1, metavar="[URL]…")
@click.option("--root", default="/", type=click.Path(path_type=Path), help="Of the file system.  [default: /]")
def serial(ports: tuple[str, ...], root: Path) -> None:
    """Let the server answer at these ports and no others, as serial:///dev/edge-serial-0?baud=115200; at none for none.

    Writes a drop-in of the service, which gives it the ports and no other devices (docs/service.md).
    """
    from firmware_hooks.system import serial_files

    with reported():
        found = serial_files(ports)
        try:
            for path in {UNIT, MODULES} - {file.path for file in found}:
                (root / path).unlink(missing_ok=True)
            for file in found:
                file.write(root)
        except OSError as error:
            raise HookError(f"{error.filename} cannot be written: {error.strerror}; this needs root") from None
        where = f"{root / UNIT}\n" if found else ""
        click.echo(f"{where}systemctl daemon-reload && systemctl restart edge-runtime.service makes it so")
