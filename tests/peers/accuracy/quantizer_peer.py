"""ai-edge-quantizer's static full-integer quantisation of a float .tflite.

    PYTHON quantizer_peer.py FOLDER

Runs where ai-edge-quantizer is installed and imports nothing of ours. FOLDER holds float.tflite, which TensorFlow's
converter made, and calibration.npz; quantizer.tflite and quantizer.json are added.

The recipe is the package's own for static 8-bit weights and activations, and calibration is its example's.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_quantizer import quantizer, recipe


def main() -> None:
    folder = Path(sys.argv[1])
    stored = np.load(folder / "calibration.npz")
    samples = [{"ids": ids[None].astype(np.int32)} for ids in np.split(stored["ids"], stored["ends"][:-1])]
    began = time.perf_counter()
    tool = quantizer.Quantizer(str(folder / "float.tflite"), recipe.static_wi8_ai8())
    statistics = tool.calibrate({"serving_default": samples})
    tool.quantize(statistics).export_model(str(folder / "quantizer.tflite"), overwrite=True)
    found = {"version": version("ai-edge-quantizer"), "seconds": round(time.perf_counter() - began, 1)}
    (folder / "quantizer.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
