"""What the hooks of a plan do, as data: checked in full when it is made or read."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from hookframe.extras import needing

with needing("policy", "a plan of hooks"):
    from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = [
    "AddVectorEdit",
    "CaptureHook",
    "ClampEdit",
    "MeanEdit",
    "Operation",
    "PatchFromEdit",
    "ProjectOutEdit",
    "ScaleEdit",
    "Span",
    "ZeroEdit",
]

PointName = Annotated[str, StringConstraints(min_length=1, max_length=500)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Index = Annotated[int, Field(ge=-(1 << 40), le=1 << 40)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Span(_Data):
    """A range of indices, as Python slices have it."""

    start: Index | None = None
    stop: Index | None = None
    step: Annotated[int, Field(ge=1, le=1 << 40)] | None = None


Indices: TypeAlias = Annotated[tuple[Index, ...], Field(min_length=1, max_length=100_000, strict=False)] | Span


class _Hook(_Data):
    """One hook of a plan.

    :ivar points: names of hook points, or globs on them: ``"blocks.*.hook_resid_post"``.
    """

    points: PointName | Annotated[tuple[PointName, ...], Field(min_length=1, max_length=1000, strict=False)]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the tensors that it needs."""
        named = (getattr(self, field, None) for field in ("value", "vector"))
        return tuple(name for name in named if name is not None)


class Edit(_Hook):
    """A hook that changes activations.

    :ivar rows: which entries of the first dimension, the batch; all if None.
    :ivar positions: which positions; all if None. Negative ones count from the end of the forward's own positions.
    :ivar features: which entries of the last dimension; all if None.
    :ivar finite: stop if it makes a NaN or an infinity.
    :ivar norm_ratio: stop if it changes the activation's norm by more than this factor.
    """

    rows: Indices | None = None
    positions: Indices | None = None
    features: Indices | None = None
    finite: bool = False
    norm_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None


class ZeroEdit(Edit):
    """Set activations to zero."""

    operation: Literal["zero"] = "zero"


class MeanEdit(Edit):
    """Set activations to a mean: a tensor that is given, or the activation's own over its batch or positions.

    :ivar value: name of the tensor, of a shape that broadcasts to the activation's.
    :ivar over: what to average over, where there is no such tensor.
    """

    operation: Literal["mean"] = "mean"
    value: ParameterName | None = None
    over: Annotated[tuple[Literal["batch", "pos"], ...], Field(max_length=2, strict=False)] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.value is None) == (not self.over):
            raise ValueError("a mean needs either value, a tensor, or over, a list of 'batch' and 'pos'")
        return self


class AddVectorEdit(Edit):
    """Add ``coefficient * vector``; the vector's shape broadcasts to the activation's."""

    operation: Literal["add_vector"] = "add_vector"
    vector: ParameterName
    coefficient: Number = 1.0


class ScaleEdit(Edit):
    """Multiply by ``factor``."""

    operation: Literal["scale"] = "scale"
    factor: Number


class ProjectOutEdit(Edit):
    """Take out what lies along a direction ``[d]``, or in the space that several ``[n, d]`` span.

    :ivar vector: name of the tensor; its length does not matter.
    """

    operation: Literal["project_out"] = "project_out"
    vector: ParameterName


class ClampEdit(Edit):
    """Hold values between ``low`` and ``high``, of which one may be left out."""

    operation: Literal["clamp"] = "clamp"
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("a clamp needs low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}")
        return self


class PatchFromEdit(Edit):
    """Put a tensor in the activation's place.

    :ivar value: name of the tensor; it broadcasts to the activation's shape, with as many positions as are chosen.
    """

    operation: Literal["patch_from"] = "patch_from"
    value: ParameterName


class CaptureHook(_Hook):
    """Keep activations, as they are at this place in the plan."""

    operation: Literal["capture"] = "capture"


Operation: TypeAlias = Annotated[
    ZeroEdit | MeanEdit | AddVectorEdit | ScaleEdit | ProjectOutEdit | ClampEdit | PatchFromEdit | CaptureHook,
    Field(discriminator="operation"),
]
