"""Virtual environments of the peers that cannot live beside our runtime or beside each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGES = {
    # the version with the last TFLite converter that takes a concrete function; CPU only
    "tensorflow": ["tensorflow-cpu==2.21.0"],
    # brings a LiteRT of its own, newer than ours
    "quantizer": ["ai-edge-quantizer==0.10.0"],
}


def python(build: Path, name: str) -> str:
    """The Python of the environment `name` under `build`, which is made where it is missing."""
    folder = build / "environments" / name
    interpreter = folder / "bin/python"
    if not (folder / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "-q", *PACKAGES[name]], check=True, stdout=sys.stderr)
        (folder / "made").touch()
    return str(interpreter)
