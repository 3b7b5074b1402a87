"""The runtime's tests on emulated ARM cores, in the user lands that `tests.arm.userland` makes.

    python -m tests.arm.suite arm64|armhf [--core CORE]… [--runtime litert|tflite] [--part everything|computing]
        [--json] [PYTEST-OPTIONS…]
    python -m tests.arm.suite                        the whole matrix: `MATRIX`

Everything that runs code of `edge_runtime`, `boards` or the slots runs on every architecture; what computes runs on
every core. What cannot mean anything there, or does nothing there that it does not do here, is in `LEFT_OUT`, each with
its reason. A test that fails, or that `LEFT_OUT` names and pytest does not know, fails the command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.arm.emulation import REPOSITORY, EmulationError, Userland
from tests.arm.userland import ARCHITECTURES

LEFT_OUT = Path(__file__).with_name("left_out.toml")

EVERYTHING = ("tests/edge_runtime", "tests/boards", "tests/firmware_hooks/slots", "tests/serve", "tests/serial")
COMPUTING = (
    *(
        f"tests/edge_runtime/test_{name}.py"
        for name in ("archive", "cpu", "engine", "manifest", "model", "model_file", "selection", "tasks", "tokenizer")
    ),
    *(f"tests/edge_runtime/test_{name}.py" for name in ("verified", "weight_cache", "windows", "wrong_network")),
    *(f"tests/edge_runtime/serial_link/test_{name}.py" for name in ("bytes", "compact", "vectors")),
    "tests/edge_runtime/protocol",
)
"""what can differ from core to core, as it computes in the test's own process or reads and writes numbers as bytes"""
PARTS = {"everything": EVERYTHING, "computing": COMPUTING}

WITH_ATOMICS = ("cortex-a76",)
"""64-bit cores that CompiledModel survives on"""

LONGEST = 7200.0
"""seconds; the whole suite on one core takes a tenth of that on a machine with nothing else to do"""


@dataclass(frozen=True)
class Run:
    """One user land, core and runtime, and how much of the suite."""

    userland: str
    core: str
    runtime: str
    part: str

    @property
    def backend(self) -> str:
        """What models are loaded with there, as `tests.arm.test_boards` shows."""
        if self.runtime == "tflite":
            return "tflite-runtime"
        return "litert-compiled" if self.core in WITH_ATOMICS else "litert"


MATRIX = (
    Run("arm64", "cortex-a53", "litert", "everything"),
    Run("arm64", "cortex-a72", "litert", "everything"),
    Run("arm64", "cortex-a76", "litert", "everything"),
    Run("arm64", "cortex-a72", "tflite", "everything"),
    Run("armhf", "cortex-a7", "tflite", "everything"),
)


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    run: Run
    passed: int
    failed: int
    skipped: int
    left_out: int
    """entries of `LEFT_OUT` that hold there; an entry may be several tests"""
    cpu_seconds: float
    """of this machine"""
    slowest: dict[str, float]
    """seconds by test"""

    @property
    def met(self) -> bool:
        return self.passed > 0 and self.failed == 0 and self.skipped == 0


def left_out(run: Run) -> dict[str, str]:
    """Tests, as pytest names them, and why they do not run there."""
    found: dict[str, str] = {}
    for entry in tomllib.loads(LEFT_OUT.read_text(encoding="utf-8"))["left_out"]:
        if run.backend in entry.get("backends", [run.backend]):
            found |= dict.fromkeys(entry["tests"], entry["because"])
    return found


