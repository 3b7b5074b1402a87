"""Writing the checkpoint folder that the checkpoint stage, and transformers, read."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.errors import TrainingError

if TYPE_CHECKING:
    from converter.train.model import Model

# Enough for calibration's ranges to settle, few enough to take seconds.
CALIBRATION_TEXTS = 512
# transformers' classes without a pooler; it would report one as unexpected.
_WITHOUT_POOLER = {"BertForTokenClassification", "BertForQuestionAnswering"}
# sentence-transformers' layout of a folder whose vectors are made by pooling and have length 1.
_MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))


def prepare_folder(folder: Path) -> None:
    """Makes the output folder before anything is trained for it.

    Raises:
        TrainingError: it cannot be made, or holds files that are not a checkpoint's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the folder {folder}: {error.strerror}") from error
    others = any(not path.name.startswith(".") for path in folder.iterdir())
    if others and not (folder / "config.json").exists():
        raise TrainingError(f"{folder} holds other files and no checkpoint; give an empty folder")


def save(
    folder: Path,
    model: Model,
    tokenizer: str,
    longest: int,
    architecture: str,
    fields: Mapping[str, Any],
) -> None:
    """Writes config.json, model.safetensors, tokenizer.json and what says how long a text may be.

    Args:
        folder: the checkpoint's.
        model: its weights.
        tokenizer: tokenizer.json's text.
        longest: tokens of a sequence.
        architecture: transformers' class without the family's name in front.
        fields: of config.json, beside the encoder's.
    """
    from safetensors.torch import save_file

    family = "SqueezeBert" if model.prefix == "transformer" else "Bert"
    config: dict[str, Any] = json.loads(model.encoder.config.to_json_string(use_diff=False))
    for name in ("_name_or_path", "id2label", "label2id"):
        config.pop(name, None)
    config |= {"architectures": [family + architecture], "dtype": "float32", **fields}
    _write_json(folder / "config.json", config)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", {"model_max_length": longest})
    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    if family + architecture in _WITHOUT_POOLER:
        weights = {name: tensor for name, tensor in weights.items() if ".pooler." not in name}
    if architecture == "Model":
        # A base model's weights have no name in front.
        weights = {name.removeprefix(f"{model.prefix}."): tensor for name, tensor in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def save_pooling(folder: Path, hidden: int, pooling: str) -> None:
    """Says how sentence vectors are made, as sentence-transformers does."""
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(_MODULES)
    ]
    for path, _ in _MODULES[1:]:
        (folder / path).mkdir(exist_ok=True)
    _write_json(folder / "modules.json", modules)
    modes = {"pooling_mode_cls_token": pooling == "first", "pooling_mode_mean_tokens": pooling == "mean"}
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, **modes})


def save_calibration(folder: Path, texts: Sequence[Sequence[str]], seed: int) -> Path:
    """Writes a sample of the training texts as calibration.txt: a line each, the two of a pair with a tab between."""
    generator = random.Random(seed)  # noqa: S311 (a repeatable sample, no secret)
    sample = generator.sample(list(texts), min(CALIBRATION_TEXTS, len(texts)))
    path = folder / "calibration.txt"
    lines = ["\t".join(" ".join(text.split()) for text in each) for each in sample]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
