"""Runs a Python module in an ARM user land on an emulated core, and counts its instructions where asked."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN_SOURCE = Path(__file__).with_name("icount.c")
LONGEST_SECONDS = 900
"""an emulated run that takes longer hangs"""


class EmulationError(Exception):
    """What the emulated program said when it failed, or what is missing."""


@dataclass(frozen=True)
class Mark:
    """A point that the emulated program marked (`tests.arm.inference.mark`)."""

    number: int
    executed: int
    """instructions since the program began"""


@dataclass(frozen=True)
class Userland:
    root: Path

    def __post_init__(self) -> None:
        if not (self.root / "run").exists():
            raise EmulationError(
                f"no ARM user land in {self.root}: python -m tests.arm.userland {self.root.name} {self.root}"
            )

    def python(
        self, core: str, module: str, arguments: Sequence[str] = (), *, runtime: str = "", home: Path | None = None
    ) -> str:
        """Run a module and return its standard output.

        Args:
            core: emulated, such as "cortex-a72".
            module: of this repository, as `python -m` takes it.
            arguments: to the module.
            runtime: "litert" or "tflite"; the user land's default if empty.
            home: folder for what the runtime keeps from one process to the next; a fresh one if None.

        Raises:
            EmulationError: the program failed or was killed.
        """
        return self._run(core, module, arguments, runtime, home, plugin=None)

    def count(
        self, core: str, module: str, arguments: Sequence[str] = (), *, runtime: str = ""
    ) -> tuple[str, list[Mark]]:
        """Run a module as `python` does and return its standard output and the marks it set.

        Everything that would change the count is held still: environment, addresses, hash seeds, threads.
        """
        with tempfile.TemporaryDirectory() as folder:
            marks = Path(folder) / "marks"
            plugin = f"{self._plugin()},out={marks}"
            output = self._run(core, module, arguments, runtime, home=None, plugin=plugin)
            lines = marks.read_text().splitlines() if marks.exists() else []
        return output, [Mark(*map(int, line.split())) for line in lines]

    @property
    def interpreter(self) -> Path:
        """The emulated Python, to be started with `environment`."""
        return self.root.resolve() / "run"

    @property
    def is_64_bit(self) -> bool:
        """Whether its programs have 64-bit addresses."""
        return (self.root / "lib/ld-linux-aarch64.so.1").exists()

    def environment(self, core: str, runtime: str, home: Path) -> dict[str, str]:
        """All that an emulated program sees of this machine's environment.

        Args:
            core: emulated, such as "cortex-a72".
            runtime: "litert" or "tflite"; the user land's default if empty.
            home: folder for what the runtime keeps from one process to the next.
        """
        return {
            "PATH": os.defpath,
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY),
            "QEMU_CPU": core,
            "ARM_RUNTIME": runtime,
        }

    def _run(
        self, core: str, module: str, arguments: Sequence[str], runtime: str, home: Path | None, plugin: str | None
    ) -> str:
        with tempfile.TemporaryDirectory() as fresh:
            environment = self.environment(core, runtime, home or Path(fresh))
            environment |= {"PYTHONHASHSEED": "0", "QEMU_RAND_SEED": "1"}
            if plugin:
                environment["QEMU_PLUGIN"] = plugin
            # The interpreter is -W ignore: what third-party packages warn of is looked at on the workstation.
            command = ["setarch", "-R", str(self.interpreter), "-W", "ignore", "-m", module, *arguments]
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=LONGEST_SECONDS,
            )
        if done.returncode:
            raise EmulationError(f"{module} on {core} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

    def _plugin(self) -> Path:
        library = self.root.resolve() / "icount.so"
        if not library.exists() or library.stat().st_mtime < PLUGIN_SOURCE.stat().st_mtime:
            partial = library.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
            command = [
                "cc",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-shared",
                "-fPIC",
                "-o",
                str(partial),
                str(PLUGIN_SOURCE),
            ]
            subprocess.run(command, check=True)
            partial.replace(library)
        return library
