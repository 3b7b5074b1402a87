"""What lies beside a checkpoint's weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from converter.errors import CheckpointError

BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "calibration.txt", "1_Pooling")
"""what of a checkpoint folder goes with it"""


def copy_beside(checkpoint: Path, output: Path, names: Sequence[str] = BESIDE) -> None:
    """What there is of `names` into the folder `output`, which is made.

    Raises:
        CheckpointError: that cannot be done.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in names:
            source = checkpoint / name
            if source.is_dir():
                shutil.copytree(source, output / name, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copyfile(source, output / name)
    except OSError as error:
        raise CheckpointError(f"cannot write {output}: {error.strerror}") from error
