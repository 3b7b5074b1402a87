"""Runs the models of one operator that `stages` wrote and marks each one's inference for the instruction counter.

python operators.py FOLDER          on the emulated core; 0.tflite, 1.tflite … in the folder
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

from tests.arm.inference import END, mark

FIRST = 1
"""the mark of 0.tflite; each further model's is one higher"""


def main() -> None:
    package = "ai_edge_litert" if importlib.util.find_spec("ai_edge_litert") else "tflite_runtime"
    runtime = importlib.import_module(f"{package}.interpreter")
    folder = Path(sys.argv[1])
    for number in range(len(list(folder.glob("*.tflite")))):
        interpreter = runtime.Interpreter(str(folder / f"{number}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        for _ in range(2):
            # the first one sets things up
            mark(FIRST + number)
            interpreter.invoke()
            mark(FIRST + number + END)


if __name__ == "__main__":
    main()
