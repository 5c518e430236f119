"""The hook functions of a plan, one class for each operation, so that admission can tell them apart by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch

from hookframe.core.hooks.guards import guarded
from hookframe.errors import ActivationShapeError, ActivationTypeError
from hookframe.plan import operations
from hookframe.plan.selecting import chosen, position_dim, where

__all__ = ["Editing", "function_for"]

_Edit = TypeVar("_Edit", bound=operations.Edit)


class Editing(ABC, Generic[_Edit]):
    """One edit of a plan as a hook function: returns a new tensor, and leaves its input unchanged.

    :ivar edit: what it does, as data.
    """

    def __init__(self, edit: _Edit, parameters: Mapping[str, torch.Tensor]) -> None:
        self.edit = edit
        self._given = {name: parameters[name] for name in edit.parameters}
        self._moved: dict[tuple[str, torch.dtype, torch.device], torch.Tensor] = {}

    def __call__(self, tensor: Any, *, hook: Any) -> torch.Tensor:
        """Return the edited activation.

        :raises ActivationTypeError: if it is not a tensor of floating point.
        :raises ActivationShapeError: if the plan asks for what this activation does not have.
        """
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise ActivationTypeError(f"a plan edits tensors of floating point, and {hook.name!r} has {kind}")
        try:
            changed = self.change(tensor, hook)
            changed = changed.expand_as(tensor) if changed.shape != tensor.shape else changed
        except RuntimeError as error:
            raise ActivationShapeError(
                f"{self.edit.operation!r} does not fit {hook.name!r} of shape {list(tensor.shape)}: {error}"  # type: ignore[attr-defined]  # each operation has its name
            ) from error
        mask = where(self.edit, tensor, hook)
        return changed if mask is None else torch.where(mask, changed, tensor)

    @abstractmethod
    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """What the activation becomes where the edit takes effect, of a shape that broadcasts to the tensor's."""

    def parameter(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """A tensor of the plan, on the device and in the dtype of an activation; moved once for each."""
        key = (name, like.dtype, like.device)
        if key not in self._moved:
            self._moved[key] = self._prepared(self._given[name]).to(like)
        return self._moved[key]

    def _prepared(self, given: torch.Tensor) -> torch.Tensor:
        return given


class Zero(Editing[operations.ZeroEdit]):
    """See :class:`~hookframe.plan.operations.ZeroEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """Zeros."""
        return torch.zeros_like(tensor)


class Mean(Editing[operations.MeanEdit]):
    """See :class:`~hookframe.plan.operations.MeanEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """The mean that is given, or the activation's own."""
        if self.edit.value is not None:
            return self.parameter(self.edit.value, tensor)
        dims = [0 if over == "batch" else position_dim(hook, tensor) for over in dict.fromkeys(self.edit.over)]
        return tensor.mean(dim=dims, keepdim=True)


class AddVector(Editing[operations.AddVectorEdit]):
    """See :class:`~hookframe.plan.operations.AddVectorEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """The sum."""
        return tensor + self.edit.coefficient * self.parameter(self.edit.vector, tensor)


class Scale(Editing[operations.ScaleEdit]):
    """See :class:`~hookframe.plan.operations.ScaleEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """The product."""
        return tensor * self.edit.factor


class ProjectOut(Editing[operations.ProjectOutEdit]):
    """See :class:`~hookframe.plan.operations.ProjectOutEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """The activation less its part in the space."""
        basis = self.parameter(self.edit.vector, tensor)  # [n, d], orthonormal
        return tensor - (tensor @ basis.T) @ basis

    def _prepared(self, given: torch.Tensor) -> torch.Tensor:
        """An orthonormal basis ``[n, d]`` of what the directions span; directions that others span add nothing."""
        rows = given.double().reshape(-1, given.shape[-1])
        _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
        return basis[sizes > sizes.max() * 1e-9]  # type: ignore[no-any-return]  # torch leaves it untyped


class Clamp(Editing[operations.ClampEdit]):
    """See :class:`~hookframe.plan.operations.ClampEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """The values, held in the range."""
        return tensor.clamp(self.edit.low, self.edit.high)


class PatchFrom(Editing[operations.PatchFromEdit]):
    """See :class:`~hookframe.plan.operations.PatchFromEdit`."""

    def change(self, tensor: torch.Tensor, hook: Any) -> torch.Tensor:
        """The tensor of the plan at the chosen positions, and the activation elsewhere."""
        value = self.parameter(self.edit.value, tensor)
        if self.edit.positions is None:
            return value
        dim = position_dim(hook, tensor)
        places = chosen(self.edit.positions, tensor.shape[dim], "positions", hook).to(tensor.device)
        shape = [len(places) if place == dim else size for place, size in enumerate(tensor.shape)]
        return tensor.index_copy(dim, places, value.expand(shape))


_FUNCTIONS: dict[str, type[Editing[Any]]] = {
    "zero": Zero,
    "mean": Mean,
    "add_vector": AddVector,
    "scale": Scale,
    "project_out": ProjectOut,
    "clamp": Clamp,
    "patch_from": PatchFrom,
}


def function_for(edit: Any, parameters: Mapping[str, torch.Tensor]) -> Editing[Any]:
    """The hook function for one edit, guarded as the edit asks for."""
    function = _FUNCTIONS[edit.operation](edit, parameters)
    return guarded(function, finite=edit.finite, norm_ratio=edit.norm_ratio)
