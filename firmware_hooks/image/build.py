"""Builds an image, from nothing to a file for a card."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firmware_hooks import payload, system
from firmware_hooks.errors import HookError
from firmware_hooks.image import disk, firmware, kernel, recipes, root, tools, units
from firmware_hooks.image.debian import Package, Repository

MODELS = Path("var/lib/edge-runtime/models")
FACTORY = Path("usr/share/edge-runtime/models")
DESCRIPTION = Path("usr/share/edge-runtime/image.json")
ARGUMENTS = ("ro", "quiet", "loglevel=4", "panic=10", "systemd.show_status=no", "fsck.repair=yes")
"""for the kernel: after a panic the board starts again, and a file system is mended without anybody being asked"""
OWN_UNITS = ("edge-data-partition.service", "edge-factory-models.service")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is wanted."""

    board: str = "generic-aarch64"
    models: Sequence[str] = ("assistant",)
    """bundled models' names, or files"""
    key: Path | None = None
    """private key that models are signed with"""
    trusted: Sequence[Path] = ()
    """public keys whose models the board takes"""
    ssh_keys: Sequence[Path] = ()
    """whose holders may push models over the network; without any, the board has no network"""
    serial: str = ""
    """URL of a port for microcontrollers, as `edge-runtime serve --serial` takes it; the board's usual one if empty"""
    console: bool = False
    """a root shell on the console"""
    hostname: str = "edge"
    sources: Path | None = None
    """Debian's archive as in /etc/apt/sources.list.d, in deb822 format; this machine's if None"""
    cache: Path | None = None
    """folder that keeps packages for the next time"""


@dataclass(frozen=True, slots=True)
class Built:
    """What was made."""

    file: Path
    identity: str
    """signature of its partition table"""
    sha256: str
    size: int
    """bytes of the file"""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """part → bytes: what the root file system holds, unpacked, and what it and the boot partition take"""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Debian's package → version"""
    release: str = ""


def build(recipe: Recipe, file: Path) -> Built:
    """Build an image.

    Args:
        recipe: what is wanted.
        file: to write.

    Raises:
        HookError: a program, a package or a model is missing, or the file cannot be written.
    """
    family = recipes.family(recipe.board)
    wanted = recipes.packages()
    tools.check()
    root.python()
    try:
        with tempfile.TemporaryDirectory(prefix="edge-image-") as folder:
            return _build(recipe, family, wanted, Path(folder), file)
    except OSError as error:
        raise HookError(f"{error.filename or file} cannot be written: {error.strerror}") from None


def _build(recipe: Recipe, family: recipes.Family, wanted: recipes.Packages, work: Path, file: Path) -> Built:
    tree, boot = work / "root", work / "boot"
    boot.mkdir()
    release = payload.build(
        payload.Target("aarch64", "3.11"), tree, models=recipe.models, key=recipe.key, trusted=recipe.trusted
    )
    repository = Repository(
        work / "apt", recipe.cache or work / "packages", recipe.sources, firmware.COMPONENTS[family.firmware]
    )
    names = [*wanted.system, *(wanted.ssh if recipe.ssh_keys else ())]
    packages = repository.fetch(repository.resolve(names, wanted.without))
    (kernel_package,) = repository.fetch([repository.kernel()])
    linux = kernel.unpack(kernel_package.file, work / "kernel")
    moment = _moment([*packages, kernel_package])
    (tree / FACTORY).parent.mkdir(parents=True, exist_ok=True)
    (tree / MODELS).rename(tree / FACTORY)
    identity = _identity(recipe, release.digest, tree / FACTORY, [*packages, kernel_package])
    payload_size = _occupied(tree)
    root.lay(tree, packages, wanted.leave)
    sizes = {"Debian": _occupied(tree) - payload_size}
    kernel.install(linux, [*family.early, *family.root], tree)
    link = recipe.serial or family.link
    for each in system.files(recipe.board, serial=[link] if link else []):
        each.write(tree)
    root.settle(tree, identity, moment, recipe.hostname)
    for unit in [*OWN_UNITS, *(["edge-console.service"] * recipe.console)]:
        units.enable(tree, unit)
    if recipe.ssh_keys:
        root.let_in(tree, "\n".join(key.read_text(encoding="utf-8") for key in recipe.ssh_keys))
    root.compile_all(tree, [tree / "usr/lib/python3.11"])
    sizes |= {
        "runtime": release.size,
        "models": _occupied(tree / FACTORY),
        "kernel modules": _occupied(tree / kernel.MODULES),
        "byte code of Python's own modules": sum(path.stat().st_size for path in (tree / "usr/lib").rglob("*.pyc")),
    }
    initramfs = kernel.initramfs(linux, family.early, tree / "usr/bin/busybox", work / "early")
    arguments = [f"root=PARTUUID={identity}-02", *ARGUMENTS, *family.arguments]
    firmware_package = firmware.fill(boot, family, linux, initramfs, arguments, repository)
    held = {package.name: package.version for package in [*packages, kernel_package, firmware_package]}
    described = {"board": recipe.board, "serves": family.serves, "release": release.name, "packages": held}
    (tree / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n")
    root.normalise(tree)

    disk.root_file_system(tree, work / "root.squashfs", moment)
    disk.boot_file_system(boot, work / "boot.fat", identity, moment)
    sizes["root file system, compressed"] = (work / "root.squashfs").stat().st_size
    sizes["kernel"], sizes["initramfs"] = linux.image.stat().st_size, len(initramfs)
    disk.assemble(work / "boot.fat", work / "root.squashfs", identity, file)
    with file.open("rb") as image:
        digest = hashlib.file_digest(image, "sha256").hexdigest()
    return Built(file, identity, digest, file.stat().st_size, sizes, held, release.name)


def _identity(recipe: Recipe, release: str, models: Path, packages: Sequence[Package]) -> str:
    """Eight digits that equal images have in common, and others do not."""
    said = [recipe.board, recipe.serial, recipe.hostname, str(recipe.console), release]
    said += [key.read_text(encoding="utf-8") for key in (*recipe.trusted, *recipe.ssh_keys)]
    said += [f"{package.name}={package.version}" for package in packages]
    files = sorted(path for path in models.rglob("*") if path.is_file() and not path.is_symlink())
    said += [f"{path.relative_to(models)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:8]


def _moment(packages: Sequence[Package]) -> int:
    """When the youngest of the packages was made, or what SOURCE_DATE_EPOCH says: the image's own time.

    https://reproducible-builds.org/docs/source-date-epoch/
    """
    if said := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(said)
    found = []
    for package in packages:
        # a .deb is an ar archive (deb(5)): after eight bytes of magic and sixteen of the member's name comes its time
        with package.file.open("rb") as file:
            found.append(int(file.read(36)[24:36]))
    return max(found)


def _occupied(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
