"""What a capture fills: the activations of many forwards, each with its step and call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch

from hookframe.admission.point_names import position_dim
from hookframe.capture.step import Step
from hookframe.core.cache.activation_cache import ActivationCache, bytes_of
from hookframe.core.cache.lookup import find_short, matching
from hookframe.errors import ActivationShapeError, CacheTooLarge, UnknownActivation

__all__ = ["CaptureKey", "Captured"]


class CaptureKey(NamedTuple):
    """Where a value comes from: the hook point, the forward, and which call of the point in that forward (from 0)."""

    name: str
    step: int = 0
    call: int = 0

    @property
    def key(self) -> str:
        """How the cache calls it once it holds more than one forward or call: ``name@step``, ``name@step:call``."""
        return f"{self.name}@{self.step}" + (f":{self.call}" if self.call else "")

    @classmethod
    def of(cls, key: str) -> CaptureKey:
        """The place that a key stands for."""
        name, _, where = key.partition("@")
        step, _, call = where.partition(":")
        return cls(name, int(step or 0), int(call or 0))


class Captured(ActivationCache):
    """The activations of any number of forwards.

    With one forward, in which each point was called once, keys are the points' names, as in any cache. As soon as
    there is more, every key says which value it means: ``name@step``, and ``name@step:call`` for further calls in the
    same step. A name that has several values by then is refused, never answered with one of them: ask :meth:`step`,
    :attr:`prompt`, :attr:`decode`, :meth:`sequence` or :meth:`rows`, or use the key itself.

    :ivar steps: the forwards, in order.
    :ivar pos_dims: name → the dimension that is the position, for points that say so.
    :ivar max_bytes: how much it may hold; None for any amount.
    """

    steps: list[Step]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = []
        self.pos_dims: dict[str, int] = {}
        self.max_bytes: int | None = None
        self._by_place = any("@" in key for key in self)
        self._calls: dict[str, int] = {}
        self.held = self.nbytes
        self.tally: Callable[[str, torch.Tensor], None] | None = None
        self.keep: Callable[[CaptureKey, torch.Tensor], bool] | None = None  # True: it will put it here later
        self.look: Callable[[], None] | None = None  # has cut() called, if there is something to cut

    def begin(self, step: Step) -> None:
        """A forward begins: what is stored from here on belongs to it."""
        self.steps.append(step)
        self._calls.clear()

    def cut(self, lost: int) -> None:
        """The key-value cache of the last forward has lost so many of the last positions since.

        If that is every position of the forward, or more, the caller goes on from another place in the text: another
        generation begins, and the forward is not cut.
        """
        if self.steps and lost < (self.steps[-1].length or 0):
            self.steps[-1] = replace(self.steps[-1], cut=lost)

    def __setitem__(self, name: str, value: torch.Tensor) -> None:
        """File ``value`` under the point ``name``, the current step and the next call of it.

        :raises CacheTooLarge: if it would take the cache beyond ``max_bytes``; it was not kept.
        """
        if self.tally is not None:  # an estimate is made: nothing is kept
            self.tally(name, value)
            return
        size = bytes_of(value)
        if self.max_bytes is not None and self.held + size > self.max_bytes:
            raise too_large(f"{name!r} with {size:,} bytes", self.held, self.max_bytes)
        if not self.steps:  # a part of the model was called by itself
            self.begin(Step(index=0))
        place = CaptureKey(name, len(self.steps) - 1, self._calls.get(name, 0))
        self._calls[name] = place.call + 1
        self.held += size
        if not self._by_place and (place.step or place.call):
            self._say_places()
        if self.keep is None or not self.keep(place, value):
            super().__setitem__(self.key_of(place), value)

    def key_of(self, place: CaptureKey) -> str:
        """The key that a value from ``place`` has now."""
        return place.key if self._by_place else place.name

    def put(self, place: CaptureKey, value: torch.Tensor) -> None:
        """Put the tensor from ``place`` where it belongs."""
        super().__setitem__(self.key_of(place), value)

    def _say_places(self) -> None:
        held = [(CaptureKey(name).key, value) for name, value in self.items()]
        self._by_place = True
        self.clear()
        self.update(held)

    def step(self, index: int) -> ActivationCache:
        """The activations of one forward, by the points' names (``name:call`` for further calls); negative from the last.

        :raises UnknownActivation: if there was no such forward.
        """
        if not -len(self.steps) <= index < len(self.steps):
            raise UnknownActivation(f"there is no step {index}: {len(self.steps)} forwards were captured")
        wanted = index % len(self.steps)
        made = ActivationCache()
        for key, value in self.items():
            place = CaptureKey.of(key)
            if place.step == wanted:
                made[f"{place.name}:{place.call}" if place.call else place.name] = value
        made.skipped, made._model, made._saved = dict(self.skipped), self._model, self._saved
        return made

    @property
    def prompt(self) -> ActivationCache:
        """The activations of the one forward that read a prompt.

        :raises UnknownActivation: if there were several, or none.
        """
        prompts = [step.index for step in self.steps if step.phase == "prompt"]
        if len(prompts) != 1:
            raise UnknownActivation(f"{len(prompts)} prompts were captured, in steps {prompts[:8]}: use step(index)")
        return self.step(prompts[0])

    @property
    def decode(self) -> list[ActivationCache]:
        """The activations of each forward that went on from a key-value cache."""
        return [self.step(step.index) for step in self.steps if step.phase == "decode"]

    @property
    def generations(self) -> list[list[int]]:
        """The steps that belong together: a prompt, and the forwards that went on from where it ended."""
        if self.look is not None:
            self.look()
        groups: list[list[int]] = []
        reached = 0
        for step in self.steps:
            if step.phase == "decode" and groups and step.past == reached:
                groups[-1].append(step.index)
            else:
                groups.append([step.index])
            reached = step.past + step.kept
        return groups

    def sequence(
        self, name: str, layer: int | None = None, part: str | None = None, *, generation: int | None = None
    ) -> torch.Tensor:
        """One activation of a prompt and of all that was generated from it, joined along the position.

        ``[batch, prompt + decoded, ...]``: what one forward over all these tokens would give. Drafts that assisted decoding
        rejected are not in it: see :attr:`Step.cut`. The look-up is that of ``cache[name, layer, part]``.

        :param generation: which of :attr:`generations`; needed if there are several, as after several prompts, or without a
            key-value cache, where each forward reads the whole text and the last one, -1, has it all.
        :raises UnknownActivation: if it is not there in each step, once; or if there are several generations and none was
            chosen.
        :raises ActivationShapeError: if it has not one value for each position, as attention patterns have not; or if a
            row is not the same text in each step, as in a beam search.
        """
        found = find_short(self._names(), name, layer, part)
        steps = self._generation(generation)
        return torch.cat(self._each(found, steps), dim=self._pos_dim(found))

    def rows(
        self, name: str, layer: int | None = None, part: str | None = None, *, generation: int | None = None
    ) -> list[torch.Tensor]:
        """:meth:`sequence` for each text of the batch without its padding: a list of ``[tokens, ...]``.

        Padding is what the attention masks of the forwards leave out. A text of a batch that has ended before the others is
        fed with padding that its mask does not leave out, by transformers' ``generate``: its row goes on to the end of the
        longest. Cut it by the length of the generated text.
        """
        found = find_short(self._names(), name, layer, part)
        joined = self.sequence(name, layer, part, generation=generation)
        dim = self._pos_dim(found) % joined.dim()
        if dim == 0:
            raise ActivationShapeError(f"{found!r} has shape {list(joined.shape)}: it has no dimension for the batch")
        real = self._real(self._generation(generation), joined.shape[0], joined.shape[dim])
        return [
            row.index_select(dim - 1, kept.nonzero()[:, 0].to(row.device))
            for row, kept in zip(joined, real, strict=True)
        ]

    def _generation(self, index: int | None) -> list[int]:
        groups = self.generations
        if index is None:
            if len(groups) > 1:
                raise self._several(groups)
            index = 0
        if not -len(groups) <= index < len(groups):
            raise UnknownActivation(f"there is no generation {index}: {len(groups)} were captured")
        moved = next((number for number in groups[index][1:] if self.steps[number].reordered), None)
        if moved is not None:
            raise ActivationShapeError(
                f"the rows of step {moved} go on from other rows of step {moved - 1}, as a beam search has it, so no sequence "
                f"can be made of them: take the values of each step, step({moved}), or generate with num_beams=1"
            )
        return groups[index]

    def _several(self, groups: list[list[int]]) -> UnknownActivation:
        first = [self.steps[group[0]] for group in groups]
        lengths = [step.length or 0 for step in first]
        without_cache = all(step.phase == "prompt" for step in self.steps) and lengths == sorted(set(lengths))
        remedy = (
            "; if they are one text that grows, as with use_cache=False, each forward reads all of it: generation=-1 is the "
            "whole, and with a key-value cache it is one generation"
            if without_cache
            else ""
        )
        shown = ", ".join(map(str, groups[:3])) + (f" … {groups[-1]}" if len(groups) > 3 else "")
        return UnknownActivation(
            f"{len(groups)} generations were captured, in the steps {shown}: say which one, generation=0 to "
            f"{len(groups) - 1}{remedy}"
        )

    def _real(self, steps: list[int], batch: int, length: int) -> torch.Tensor:
        """Which positions are no padding: bool ``[batch, pos]``."""
        whole = [self.steps[index] for index in steps]
        known = [step.positions[:, : step.kept] for step in whole if step.positions is not None]
        return torch.cat(known, dim=1) >= 0 if len(known) == len(whole) else torch.ones(batch, length, dtype=torch.bool)

    def _each(self, name: str, steps: list[int]) -> list[torch.Tensor]:
        """The values of ``name`` in ``steps``, each with one entry for each position that was not cut."""
        dim = self._pos_dim(name)
        values: list[torch.Tensor] = []
        for index in steps:
            value = dict.get(self, self.key_of(CaptureKey(name, index)))
            again = self._by_place and CaptureKey(name, index, 1).key in self.keys()
            if value is None or again:
                raise UnknownActivation(f"{name!r} has not one value in step {index}, so no sequence can be made of it")
            length = self.steps[index].length
            expected = (*values[0].shape[:dim], length, *values[0].shape[dim:][1:]) if values else None
            if (
                not -value.dim() <= dim < value.dim()
                or value.shape[dim] != length
                or expected not in (None, value.shape)
            ):
                raise ActivationShapeError(
                    f"{name!r} has shape {list(value.shape)} in step {index}, which has {length} positions: it cannot be "
                    "joined; take the values of each step"
                )
            values.append(value)
        return [value.narrow(dim, 0, self.steps[index].kept) for value, index in zip(values, steps, strict=True)]

    def _pos_dim(self, name: str) -> int:
        return self.pos_dims.get(name, position_dim(name))

    def _names(self) -> Collection[str]:
        return dict.fromkeys(CaptureKey.of(key).name for key in self)

    def _count_of(self, name: str) -> int:
        return len(self._keys_of(name))

    def _keys_of(self, name: str) -> list[str]:
        return [key for key in self if CaptureKey.of(key).name == name]

    def _value_of(self, name: str) -> torch.Tensor:
        keys = self._keys_of(name)
        if len(keys) != 1:
            shown = ", ".join(map(repr, keys[:3])) + (f" … {keys[-1]!r}" if len(keys) > 3 else "")
            raise UnknownActivation(
                f"{name!r} has {len(keys)} values: {shown}; use a key, step(index)[{name!r}], sequence({name!r}) or "
                f"rows({name!r})"
            )
        return self[keys[0]]

    def _matching(self, pattern: str) -> list[str]:
        if "@" in pattern:
            return matching(self, pattern)
        names = set(matching(self._names(), pattern))
        return [key for key in self if CaptureKey.of(key).name in names]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"tally": None, "keep": None, "look": None}

    def _with(self, items: Iterable[tuple[str, torch.Tensor]]) -> Self:
        made = super()._with(items)
        made.steps, made.pos_dims, made._calls = list(self.steps), dict(self.pos_dims), {}
        made.tally = made.keep = made.look = None
        return made


def too_large(what: str, held: int, most: int) -> CacheTooLarge:
    """The error for activations that do not fit into ``max_bytes``."""
    return CacheTooLarge(
        f"{what} on top of {held:,} bytes would take the cache beyond max_bytes={most:,}: capture fewer points or "
        "positions, or allow more"
    )
