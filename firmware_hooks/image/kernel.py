"""The kernel's modules that a board needs, and the initramfs that finds the root file system with some of them."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.image import debian, tools
from firmware_hooks.image.cpio import Archive

INIT = Path(__file__).with_name("initramfs.sh")
MODULES = Path("usr/lib/modules")
INDEXES = ("modules.alias", "modules.builtin", "modules.dep", "modules.order", "modules.softdep", "modules.symbols")
"""what busybox' modprobe reads; kmod's also has binary ones"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's package, unpacked."""

    root: Path
    version: str

    @property
    def image(self) -> Path:
        """The kernel itself: uncompressed, with an EFI stub."""
        return self.root / f"boot/vmlinuz-{self.version}"

    @property
    def modules(self) -> Path:
        """Folder with its modules."""
        return self.root / MODULES / self.version

    def devicetrees(self, patterns: Iterable[str]) -> list[Path]:
        """Files of Broadcom's boards that match one of the patterns."""
        folder = self.root / f"usr/lib/linux-image-{self.version}/broadcom"
        return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def unpack(package: Path, into: Path) -> Kernel:
    """Unpack a kernel's package and index its modules."""
    debian.unpack(package, into, leave=["./usr/share/*"])
    versions = [folder.name for folder in (into / MODULES).iterdir()]
    if len(versions) != 1:
        raise HookError(f"{package} holds {len(versions)} kernels")
    tools.run(["depmod", "-b", into, versions[0]])
    return Kernel(into, versions[0])


def install(kernel: Kernel, patterns: Iterable[str], into: Path) -> Path:
    """Copy modules, with all that they need, into a root file system; the folder they are in.

    Raises:
        HookError: a pattern matches no module of this kernel, whether built in or not.
    """
    target = into / MODULES / kernel.version
    for module in closure(kernel, patterns):
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kernel.modules / module, target / module)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(kernel.modules / name, target / name)
    tools.run(["depmod", "-b", into, kernel.version])
    return target


def initramfs(kernel: Kernel, patterns: Iterable[str], busybox: Path, work: Path) -> bytes:
    """A gzipped archive with busybox, some modules, and an init that mounts the root file system.

    Args:
        kernel: whose modules.
        patterns: of modules.
        busybox: a static one for the board.
        work: a folder to lay them out in.
    """
    debian.merge(work)
    modules = install(kernel, patterns, work)
    archive = Archive()
    for name in ("bin", "dev", "lib", "proc", "root", "sys"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    archive.file("init", INIT.read_bytes(), 0o755)
    folder = f"lib/modules/{kernel.version}"
    archive.folder("lib/modules")
    archive.folder(folder)
    for path in sorted(modules.rglob("*")):
        name = f"{folder}/{path.relative_to(modules)}"
        if path.is_dir():
            archive.folder(name)
        elif path.suffix == ".ko" or path.name in INDEXES:
            archive.file(name, path.read_bytes(), 0o644)
    return gzip.compress(archive.encoded(), 9, mtime=0)


def closure(kernel: Kernel, patterns: Iterable[str]) -> list[str]:
    """The modules that match, and those that they need, as paths below the folder of modules.

    Raises:
        HookError: a pattern matches none, whether built in or not.
    """
    needs = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        module, _, others = line.partition(":")
        needs[module] = others.split()
    builtin = (kernel.modules / "modules.builtin").read_text().split()
    chosen: set[str] = set()
    for pattern in patterns:
        # a folder's pattern means all that is below it
        expression = re.compile(
            "kernel/" + re.escape(pattern).replace(r"\*", ".*" if pattern.endswith("/*") else "[^/]*")
        )
        found = {module for module in needs if expression.fullmatch(module)}
        if not found and not any(expression.fullmatch(module) for module in builtin):
            raise HookError(f"kernel {kernel.version} has no module {pattern}")
        chosen |= found
    # modules.dep already lists what the needed ones need
    return sorted(chosen | {other for module in chosen for other in needs[module]})
