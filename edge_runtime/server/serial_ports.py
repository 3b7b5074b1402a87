"""The serial ports of a server. pyserial is imported here and beyond, and so only where one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_runtime.errors import InputError
from edge_runtime.serial_link import address
from edge_runtime.serial_link.ports import check
from edge_runtime.server.serial_measures import SerialMeasures
from edge_runtime.server.serial_port import SerialPort

if TYPE_CHECKING:
    from edge_runtime.server.service import Service


def serial_ports(service: Service, urls: Sequence[str]) -> list[SerialPort]:
    """Ports to be started.

    Raises:
        InputError: a URL makes no sense, or a port is named twice.
    """
    parsed = [address.parse(url) for url in urls]
    for url in parsed:
        check(url)
    if len({url.port for url in parsed}) != len(parsed):
        raise InputError("a serial port is named twice")
    measures = SerialMeasures(service.measures.registry)
    return [SerialPort(service, url, measures) for url in parsed]
