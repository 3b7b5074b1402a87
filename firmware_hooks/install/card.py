"""What goes onto a Raspberry Pi OS card before its first start, and how that start comes to run it.

Two mechanisms:

cloud-init, Raspberry Pi OS trixie (pi-gen, stage2/04-cloud-init): the boot partition holds `user-data`, `meta-data` and
    `network-config`, which Imager fills in. The same datasource also reads `vendor-data` (cloud-init,
    sources/DataSourceNoCloud.py and util.read_seeded); a script there is run at the first start whatever user-data says
    (config/cc_scripts_vendor.py). So nothing that is there is changed: one file is added.

systemd.run, Raspberry Pi OS bookworm: the first start runs init=…/firstboot (raspberrypi-sys-mods), which resizes the card,
    applies custom.toml if there is one, and restarts. The second start runs what `systemd.run=` on the kernel's command
    line names (systemd-run-generator(8)), which is how Imager's firstrun.sh comes to run; several may be named, and run
    one after the other. So one is added to cmdline.txt; where Imager's is there, its path is written as Imager writes
    it, /boot/…, for raspberrypi-sys-mods (initramfs-tools/scripts/local-bottom/imager_fixup) turns all of these into
    /boot/firmware/….
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources

from firmware_hooks.errors import HookError
from firmware_hooks.install.bundle import Bundle
from firmware_hooks.install.partition import Partition
from firmware_hooks.payload.target import Target

FOLDER = "edge-runtime"
"""on the boot partition"""
MOUNTED = "/boot/firmware"
"""where the boot partition is when the system runs, from bookworm on"""
CLOUD_INIT, SYSTEMD_RUN = "cloud-init", "systemd.run"
SPARE = 8 << 20
"""bytes that stay free: kernels are updated in place"""

_FIRSTBOOT = "init=/usr/lib/raspberrypi-sys-mods/firstboot"
_RESIZE = "resize"
"""words of cmdline.txt that the first start takes away: bookworm's and trixie's"""
_IMAGER = "systemd.run=/boot/firstrun.sh"
_VENDOR_DATA = f"#!/bin/sh\n# edge-flash card\nexec /bin/sh {MOUNTED}/{FOLDER}/first-boot.sh arm\n"


@dataclass(frozen=True, slots=True)
class System:
    """What is on a card."""

    mechanism: str
    target: Target
    issue: str
    """first line of issue.txt"""


def examine(partition: Partition, machine: str | None = None, python: str | None = None, runtime: str = "") -> System:
    """What system a card holds.

    Args:
        partition: its boot partition.
        machine: where it is known better than the kernels tell: a 32-bit system has kernel7.img.
        python: where it is known better than the mechanism tells: 3.13 with cloud-init, 3.11 without.
        runtime: as `Target`.

    Raises:
        HookError: it is no Raspberry Pi OS, it was started already, or there is no release for it.
    """
    issue, words = partition.text("issue.txt"), (partition.text("cmdline.txt") or "").split()
    if issue is None or "Raspberry Pi" not in issue or partition.read("config.txt") is None or not words:
        raise HookError(
            "this is no boot partition of Raspberry Pi OS: issue.txt, config.txt or cmdline.txt is missing or another's"
        )
    cloud_init = partition.read("user-data") is not None and partition.read("meta-data") is not None
    if _FIRSTBOOT not in words and _RESIZE not in words:
        raise HookError("the system on this card was started before; let it run and use `edge-flash ssh`")
    thirty_two_bit = partition.read("kernel7.img") is not None
    target = Target(
        machine or ("armv7l" if thirty_two_bit else "aarch64"), python or ("3.13" if cloud_init else "3.11"), runtime
    )
    return System(CLOUD_INIT if cloud_init else SYSTEMD_RUN, target, issue.splitlines()[0])


def changes(partition: Partition, system: System) -> dict[str, bytes]:
    """Files of the system's own that are to be added or changed → name, content.

    Raises:
        HookError: what somebody put there stands in the way.
    """
    if system.mechanism == CLOUD_INIT:
        there = partition.text("vendor-data")
        if there is not None and there != _VENDOR_DATA:
            raise HookError(
                "the card has a vendor-data file of somebody else's, which edge-flash leaves alone; use `edge-flash ssh` once it runs"
            )
        if re.search(r"^vendor_data:", partition.text("user-data") or "", re.MULTILINE):
            raise HookError(
                "user-data on the card decides about vendor_data, by which edge-flash would be started; use `edge-flash ssh` once it runs"
            )
        return {} if there else {"vendor-data": _VENDOR_DATA.encode()}
    line = partition.text("cmdline.txt") or ""
    if f"/{FOLDER}/first-boot.sh" in line:
        return {}
    words = line.split()
    runs = [word for word in words if word.startswith("systemd.run=")]
    if not runs:
        if any(word.startswith("systemd.unit=") for word in words):
            raise HookError(
                "cmdline.txt on the card names a unit to start (systemd.unit=), which edge-flash leaves alone"
            )
        words += [f"systemd.run={MOUNTED}/{FOLDER}/first-boot.sh", "systemd.run_success_action=reboot"]
        words += ["systemd.unit=kernel-command-line.target"]
    elif runs == [_IMAGER]:
        # behind it: commands run in this order
        words.insert(words.index(_IMAGER) + 1, f"systemd.run=/boot/{FOLDER}/first-boot.sh")
    else:
        raise HookError(
            f"cmdline.txt on the card starts something already ({' '.join(runs)}), which edge-flash leaves alone"
        )
    return {"cmdline.txt": (" ".join(words) + "\n").encode()}


def put(partition: Partition, system: System, bundle: Bundle) -> list[str]:
    """Put all of it onto a card → names of the files that were written.

    What starts it comes last, so that a card that is pulled out before does what it did.

    Raises:
        HookError: there is not enough room, or it cannot be written.
    """
    own = changes(partition, system)
    payload = f"{FOLDER}/payload.tar.gz"
    order = bundle.order(file=f"{MOUNTED}/{payload}", start=True)
    here = resources.files("firmware_hooks.install")
    files = {
        f"{FOLDER}/{name}": (here / "first_boot" / name).read_bytes()
        for name in ("first-boot.sh", "edge-runtime-first-boot.service")
    }
    files[f"{FOLDER}/on_board.py"] = (here / "on_board.py").read_bytes()
    files[payload] = bundle.path.read_bytes()
    files[f"{FOLDER}/order.json"] = json.dumps(order).encode("ascii") + b"\n"
    files.update(own)
    needed = sum(len(content) - len(partition.read(name) or b"") for name, content in files.items())
    if partition.free() < needed + SPARE:
        raise HookError(
            f"the boot partition has {partition.free() / 1e6:.0f} MB free, and {(needed + SPARE) / 1e6:.0f} MB are needed"
        )
    partition.make_folder(FOLDER)
    for name, content in files.items():
        partition.write(name, content)
        if name == f"{FOLDER}/order.json":
            partition.flush()
    partition.flush()
    wrong = [name for name, content in files.items() if partition.read(name) != content]
    if wrong:
        raise HookError(f"what was written to the card reads back otherwise ({', '.join(wrong)}); try another card")
    return list(files)
