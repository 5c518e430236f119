"""How many bytes a capture will hold, told from shapes: the model is traced, and computes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_map_only

from hookframe.errors import EstimateError

__all__ = ["Estimate", "PointEstimate", "run_on_shapes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointEstimate:
    """One activation that a run will cache.

    :ivar name: its hook point.
    :ivar shape: as it would be kept, after device, slices and the like.
    :ivar dtype: as torch prints it, without ``torch.``.
    :ivar nbytes: its bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int

    @classmethod
    def of(cls, name: str, value: torch.Tensor) -> PointEstimate:
        """Describe ``value``."""
        return cls(
            name=name,
            shape=tuple(value.shape),
            dtype=str(value.dtype).removeprefix("torch."),
            nbytes=value.numel() * value.element_size(),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one run will cache, in order of execution."""

    points: tuple[PointEstimate, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all together."""
        return sum(point.nbytes for point in self.points)

    def __str__(self) -> str:
        lines = [f"{p.nbytes:>15,}  {p.dtype:<9} {p.name} {list(p.shape)}" for p in self.points]
        return "\n".join([*lines, f"{self.nbytes:>15,}  bytes in {len(self.points)} activations"])


def run_on_shapes(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call ``module`` with tensors that have shapes and no values; nothing is computed, and the model stays as it is.

    :raises EstimateError: if what the model does depends on values.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    args, kwargs = tree_map_only(torch.Tensor, mode.from_tensor, (args, kwargs))
    try:
        state: dict[str, torch.Tensor] = {name: mode.from_tensor(value) for name, value in _tensors(module).items()}
        with _kept_as_it_is(module), mode, torch.no_grad():
            torch.func.functional_call(module, state, args, kwargs)
    except Exception as error:
        raise EstimateError(
            f"the bytes cannot be told without running the model, which fails without values ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}): capture with max_bytes, which holds anyway"
        ) from error


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())


@contextmanager
def _kept_as_it_is(model: nn.Module) -> Iterator[None]:
    """Remove what the model kept of tensors without values, such as a table of positions computed when first used."""
    tables = [
        (table, dict(table))
        for module in model.modules()
        for table in (module.__dict__, module._parameters, module._buffers)
    ]
    try:
        yield
    finally:
        for table, before in tables:
            for name in [name for name, value in table.items() if isinstance(value, FakeTensor)]:
                if name in before:
                    table[name] = before[name]
                else:
                    del table[name]
