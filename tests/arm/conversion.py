"""Converts a checkpoint: python conversion.py CHECKPOINT MODEL.tflite TEXTS"""

from __future__ import annotations

import sys

import converter


def main() -> None:
    checkpoint, model, texts = sys.argv[1:]
    converter.convert(checkpoint, model, calibration=texts, name="same")


if __name__ == "__main__":
    main()
