"""The integer graph: exactly what the flatbuffer will hold, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from converter.graph import S

LOWEST, HIGHEST = -128, 127
"""of int8"""


@dataclass(frozen=True)
class Quantisation:
    """real = scale × (integer − zero point)"""

    scale: NDArray[np.float32]
    """[1], or one for each entry of dimension `axis`"""
    zero_point: int = 0
    axis: int = 0
    lowest: int = LOWEST
    """integer that is used"""


@dataclass(eq=False)
class IntegerTensor:
    name: str
    shape: tuple[int, ...]
    """−1 is the sequence's length"""
    dtype: Literal["int8", "int32"]
    quantisation: Quantisation | None = None
    data: NDArray[np.int8] | NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        if self.data is not None and (self.data.dtype != self.dtype or self.data.shape != self.shape):
            raise ValueError(f"{self.name}: {self.data.dtype}{self.data.shape}, declared {self.dtype}{self.shape}")

    @property
    def dynamic(self) -> bool:
        return S in self.shape


@dataclass(eq=False)
class IntegerOperator:
    code: str
    """a name of TFLite's BuiltinOperator"""
    inputs: tuple[IntegerTensor, ...]
    outputs: tuple[IntegerTensor, ...]
    options: dict[str, int | float | bool] = field(default_factory=dict)
    """the fields of that operator's options table that differ from their defaults"""


@dataclass
class IntegerGraph:
    inputs: list[IntegerTensor]
    outputs: list[IntegerTensor]
    operators: list[IntegerOperator]
