"""The distribution says what its code needs, and its code keeps to the folders' rules of who may import whom."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
PINS = REPOSITORY / "tests/arm/requirements"

STANDARD = set(sys.stdlib_module_names)
BOARD = {"ai_edge_litert", "tflite_runtime", "numpy", "tokenizers", "click", "serial"}
WORKSTATION = {
    "ai_edge_litert", "click", "flatbuffers", "numpy", "rich", "safetensors", "threadpoolctl", "tokenizers",
}  # fmt: skip
SCORING = {"scipy", "seqeval", "sklearn"}
TRAINING = {"matplotlib", "torch", "transformers"}
SIGNING = {"cryptography"}
LOCKING = {"packaging"}
IMPORT_NAMES = {"ai-edge-litert": "ai_edge_litert", "pyserial": "serial", "tflite-runtime": "tflite_runtime"}


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(inline_comment_prefixes=None, comment_prefixes=("#",))
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text: str) -> list[Requirement]:
    lines = (line.strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def board_requirements(machine: str) -> dict[str, Requirement]:
    """What pip would ask for on a board that calls itself `machine`."""
    found = requirements(settings()["options"]["install_requires"])
    wanted = [one for one in found if not one.marker or one.marker.evaluate({"platform_machine": machine})]
    return {canonicalize_name(one.name): one for one in wanted}


def pins(*files: str) -> dict[str, str]:
    found = [one for file in files for one in requirements((PINS / file).read_text(encoding="utf-8"))]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """Each file of a package with the top-level names it imports, also those inside functions."""
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                yield file.relative_to(REPOSITORY), name.partition(".")[0]


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("edge_runtime", BOARD),
        ("converter", {"edge_runtime"} | WORKSTATION | SCORING | TRAINING),
        ("firmware_hooks", {"edge_runtime", "boards"} | BOARD | SIGNING | LOCKING),
        ("boards", {"edge_runtime"} | BOARD),
    ],
)
def test_imports(package: str, allowed: set[str]) -> None:
    """A package imports the standard library, itself and what CONTRIBUTING.md's table allows it, nothing else."""
    strangers = {(str(file), name) for file, name in imports(package) if name not in STANDARD | allowed | {package}}
    assert strangers == set()


def within(file: Path, places: set[str]) -> bool:
    """Whether a file is one of these files or lies in one of these folders."""
    return bool({str(file), *map(str, file.parents)} & places)


def test_pytorch_only_where_it_is_needed() -> None:
    """Only training, distilling, reading a pytorch_model.bin and a recipe's plot import what training installs."""
    needed = {"converter/checkpoint/weights.py", "converter/train", "converter/distil", "converter/recipes/sizes.py"}
    files = {file for file, name in imports("converter") if name in TRAINING}
    assert {file for file in files if not within(file, needed)} == set()


def test_scores_only_where_they_are_computed() -> None:
    """Only the metrics, and training, import the packages of the extra `score`."""
    needed = {"converter/metrics.py", "converter/train", "converter/distil"}
    files = {file for file, name in imports("converter") if name in SCORING}
    assert {file for file in files if not within(file, needed)} == set()


def test_boards_do_without_cryptography() -> None:
    """Only what makes signatures imports the package for it, and nothing imports that before it is asked to sign."""
    files = {str(file) for file, name in imports("firmware_hooks") if name in SIGNING}
    assert files == {"firmware_hooks/flash/signing.py"}
    code = "import sys, firmware_hooks.flash.model, firmware_hooks.flash.key; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l", "armv8l"])
def test_board_packages_are_declared(machine: str) -> None:
    """Each machine installs the five packages with the one TFLite runtime for it, and nothing else."""
    names = {IMPORT_NAMES.get(name, name) for name in board_requirements(machine)}
    thirty_two_bit = machine.startswith("armv")
    runtime = {"tflite_runtime"} if thirty_two_bit else {"ai_edge_litert"}
    assert names == BOARD - {"ai_edge_litert", "tflite_runtime"} | runtime


def test_data_of_boards_is_packaged() -> None:
    """Each file that `boards` reads or a user runs, beside its modules, is in the wheel."""
    patterns = settings()["options.package_data"]["boards"].split()
    folder = REPOSITORY / "boards"
    files = [
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert len(files) > len(patterns)
    assert [str(file) for file in files if not any(file.match(pattern) for pattern in patterns)] == []


@pytest.mark.parametrize(
    ("machine", "files"),
    [("aarch64", ("board.txt", "litert.txt")), ("armv7l", ("board.txt", "tflite.txt", "numpy1.txt"))],
)
def test_emulated_boards_hold_what_is_declared(machine: str, files: tuple[str, ...]) -> None:
    """The versions that run in the ARM user lands are ones that setup.cfg lets a board install."""
    held = pins(*files)
    for name, wanted in board_requirements(machine).items():
        assert wanted.specifier.contains(held[name]), f"{name} {held[name]} is not {wanted}"
