"""Models that tests convert from checkpoints with random weights, each made once however many processes ask for it.

    python -m tests.converted FOLDER        all of them, for boards that convert none

They are kept in the folder that EDGE_TEST_MODELS names; pytest makes one for each run.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

FOLDER = "EDGE_TEST_MODELS"


def once(name: str, make: Callable[[Path, Path], object], file: Path) -> Path:
    """Put a model into `file`, a copy of the one that is kept, which is made first if nobody has asked for it yet.

    Args:
        name: of the kept one; no two models share it.
        make: writes the model, given an empty folder to work in and a file.
        file: the caller's own.
    """
    kept = Path(os.environ.get(FOLDER) or file.parent, f"{name}.kept")
    with kept.with_suffix(".lock").open("w") as lock:
        # another process that is making it holds the lock until it is there
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept.parent) as work:
                unfinished = Path(work, kept.name)
                make(Path(work), unfinished)
                unfinished.rename(kept)
    shutil.copyfile(kept, file)
    return file


def make_all(copies: Path) -> None:
    """Make every model that the tests of boards ask for."""
    from tests.edge_runtime import tiny_models
    from tests.firmware_hooks.slots import releases
    from tests.serve import random_model

    tiny_models.convert_all(copies)
    releases.make_models(copies, releases.VERSIONS)
    for seed in (0, 1):
        random_model.convert_tiny(copies, seed)
        random_model.convert_random(copies, 1, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description="convert the models that the tests of boards use")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[FOLDER] = str(folder.resolve())
    with tempfile.TemporaryDirectory() as copies:
        make_all(Path(copies))


if __name__ == "__main__":
    main()
