"""A plan of hooks: a value that is written, read, digested and applied. Reading one runs no code."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from hookframe.extras import needing

with needing("policy", "a plan of hooks"):
    import tomli_w
    from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
import torch

from hookframe.admission.listing import listed
from hookframe.capture.captured import Captured
from hookframe.capture.manifest import Digest, FileName
from hookframe.capture.shards import SUFFIX, read_shard, replaced_whole, write_shard
from hookframe.core.verbs.delegated import AppliesToModel
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import CacheFileError, InvalidPlan
from hookframe.plan.applying import AppliedPlan
from hookframe.plan.mistakes import mistakes_in_file, mistakes_in_hooks
from hookframe.plan.operations import Operation, ProjectOutEdit
from hookframe.policy.files.lines import Lines
from hookframe.policy.files.toml import LARGEST, parse

__all__ = ["HookPlan"]

_MOST_HOOKS = 1000
_MOST_PARAMETERS = 1 << 30
_HOOKS: TypeAdapter[tuple[Operation, ...]] = TypeAdapter(Annotated[tuple[Operation, ...], Field(strict=False)])


class _File(BaseModel):
    """What the TOML holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["hookframe-plan"]
    version: Literal[1]
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    note: Annotated[str, StringConstraints(max_length=10_000)] = ""
    parameters: FileName | None = None
    digest: Digest | None = None
    hooks: list[Any]


class HookPlan(AppliesToModel):
    """Hooks as data, in the order in which they run at a point.

    :param hooks: values of :mod:`hookframe.plan.operations`, or mappings with the same fields.
    :param parameters: name → the tensor that hooks call by it.
    :param name: what people call the plan.
    :param note: what it is for; not part of the digest.
    :raises InvalidPlan: if a hook is not one, names a parameter that is not there, or a direction that is zero.
    """

    def __init__(
        self,
        hooks: Sequence[Operation | Mapping[str, Any]],
        parameters: Mapping[str, torch.Tensor] | None = None,
        *,
        name: str = "",
        note: str = "",
    ) -> None:
        self.name = name
        self.note = note
        self.hooks = _hooks(hooks)
        self.parameters: Mapping[str, torch.Tensor] = MappingProxyType(
            {key: value.detach() for key, value in (parameters or {}).items()}
        )
        missing = sorted({key for hook in self.hooks for key in hook.parameters} - set(self.parameters))
        if missing:
            raise InvalidPlan(f"hooks call for the parameters {missing}, and the plan has {sorted(self.parameters)}")
        without = [number for number, hook in enumerate(self.hooks) if not _has_direction(hook, self.parameters)]
        if without:
            told = "; ".join(
                f"hooks[{number}]: 'project_out' by {self.hooks[number].parameters[0]!r}" for number in without
            )
            raise InvalidPlan(f"{told}: this vector is zero or empty, so it has no direction: give one that is not")

    @property
    def digest(self) -> str:
        """``sha256:`` and a digest of its name, its hooks and its parameters, bit for bit."""
        digest = hashlib.sha256(json.dumps([self.name, self._plain()], sort_keys=True).encode())
        for key, value in sorted(self.parameters.items()):
            digest.update(f"\n{key} {value.dtype} {list(value.shape)} ".encode())
            digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return f"sha256:{digest.hexdigest()}"

    def _plain(self) -> list[dict[str, Any]]:
        return [
            {"points": hook.points, "operation": hook.operation} | hook.model_dump(mode="json", exclude_defaults=True)
            for hook in self.hooks
        ]

    def to_toml(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to ``path``, and its parameters beside it as safetensors.

        :raises InvalidPlan: if they cannot be written.
        """
        target = Path(path)
        file: dict[str, Any] = {"format": "hookframe-plan", "version": 1, "name": self.name, "note": self.note}
        try:
            if self.parameters:
                file["parameters"] = target.stem + SUFFIX
                write_shard(target.with_name(target.stem + SUFFIX), self.parameters)
            text = tomli_w.dumps(file | {"digest": self.digest, "hooks": self._plain()})
            _file(tomllib.loads(text))
            with replaced_whole(target) as part:
                part.write_text(text, encoding="utf-8")
        except InvalidPlan as error:
            raise InvalidPlan(f"plan {os.fspath(path)!r} could not be read back: {error}") from error
        except (OSError, CacheFileError) as error:
            raise InvalidPlan(f"plan {os.fspath(path)!r} cannot be written: {error}") from error

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> HookPlan:
        """Read a plan that :meth:`to_toml` or a person wrote. Runs no code, and reads no file outside of its directory.

        :raises InvalidPlan: if it cannot be read, says something that a plan cannot say, or has another digest than it
            says.
        """
        source = Path(path)
        try:
            facts, lines = _read(source)
            file = _file(facts, lines)
            parameters = {} if file.parameters is None else _read_parameters(source.with_name(file.parameters))
            plan = cls(_hooks(file.hooks, lines), parameters, name=file.name, note=file.note)
        except (OSError, CacheFileError) as error:
            raise InvalidPlan(f"plan {os.fspath(path)!r} cannot be read: {error}") from error
        except InvalidPlan as error:
            raise InvalidPlan(f"plan {os.fspath(path)!r}: {error}") from error
        if file.digest is not None and file.digest != plan.digest:
            raise InvalidPlan(
                f"plan {os.fspath(path)!r} says that its digest is {file.digest}, and it is {plan.digest}: it was changed "
                "since, or its parameters were; if that is meant, take the line out"
            )
        return plan

    def apply_to(self, root: HookedRootModule) -> AbstractContextManager[Captured]:
        """See ``model.apply_plan``."""
        return AppliedPlan(self.hooks, self.parameters, root)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HookPlan) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        operations = listed((hook.operation for hook in self.hooks), 6)
        count = "1 hook" if len(self.hooks) == 1 else f"{len(self.hooks)} hooks"
        return f"HookPlan({self.name!r}, {count}: {operations})"


def _has_direction(hook: Operation, parameters: Mapping[str, torch.Tensor]) -> bool:
    return not isinstance(hook, ProjectOutEdit) or bool(parameters[hook.vector].count_nonzero())


def _hooks(hooks: Sequence[Operation | Mapping[str, Any]], lines: Lines | None = None) -> tuple[Operation, ...]:
    if not 1 <= len(hooks) <= _MOST_HOOKS:
        raise InvalidPlan(f"a plan has 1 to {_MOST_HOOKS} hooks, and this one {len(hooks)}")
    given = [dict(hook) if isinstance(hook, Mapping) else hook for hook in hooks]
    try:
        return _HOOKS.validate_python(given)
    except ValidationError as error:
        raise InvalidPlan(mistakes_in_hooks(error, given, lines)) from error


def _file(facts: Any, lines: Lines | None = None) -> _File:
    try:
        return _File.model_validate(facts)
    except ValidationError as error:
        raise InvalidPlan(mistakes_in_file(error, _File, facts, lines)) from error


def _read(path: Path) -> tuple[dict[str, Any], Lines]:
    with path.open("rb") as file:
        text = file.read(LARGEST + 1)
    try:
        return parse(text), Lines(text)
    except ValueError as error:
        raise InvalidPlan(f"it {error}") from error


def _read_parameters(path: Path) -> dict[str, torch.Tensor]:
    if path.is_symlink() or not path.is_file():
        raise InvalidPlan(f"its parameters {path.name!r} are not a plain file in its own directory")
    if path.stat().st_size > _MOST_PARAMETERS:
        raise InvalidPlan(f"its parameters are more than {_MOST_PARAMETERS:,} bytes")
    return {name: value.clone() for name, value in read_shard(path).items()}
