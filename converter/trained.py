"""Plan and ranges that a checkpoint was trained with, in a file beside it: `convert` writes just that integer graph."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from converter.errors import CalibrationError
from converter.plan import Plan
from converter.quantisation import Range, Ranges

FILE = "quantisation.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Trained:
    plan: Plan
    ranges: Mapping[str, Range]
    """by tensor name"""


def write(folder: Path, plan: Plan, ranges: Ranges) -> None:
    """Beside the weights in `folder`, whose digest it holds."""
    content = {
        "weights_sha256": _digest(folder),
        "plan": plan.to_json(),
        "ranges": {tensor.name: [r.low, r.high] for tensor, r in ranges.items()},
    }
    (folder / FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")


def read(folder: Path) -> Trained | None:
    """None if the checkpoint in `folder` was not trained that way.

    Raises:
        CalibrationError: the file is damaged or was written for other weights.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = str(content["weights_sha256"])
        plan = Plan.from_json(content["plan"])
        ranges = {str(name): Range(float(low), float(high)) for name, (low, high) in content["ranges"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CalibrationError(
            f"{path} is damaged, or of an older converter ({error}): delete it to calibrate anew, or train again"
        ) from error
    if digest != _digest(folder):
        raise CalibrationError(
            f"{path} belongs to other weights than {WEIGHTS} beside it: delete it to calibrate anew, or train again"
        )
    return Trained(plan, ranges)


def carry_over(source: Path, target: Path) -> None:
    """Take the file along to `target`, whose weights are those of `source` without some rows of the word embeddings.

    Plan and ranges are of activations and stay true.

    Raises:
        CalibrationError: as `read`.
    """
    if read(source) is None:
        remove(target)
        return
    content = json.loads((source / FILE).read_text(encoding="utf-8"))
    (target / FILE).write_text(json.dumps({**content, "weights_sha256": _digest(target)}) + "\n", encoding="utf-8")


def remove(folder: Path) -> None:
    """What was written for weights that are about to be replaced."""
    (folder / FILE).unlink(missing_ok=True)


def _digest(folder: Path) -> str:
    path = folder / WEIGHTS
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
