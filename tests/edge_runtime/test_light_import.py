"""What importing the package and asking for help must not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"numpy", "tokenizers", "ai_edge_litert", "tflite_runtime", "ml_dtypes", "serial"}

HELP = """
import click.testing
from edge_runtime.cli import commands
assert click.testing.CliRunner().invoke(commands, ["ask", "--help"]).exit_code == 0
"""


@pytest.mark.parametrize(
    "code",
    [
        "import edge_runtime; edge_runtime.__version__; dir(edge_runtime)",
        "import edge_runtime; edge_runtime.EdgeError; edge_runtime.Entity",
        "import edge_runtime; edge_runtime.Client; edge_runtime.AsyncClient",
        "import edge_runtime.cli",
        HELP,
    ],
)
def test_import_and_help_load_nothing_heavy(code: str) -> None:
    """Until a model is loaded, neither NumPy nor the tokenizers nor an interpreter is imported."""
    listing = f"{code}\nimport sys; print(*(name.partition('.')[0] for name in sys.modules))"
    loaded = subprocess.check_output([sys.executable, "-c", listing], text=True).split()
    assert HEAVY.intersection(loaded) == set()


def test_import_loads_only_the_package_itself() -> None:
    """`import edge_runtime` imports none of its own modules either."""
    code = "import sys, edge_runtime; print(*(name for name in sys.modules if name.startswith('edge_runtime')))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["edge_runtime"]


def test_every_public_name_exists() -> None:
    """Each name in `__all__` can be fetched, and an unknown one is an AttributeError."""
    import edge_runtime

    for name in edge_runtime.__all__:
        assert getattr(edge_runtime, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'serve_tea'"):
        edge_runtime.__getattr__("serve_tea")


SERVE = """
from edge_runtime.server.without_tls import import_asyncio
import_asyncio()
import sys, edge_runtime.cli, edge_runtime.commands.serve, edge_runtime.server.daemon
loaded = {name for name in sys.modules if name in ("ssl", "_ssl", "numpy", "tokenizers", "serial")}
import ssl
assert ssl.create_default_context()
print(*loaded)
"""


def test_serving_loads_nothing_that_only_workers_need() -> None:
    """The server's own process holds neither OpenSSL's TLS nor what computes; TLS can still be imported by others."""
    assert subprocess.check_output([sys.executable, "-c", SERVE], text=True).split() == []


NO_NUMBER_TYPES = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "ml_dtypes":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
import edge_runtime
with edge_runtime.load("assistant", backend="litert-compiled") as model:
    print(model.understand("turn off the kitchen lights").intent)
print("ml_dtypes" in sys.modules)
"""

NUMBER_TYPES_OF_OTHERS = """
import sys, types
theirs = sys.modules["ml_dtypes"] = types.ModuleType("ml_dtypes")
for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
    setattr(theirs, name, float)
from edge_runtime.backends import number_types
number_types.import_front()
print(sys.modules["ml_dtypes"] is theirs, number_types.FRONT in sys.modules)
"""


def test_a_model_is_run_without_ml_dtypes() -> None:
    """LiteRT's `CompiledModel` does without the package, and no stand-in for it is left behind."""
    found = subprocess.check_output([sys.executable, "-c", NO_NUMBER_TYPES], text=True).split()
    assert found[-1] == "False"
    assert len(found[0]) > len("None")


def test_an_application_keeps_its_ml_dtypes() -> None:
    """Where it has been imported, LiteRT gets it."""
    assert subprocess.check_output([sys.executable, "-c", NUMBER_TYPES_OF_OTHERS], text=True).split() == ["True"] * 2
