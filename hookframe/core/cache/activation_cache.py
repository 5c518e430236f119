"""The dict that a caching run fills: look-ups by short names and globs, and a report on what it holds."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import torch

from hookframe.admission.above import above
from hookframe.admission.globs import Glob
from hookframe.core.cache.lookup import called_so, find_short, fitting_short, is_glob, layers_called, matching
from hookframe.core.values.text import folded
from hookframe.errors import ActivationShapeError, UnknownActivation

if TYPE_CHECKING:
    from hookframe.core.values.types import DeviceType

__all__ = ["ActivationCache", "CacheReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """What a cache holds, what was left out of it, and what went stale.

    :ivar model: the name of the model's class; ``"?"`` if the cache was made by hand.
    :ivar stored: how many tensors it holds.
    :ivar nbytes: their bytes.
    :ivar skipped: name → reason, for points that a filter swept up and that were left out.
    :ivar stale: keys whose tensor was changed in place after it was cached.
    """

    model: str
    stored: int
    nbytes: int
    skipped: dict[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.stored} activations of {self.model}, {self.nbytes:,} bytes"]
        lines += [f"left out {line}" for line in folded(self.skipped)]
        lines += [f"stale {key}: changed in place after it was cached" for key in self.stale]
        return "\n".join(lines)


class ActivationCache(dict[str, torch.Tensor]):
    """Name of the hook point → detached activation, in order of execution; gradients under ``name + "_grad"``.

    A look-up takes the name itself, a short name with a layer (``cache["resid_post", 3]``, ``cache["scale", 3, "ln1"]``,
    ``cache["resid_post", -1]`` for the last layer), a short name alone where there is one such point (``cache["embed"]``),
    or a glob on the parts of names (``cache["blocks.*.attn.hook_?"]``), which gives a cache with what it matches. Where a
    point has several names, any of them will do. ``in`` says whether a look-up succeeds; if not, ``get`` gives its
    default.

    :ivar stale: keys whose tensor was changed in place after it was cached.
    """

    stale: tuple[str, ...] = ()
    # made on first use: it is nearly always empty, and every run makes a cache
    _skipped: dict[str, str] | None = None
    _model: weakref.ref[Any] | None = None
    _saved: Any = None  # what the manifest says of the model, for a cache that was loaded

    @property
    def skipped(self) -> dict[str, str]:
        """Name → reason, for points that a filter swept up and that were left out."""
        if self._skipped is None:
            self._skipped = {}
        return self._skipped

    @skipped.setter
    def skipped(self, reasons: dict[str, str]) -> None:
        self._skipped = reasons

    if TYPE_CHECKING:  # at run time it is dict's own, which calls __missing__ if there is no such key

        def __getitem__(self, key: str | tuple[str, *tuple[int | str | None, ...]]) -> torch.Tensor:
            """See the class."""

    def __missing__(self, key: Any) -> Any:
        try:
            return self._looked_up(key)
        except UnknownActivation as error:
            left_out = [] if self._fitting(key, self._names()) else self._fitting(key, self.skipped)
            raise self._explained(error, left_out) from None

    def _looked_up(self, key: Any) -> Any:
        names = self._names()
        if isinstance(key, tuple) and 1 <= len(key) <= 3 and isinstance(key[0], str):
            return self._value_of(find_short(names, *key))
        if not isinstance(key, str):
            raise UnknownActivation(
                f"the cache cannot be looked up by {key!r}: use a name, (name, layer), (name, layer, part) or a glob"
            )
        if is_glob(key):
            return self.select(key)
        return self._value_of(self._known_as(key, names) or find_short(names, key))

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._answers(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value for ``key``, or ``default`` if nothing matches or the key is ambiguous."""
        return self[key] if key in self else default  # noqa: SIM401  # this is get

    def _answers(self, key: object) -> bool:
        """True if a look-up by ``key``, which is no key of the dict, succeeds."""
        if isinstance(key, str) and is_glob(key):
            return bool(self._fitting(key, self.keys() if "@" in key else self._names()))
        fitting = self._fitting(key, self._names())
        return len(fitting) == 1 and self._count_of(fitting[0]) == 1

    def _fitting(self, key: object, names: Collection[str]) -> list[str]:
        """The ``names`` that a look-up by ``key`` may mean."""
        if isinstance(key, tuple) and 1 <= len(key) <= 3:
            return fitting_short(names, *key)
        if not isinstance(key, str):
            return []
        if is_glob(key):
            return list(filter(Glob(key).matches, names))
        known = self._known_as(key, names)
        return fitting_short(names, key) if known is None else [known]

    def _known_as(self, key: str, names: Collection[str]) -> str | None:
        """The name of the point called ``key`` that is among ``names``."""
        others = () if self.model is None else self.model.synonyms_of(key)
        return next((name for name in (key, *others) if name in names), None)

    def _explained(self, error: UnknownActivation, left_out: Sequence[str]) -> UnknownActivation:
        """The error for a look-up that fails; with the reasons, if the points it means were left out."""
        reasons = "; ".join(folded({name: self.skipped[name] for name in left_out}))
        return UnknownActivation(f"the cache has none of it, as it was left out: {reasons}") if reasons else error

    def _count_of(self, name: str) -> int:
        """How many values there are under one of :meth:`_names`."""
        return 1

    def select(self, pattern: str) -> Self:
        """A cache with what a glob on the parts of names matches; the same as ``cache[pattern]``.

        :raises UnknownActivation: if it matches none.
        """
        return self._with((found, self[found]) for found in self._matching(pattern))

    def _names(self) -> Collection[str]:
        """The names that look-ups by short names and globs search."""
        return self.keys()

    def _value_of(self, name: str) -> torch.Tensor:
        return self[name]

    def _matching(self, pattern: str) -> list[str]:
        return matching(self, pattern)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together, each counted with its own elements."""
        return cached_bytes(self)

    @property
    def report(self) -> CacheReport:
        """What is known about this cache, as a value that prints as text."""
        return CacheReport(
            model=self._model_name(),
            stored=len(self),
            nbytes=self.nbytes,
            skipped=dict(self.skipped),
            stale=self.stale,
        )

    @property
    def model(self) -> Any:
        """The model whose activations these are; None if it is gone, or was never known."""
        return None if self._model is None else self._model()

    def came_from(self, model: Any) -> Self:
        """Remember the model, without keeping it alive; returns the cache."""
        self._model = weakref.ref(model)
        return self

    def stack(self, name: str, part: str | None = None) -> torch.Tensor:
        """One activation of every layer, stacked: ``[layer, ...]``, in the order of layers.

        :param name: its short name, such as ``"resid_post"``.
        :param part: another part of the names, such as ``"attn"``, where the short name is not enough.
        :raises UnknownActivation: if no layer has it.
        :raises ActivationShapeError: if its shape, dtype or device is not the same in each layer.
        """
        try:
            called = layers_called(self._names(), name, part)
        except UnknownActivation as error:
            raise self._explained(error, called_so(self.skipped, name, part)) from None
        values = {key: self._value_of(key) for key in called}
        kinds = {(tuple(value.shape), value.dtype, value.device) for value in values.values()}
        if len(kinds) > 1:
            shown = ", ".join(f"{key!r}: {list(v.shape)} {v.dtype} {v.device}" for key, v in list(values.items())[:4])
            raise ActivationShapeError(
                f"{name!r} cannot be stacked, as its layers differ: {shown}; stack those that agree by hand"
            )
        return torch.stack([*values.values()])

    def to(self, device: DeviceType | torch.dtype = None, dtype: torch.dtype | None = None) -> Self:
        """A cache with every tensor on ``device`` and, where it is of floating point, in ``dtype``.

        A dtype may be the first argument, as for tensors. Tensors that need no change are shared with this cache.
        """
        place, kind = (None, device) if isinstance(device, torch.dtype) else (device, dtype)
        return self._with((key, _moved(value, place, kind)) for key, value in self.items())

    def apply(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        """A cache with ``function(tensor)`` for each tensor."""
        return self._with((key, function(value)) for key, value in self.items())

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the cache into the directory ``path``, as safetensors with a manifest; see :meth:`load`.

        The directory appears whole, or not at all.

        :param overwrite: replace a cache that was saved there before.
        :raises CacheFileError: if something is there already, or cannot be written; nothing was changed.
        """
        above("save_cache", self, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: DeviceType = None, verify: bool = False) -> ActivationCache:
        """Read a cache that :meth:`save` wrote. Runs no code from the files, and reads no file outside ``path``.

        :param device: where to put the tensors; None to map them from the files, which takes memory only for what is
            read. The files must then stay unchanged.
        :param verify: read every file, and compare it with its digest.
        :raises CacheFileError: if ``path`` is no saved cache, or a file in it is not what the manifest says.
        """
        cache: ActivationCache = above("load_cache", path, device=device, verify=verify)
        return cache

    def _with(self, items: Iterable[tuple[str, torch.Tensor]]) -> Self:
        made = type(self)(items)
        made.__dict__.update(self.__dict__)
        made.skipped = dict(self.skipped)
        held = made.keys()
        made.stale = tuple(key for key in self.stale if key in held)
        return made

    def copy(self) -> Self:
        """A cache with the same tensors."""
        return self._with(self.items())

    def _model_name(self) -> str:
        if self._saved is not None:
            return str(self._saved.model.kind)
        return "?" if self.model is None else type(getattr(self.model, "forward_module", self.model)).__name__

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return _remade, (type(self), dict(self), self.__getstate__())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None}

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key!r}: {list(value.shape)}" for key, value in list(self.items())[:4])
        more = f", … {len(self) - 4} more" if len(self) > 4 else ""
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        stale = f", {len(self.stale)} stale" if self.stale else ""
        return f"{type(self).__name__}({{{shapes}{more}}}, {self.nbytes:,} bytes{skipped}{stale})"

    def _repr_html_(self) -> str:
        html: str = above("cache_html", self)
        return html


def _moved(value: torch.Tensor, device: DeviceType, dtype: torch.dtype | None) -> torch.Tensor:
    return value.to(device=device, dtype=dtype if value.is_floating_point() else None)


_nbytes = attrgetter("nbytes")


def cached_bytes(cache: dict[str, torch.Tensor]) -> int:
    """Bytes of the tensors in ``cache``."""
    try:
        return sum(map(_nbytes, cache.values()))
    except (AttributeError, RuntimeError):  # a user put something else there, or a sparse tensor
        return sum(map(bytes_of, cache.values()))


def bytes_of(value: Any) -> int:
    """Bytes of a tensor's elements; 0 for anything else."""
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0


def _remade(kind: type[ActivationCache], items: dict[str, torch.Tensor], state: dict[str, Any]) -> ActivationCache:
    made = kind(items)
    made.__dict__.update(state)
    return made
