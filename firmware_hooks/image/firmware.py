"""The boot partition: what the board's firmware reads the kernel from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from firmware_hooks.image import debian
from firmware_hooks.image.debian import Repository
from firmware_hooks.image.kernel import Kernel
from firmware_hooks.image.recipes import Family

KERNEL, INITRAMFS = "vmlinuz", "initrd.img"
ARGUMENTS = "cmdline.txt"
"""the kernel's arguments, where the Raspberry Pi's firmware looks for them"""

LOADER = """\
title edge-runtime
linux /{kernel}
initrd /{initramfs}
options {arguments}
"""
"""systemd-boot's entry: Boot Loader Specification, type 1"""
EXTLINUX = """\
default edge-runtime
label edge-runtime
    linux /{kernel}
    initrd /{initramfs}
    append {arguments}
"""
"""for a U-Boot that does not look for EFI programs"""
RASPBERRY_PI = """\
# What Debian's raspi-firmware writes for its kernels, and the names of ours.
arm_64bit=1
enable_uart=1
upstream_kernel=1
kernel={kernel}
initramfs {initramfs} followkernel
"""
"""https://www.raspberrypi.com/documentation/computers/config_txt.html"""
RASPBERRY_PI_PROGRAMS = ("bootcode.bin", "fixup.dat", "fixup4.dat", "start.elf", "start4.elf")
"""the boot loader's stages, for boards up to 3 (start.elf) and from 4 on (start4.elf)"""

COMPONENTS = {"efi": ("main",), "raspberry-pi": ("main", "non-free-firmware")}
"""kind of firmware → components of Debian's archive with what it needs"""
PACKAGES = {"efi": "systemd-boot-efi", "raspberry-pi": "raspi-firmware"}


def fill(
    folder: Path, family: Family, kernel: Kernel, initramfs: bytes, arguments: Sequence[str], repository: Repository
) -> debian.Package:
    """Write what goes onto the boot partition.

    Args:
        folder: an empty one.
        family: of boards.
        kernel: that they start.
        initramfs: with it.
        arguments: for the kernel.
        repository: with the package of the firmware.

    Returns:
        That package.
    """
    (package,) = repository.fetch([repository.exactly(PACKAGES[family.firmware])])
    shutil.copyfile(kernel.image, folder / KERNEL)
    (folder / INITRAMFS).write_bytes(initramfs)
    line = " ".join(arguments)
    (folder / ARGUMENTS).write_text(line + "\n")
    names = {"kernel": KERNEL, "initramfs": INITRAMFS, "arguments": line}
    work = folder.with_name(folder.name + ".firmware")
    debian.unpack(package.file, work)
    if family.firmware == "efi":
        _write(folder / "loader/entries/edge-runtime.conf", LOADER.format(**names))
        _write(folder / "loader/loader.conf", "timeout 0\n")
        _write(folder / "extlinux/extlinux.conf", EXTLINUX.format(**names))
        (folder / "EFI/BOOT").mkdir(parents=True)
        shutil.copyfile(work / "usr/lib/systemd/boot/efi/systemd-bootaa64.efi", folder / "EFI/BOOT/BOOTAA64.EFI")
    else:
        _write(folder / "config.txt", RASPBERRY_PI.format(**names))
        for name in RASPBERRY_PI_PROGRAMS:
            shutil.copyfile(work / "usr/lib/raspi-firmware" / name, folder / name)
        for devicetree in kernel.devicetrees(family.devicetrees):
            shutil.copyfile(devicetree, folder / devicetree.name)
    return package


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
