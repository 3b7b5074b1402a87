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
    # our own runtime as on 32-bit boards; NumPy 2 is not for it
    "tflite": ["tflite-runtime==2.14.0", "numpy<2", "tokenizers", "click", "pyserial"],
    # built here from its sources, for this very CPU
    "llama": ["llama-cpp-python==0.3.36", "gguf==0.19.0"],
    "executorch": ["executorch==1.5.1", "torch==2.13.0", "transformers>=5,<6", "safetensors"],
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
