"""Makes an ARM user land: Debian 12's Python 3.11 and the board's packages, unpacked into one folder.

    python -m tests.arm.userland arm64|armhf [FOLDER]        default: build/arm/arm64, build/arm/armhf

Debian's packages come from this machine's own apt sources through an apt whose state is kept in the folder, so nothing
is installed here and no root rights are needed; wheels come from this machine's pip. No maintainer script is run. What
results is for `tests.arm.emulation`, or by hand:

    FOLDER/run [-cpu CORE] [-runtime litert|tflite] ARGUMENTS-OF-PYTHON…
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.image.debian import Repository, unpack

REQUIREMENTS = Path(__file__).parent / "requirements"
DEFAULT_FOLDER = Path("build/arm")
MARKER = "squeezebert-edge-userland"
"""a file in every folder made here: only such a folder is ever removed"""

GLIBC_OF_DEBIAN_12 = 36
OLDEST_GLIBC = 17
"""manylinux2014"""

RUN = """\
#!/bin/sh
# run [-cpu CORE] [-runtime litert|tflite] ARGUMENTS-OF-PYTHON...
ROOT=$(cd "$(dirname "$0")" && pwd)
while :; do
    case $1 in
        -cpu) QEMU_CPU=$2; shift 2 ;;
        -runtime) ARM_RUNTIME=$2; shift 2 ;;
        *) break ;;
    esac
done
export ARM_RUNTIME="${ARM_RUNTIME:-@RUNTIME@}" QEMU_LD_PREFIX="$ROOT" PYTHONHOME="$ROOT/usr" PYTHONDONTWRITEBYTECODE=1
# unset, QEMU would emulate "max", a core that no board has
export QEMU_CPU="${QEMU_CPU:-@CPU@}"
exec @QEMU@ "$ROOT/usr/bin/python3.11" "$@"
"""

SITE = """\
import os, sys; root = os.path.dirname(sys.prefix); runtime = os.environ["ARM_RUNTIME"]; \
sys.path.insert(0, os.path.join(root, runtime)); \
sys.executable = sys._base_executable = os.path.join(root, "run")
"""
"""The chosen runtime's folder joins the path, and children that a test starts are emulated as well."""


class UserlandError(Exception):
    """What is missing on this machine, in one sentence."""


@dataclass(frozen=True)
class Architecture:
    name: str
    """as Debian calls it"""
    machine: str
    """as wheels call it"""
    emulator: str
    core: str
    """emulated unless another is named"""
    packages: tuple[str, ...]
    runtimes: dict[str, tuple[str, ...]]
    """folder → requirement files; the first is the default"""


PYTHON_PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")
ARCHITECTURES = {
    "arm64": Architecture(
        name="arm64",
        machine="aarch64",
        emulator="qemu-aarch64",
        core="cortex-a72",
        packages=PYTHON_PACKAGES,
        runtimes={
            "litert": ("litert.txt", "converter.txt", "cffi.txt"),
            "tflite": ("tflite.txt", "numpy1.txt", "cffi.txt"),
        },
    ),
    "armhf": Architecture(
        name="armhf",
        machine="armv7l",
        emulator="qemu-arm",
        core="cortex-a7",
        packages=(*PYTHON_PACKAGES, "python3-numpy", "python3-cffi-backend"),
        runtimes={"tflite": ("tflite.txt",)},
    ),
}


def make(architecture: Architecture, root: Path) -> None:
    """Make the user land in the folder `root`; one made there before is replaced.

    Raises UserlandError when a tool or Debian's packages cannot be had here, or `root` holds something else.
    """
    for tool in (architecture.emulator, "apt-get", "dpkg-deb", "tar"):
        if shutil.which(tool) is None:
            raise UserlandError(f"{tool} is missing; on Debian 12: apt-get install qemu-user")
    if sys.version_info[:2] != (3, 11):
        raise UserlandError("run this with Python 3.11: byte code is made here for Debian 12's, which is 3.11")
    if root.exists() and any(root.iterdir()) and not (root / MARKER).exists():
        raise UserlandError(f"{root} holds something else; name another folder")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / MARKER).touch()
    try:
        with tempfile.TemporaryDirectory(dir=root) as work:
            archive = Repository(Path(work), Path(work, "packages"), None, ["main"], architecture.name, lenient=True)
            for package in archive.fetch(archive.resolve(architecture.packages)):
                unpack(package.file, root, leave=["./usr/share/*"])
    except HookError as error:
        raise UserlandError(str(error)) from error
    _link_linear_algebra(root)
    site = root / "usr/local/lib/python3.11/dist-packages"
    _install_wheels(architecture, site, ["board.txt"])
    for runtime, requirements in architecture.runtimes.items():
        _install_wheels(architecture, root / runtime, requirements)
    (site / "userland.pth").write_text(SITE)
    _compile(
        root, [root / "usr/lib/python3.11", root / "usr/lib/python3", site, *map(root.joinpath, architecture.runtimes)]
    )
    run = root / "run"
    settings = {"RUNTIME": next(iter(architecture.runtimes)), "CPU": architecture.core, "QEMU": architecture.emulator}
    text = RUN
    for name, value in settings.items():
        text = text.replace(f"@{name}@", value)
    run.write_text(text)
    run.chmod(0o755)


def add_runtime(architecture: Architecture, root: Path, runtime: str) -> None:
    """Give a user land that is there one runtime more; `requirements/RUNTIME.txt` says which wheels."""
    if not (root / runtime).exists():
        _install_wheels(architecture, root / runtime, [f"{runtime}.txt"])
        _compile(root, [root / runtime])


def _link_linear_algebra(root: Path) -> None:
    """Give NumPy the BLAS and LAPACK that a maintainer script would have chosen."""
    for library in ("blas", "lapack"):
        for folder in root.glob(f"usr/lib/*/{library}"):
            (folder.parent / f"lib{library}.so.3").symlink_to(f"{library}/lib{library}.so.3")


def _install_wheels(architecture: Architecture, folder: Path, requirements: list[str] | tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--no-compile", "--only-binary=:all:"]
    command += [
        "--root-user-action=ignore",
        "--target",
        str(folder),
        "--implementation",
        "cp",
        "--python-version",
        "3.11",
    ]
    for glibc in range(GLIBC_OF_DEBIAN_12, OLDEST_GLIBC - 1, -1):
        command += ["--platform", f"manylinux_2_{glibc}_{architecture.machine}"]
    command += ["--platform", f"manylinux2014_{architecture.machine}"]
    for name in requirements:
        command += ["-r", str(REQUIREMENTS / name)]
    if subprocess.run(command, check=False).returncode:
        raise UserlandError(f"pip could not fetch the wheels that {', '.join(requirements)} name")


def _compile(root: Path, folders: list[Path]) -> None:
    """Byte code is the same on every machine: made here, where it is quick, imports there are several times faster."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-s", str(root), "-p", "/"]
    command += ["--invalidation-mode", "unchecked-hash", *[str(folder) for folder in folders if folder.is_dir()]]
    # Debian's packages hold test data that is not meant to compile.
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description="make an ARM user land for the emulated checks")
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("folder", type=Path, nargs="?", help="default: build/arm/ARCHITECTURE")
    arguments = parser.parse_args()
    root = arguments.folder or DEFAULT_FOLDER / arguments.architecture
    try:
        make(ARCHITECTURES[arguments.architecture], root)
    except UserlandError as error:
        print(f"userland: {error}", file=sys.stderr)
        return 1
    print(f"{root}: made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