def execute(run: Run, root: Path, models: Path, options: Sequence[str] = ()) -> Result:
    """Run the tests.

    Args:
        run: what, and where.
        root: folder of the user lands.
        models: folder with what `tests.converted` made.
        options: for pytest.

    Raises:
        EmulationError: pytest itself failed, or there is no user land.
    """
    userland = Userland(root / run.userland)
    absent = left_out(run)
    named = [option for option in options if not option.startswith("-")] or PARTS[run.part]
    # pytest ignores --ignore for what is named to it
    paths = [path for path in named if path not in absent]
    with tempfile.TemporaryDirectory(prefix="edge-suite-") as name:
        home = Path(name)
        report = home / "report.xml"
        command = [str(userland.interpreter), "-W", "ignore", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
        command += [f"--basetemp={home / 'tmp'}", f"--junitxml={report}", "--tb=short", *paths]
        command += [f"--{'deselect' if '::' in test else 'ignore'}={test}" for test in absent]
        command += [option for option in options if option.startswith("-")]
        environment = userland.environment(run.core, run.runtime, home)
        environment |= {"EDGE_TEST_MODELS": str(models), "EDGE_TEST_EXAMPLES": "emulated", "PYTHONUNBUFFERED": "1"}
        began = os.times()
        # a folder of one's own: what a test leaves on `.` must not meet another core's
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False, timeout=LONGEST, stdout=sys.stderr)
        ended = os.times()
        if not report.exists() or done.returncode not in (0, 1):
            raise EmulationError(f"pytest on {run.core} ended with {done.returncode} and without a report")
        cases = ET.parse(report).getroot().iter("testcase")
        return _result(run, list(cases), (ended[2] + ended[3]) - (began[2] + began[3]))


def _result(run: Run, cases: list[ET.Element], cpu_seconds: float) -> Result:
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    times = {f"{case.get('classname')}::{case.get('name')}": float(case.get("time", 0)) for case in cases}
    slowest = sorted(times, key=lambda name: -times[name])[:10]
    return Result(
        run,
        passed=len(cases) - len(failed) - len(skipped),
        failed=len(failed),
        skipped=len(skipped),
        left_out=len(left_out(run)),
        cpu_seconds=cpu_seconds,
        slowest={name: times[name] for name in slowest},
    )


def compile_sources() -> None:
    """Leave byte code beside the sources, so that emulated processes do not each compile them."""
    folders = [str(REPOSITORY / name) for name in ("edge_runtime", "boards", "firmware_hooks", "converter", "tests")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True, env=environment)


def table(results: Sequence[Result]) -> str:
    columns = f"{'user land':11}{'core':12}{'runtime':9}{'part':12}"
    lines = [f"{columns}{'passed':>8}{'failed':>8}{'skipped':>9}{'left out':>10}{'CPU s':>8}"]
    for each in results:
        run = each.run
        lines.append(
            f"{run.userland:11}{run.core:12}{run.runtime:9}{run.part:12}"
            f"{each.passed:8}{each.failed:8}{each.skipped:9}{each.left_out:10}{each.cpu_seconds:8.0f}"
        )
    return "\n".join(lines)


def runs(arguments: argparse.Namespace) -> list[Run]:
    """What was asked for."""
    if arguments.userland is None:
        return list(MATRIX)
    architecture = ARCHITECTURES[arguments.userland]
    runtime = arguments.runtime or next(iter(architecture.runtimes))
    return [Run(architecture.name, core, runtime, arguments.part) for core in arguments.core or [architecture.core]]


def main() -> int:
    parser = argparse.ArgumentParser(description="run the runtime's tests on emulated ARM cores")
    parser.add_argument("userland", choices=ARCHITECTURES, nargs="?", help="default: the whole matrix")
    parser.add_argument("--core", action="append", help="such as cortex-a53; default: the user land's")
    parser.add_argument("--runtime", choices=("litert", "tflite"), help="default: the user land's")
    parser.add_argument("--part", choices=PARTS, default="everything")
    parser.add_argument("--userlands", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm")))
    parser.add_argument("--slowest", action="store_true", help="show the slowest tests of each run")
    parser.add_argument("--json", action="store_true")
    arguments, options = parser.parse_known_args()
    results = []
    compile_sources()
    with tempfile.TemporaryDirectory(prefix="edge-models-") as name:
        models = Path(os.environ.get("EDGE_TEST_MODELS") or name)
        subprocess.run([sys.executable, "-m", "tests.converted", str(models)], check=True, stderr=subprocess.DEVNULL)
        try:
            for run in runs(arguments):
                began = time.monotonic()
                results.append(execute(run, arguments.userlands, models.resolve(), options))
                print(f"{run.core} with {run.runtime}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        except EmulationError as error:
            print(f"suite: {error}", file=sys.stderr)
            return 1
    print(json.dumps([asdict(each) for each in results]) if arguments.json else table(results))
    if arguments.slowest:
        for each in results:
            print("\n".join(f"{seconds:8.1f} s  {test}" for test, seconds in each.slowest.items()))
    return 0 if all(each.met for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
