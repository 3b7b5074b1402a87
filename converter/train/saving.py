"""Writing the checkpoint folder that the checkpoint stage reads."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.errors import TrainingError
from converter.train.confidence import Confidence
from converter.train.encoding import Labels

if TYPE_CHECKING:
    from torch import nn

# Enough for calibration's ranges to settle, few enough to take seconds.
CALIBRATION_TEXTS = 512


def prepare_folder(folder: Path) -> None:
    """Makes the output folder before anything is trained for it.

    Raises:
        TrainingError: it cannot be made, or holds files that are not a checkpoint's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the folder {folder}: {error.strerror}") from error
    if any(folder.iterdir()) and not (folder / "config.json").exists():
        raise TrainingError(f"{folder} holds other files and no checkpoint; give an empty folder")


def save(
    folder: Path,
    model: nn.Module,
    tokenizer: str,
    labels: Labels,
    confidence: Confidence,
    *,
    pooling: str,
    out_of_scope: str | None,
    licence: str | None,
    training: Mapping[str, Any],
) -> None:
    """Writes config.json, model.safetensors and tokenizer.json."""
    from safetensors.torch import save_file

    config: dict[str, Any] = json.loads(model.transformer.config.to_json_string(use_diff=False))  # type: ignore[operator, union-attr]
    config.pop("_name_or_path", None)
    config["dtype"] = "float32"
    head = "intent" if labels.slots else "classification"
    if labels.slots:
        for field in ("id2label", "label2id"):
            config.pop(field, None)
        config |= {
            "architectures": ["SqueezeBertForIntentAndSlots"],
            "intent_labels": list(labels.intents),
            "slot_labels": list(labels.slots),
            "intent_pooling": pooling,
        }
    else:
        config |= {
            "architectures": ["SqueezeBertForSequenceClassification"],
            "id2label": {str(number): label for number, label in enumerate(labels.intents)},
            "label2id": labels.intent_numbers,
            "problem_type": "single_label_classification",
        }
    config |= {
        f"{head}_temperature": round(confidence.temperature, 6),
        f"{head}_threshold": round(confidence.threshold, 6),
        f"{head}_out_of_scope": out_of_scope,
        "licence": licence,
        "training": dict(training),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def save_calibration(folder: Path, texts: Sequence[str], seed: int) -> Path:
    """Writes a sample of the training texts, a line each, as calibration.txt."""
    generator = random.Random(seed)  # noqa: S311 (a repeatable sample, no secret)
    sample = generator.sample(list(texts), min(CALIBRATION_TEXTS, len(texts)))
    path = folder / "calibration.txt"
    path.write_text("".join(f"{text}\n" for text in sample), encoding="utf-8")
    return path
