"""A bootable image: Debian's packages, the payload and a kernel in, one file for a card out.

    packages.toml ──apt──▶ packages ─┐
    payload ─────────────────────────┼─▶ root file system ──▶ squashfs ─┐
    root/ (files of this folder) ────┘                                  ├─▶ partitions ──▶ FILE.img
    boards.toml ──▶ kernel, modules ──▶ initramfs, firmware ──▶ FAT ────┘

Nothing of the board's architecture is run: packages are unpacked, and what their maintainer scripts would do is done
here. No root rights are needed, nothing is mounted.
"""

from firmware_hooks.image.build import Built, Recipe, build

__all__ = ["Built", "Recipe", "build"]
