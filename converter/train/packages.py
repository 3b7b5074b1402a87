"""The packages that only training needs."""

from __future__ import annotations

from converter.errors import TrainingError


def require_packages() -> None:
    """Raises TrainingError if PyTorch or another package that only training needs is not installed."""
    try:
        import matplotlib as mpl  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise TrainingError(f"training needs {error.name}: pip install squeezebert-edge[train]") from None
