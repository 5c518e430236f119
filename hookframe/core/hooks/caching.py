"""The hooks that fill a cache: the function behind them, and what a point runs for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from hookframe.core.cache.sink import AS_IS, CacheSink
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.gradient import Alias, GradientAttachment, begin_run, gradient_tap, in_functorch
from hookframe.core.hooks.gradient_guard import GradientGuard, Seen
from hookframe.core.torch_compat.dynamo import traced_as
from hookframe.errors import ReplicaCacheError

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point

__all__ = [
    "NOWHERE",
    "RESTING",
    "BothWays",
    "CachingAttachment",
    "CachingFunction",
    "DeferredGuards",
    "GradientCachingAttachment",
]


class CachingFunction:
    """The hook function behind every caching hook: reads, stores, returns nothing.

    :ivar sink: where it stores.
    :ivar suffix: what is added to the point's name: ``""`` for activations, ``"_grad"`` for gradients.
    :ivar at_once: the sink's cache, if values go there unchanged; None if the sink has more to do.
    :ivar private: True if no user can hold it, so that its sink may be replaced.
    :ivar late: for gradients: the guards that their operation defers until after the forward pass; None if it does not.
    """

    __slots__ = ("at_once", "late", "private", "sink", "suffix")

    def __init__(
        self,
        sink: CacheSink,
        suffix: str = "",
        *,
        private: bool = False,
        late: DeferredGuards | None = None,
    ) -> None:
        self.suffix = suffix
        self.private = private
        self.store_in(sink, late)

    def store_in(self, sink: CacheSink, late: DeferredGuards | None = None) -> None:
        """Store in ``sink`` from now on."""
        self.sink = sink
        self.late = late
        self.at_once = sink.cache if sink.as_is and sink.clone == "never" else None

    def __call__(self, tensor: Any, *, hook: Any) -> None:
        """Store ``tensor`` under the name of ``hook``."""
        self.sink.store(f"{hook.name}{self.suffix}", hook, tensor)


class _Nowhere(dict[str, Any]):
    """A dict that keeps nothing."""

    def __setitem__(self, key: str, value: Any) -> None:
        pass


NOWHERE = CacheSink(_Nowhere(), AS_IS)
"""Drops values that come after their operation is over."""
NOWHERE.references = _Nowhere()
RESTING = CachingFunction(NOWHERE)
"""What a caching hook stores with while no operation uses it."""


class DeferredGuards:
    """The gradient listeners of one operation. They check their tensors between its forward and its backward pass.

    :ivar over: True once the operation has ended; no listener is added then.
    """

    __slots__ = ("listeners", "over")

    def __init__(self) -> None:
        self.listeners: list[_Listener] = []
        self.over = False

    def look(self) -> None:
        """Guard the tensors that were changed in place."""
        for listener in self.listeners:
            listener.look()

    def end(self) -> None:
        """Drop all tensors and listeners."""
        self.over = True
        for listener in self.listeners:
            listener.forget()
        self.listeners = []


class _Caching(Attachment):
    """What caching hooks have in common.

    :ivar key: the key in the cache.
    :ivar last: the tensor that was stored last, if it is the model's own; None if it cannot go stale.
    :ivar version: the version counter of ``last`` when it was stored.
    """

    __slots__ = ()
    key: str
    last: torch.Tensor | None
    version: int
    caches = True
    wrappable = False
    function: CachingFunction

    def _traced(self, point: Point, tensor: Any) -> Any:
        self.fired = 1
        return self._store(point, tensor)

    @traced_as(_traced)
    def fire(self, point: Point, tensor: Any) -> Any:
        """Store ``tensor``; return it.

        :raises ReplicaCacheError: if the point is a replica of the one that the hook was attached to.
        :raises ActivationTypeError: if it is no tensor.
        """
        self.fired += 1
        if point is not self.point:
            raise _replica(self.key)
        cache = self.function.at_once
        if cache is None or not self.direct:
            return self._store(point, tensor)
        try:
            value = tensor.detach() if tensor.requires_grad else tensor
            self.version = value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode, which has no version
            return self._store(point, tensor)
        cache[self.key] = self.last = value
        return tensor

    def _store(self, point: Point, tensor: Any) -> Any:
        self.last = None
        conversion, function = point.hook_conversion, self.function
        value = tensor if conversion is None else conversion.convert(tensor)
        aliases = self.options.aliases
        if aliases is None:
            function.sink.store(self.key, point, value)
        for alias in aliases or ():
            function.sink.store(f"{alias}{function.suffix}", point, value, known_as=self.key)
        return tensor

    def converts(self, conversion: object | None) -> None:
        """As for any hook; a value with aliases is stored under each of them."""
        self.direct = conversion is None is self.options.aliases

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``, which a user gave."""
        Attachment.arm(attachments, function)
        for attachment in attachments:
            attachment.function = function

    @staticmethod
    def feed(attachments: Sequence[Any], sink: CacheSink, late: DeferredGuards | None) -> None:
        """Let them store in ``sink``, with the function that they have, which no user holds."""
        attachments[0].function.store_in(sink, late)

    @staticmethod
    def disarm(attachments: Sequence[Any]) -> None:
        """Drop the cache and what was stored, and reset the counts."""
        own: CachingFunction = attachments[0].function
        if own.private:
            own.store_in(NOWHERE)
        else:
            attachments[0].options.user_hook = RESTING
            for attachment in attachments:
                attachment.function = RESTING
        for attachment in attachments:
            attachment.last = None
            attachment.fired = 0

    @staticmethod
    def stale(attachments: Sequence[Any]) -> list[str]:
        """Keys of the tensors that are still in the cache, and were changed in place since they were stored."""
        changed = [a for a in attachments if (last := a.last) is not None and last._version != a.version]
        return changed and [a.key for a in changed if a.function.sink.cache.get(a.key) is a.last]


class CachingAttachment(_Caching):
    """A caching hook on the activation."""

    __slots__ = ()


class GradientCachingAttachment(_Caching, GradientAttachment):
    """A caching hook on the gradient."""

    __slots__ = ()

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``; graphs of finished operations no longer call them."""
        _Caching.arm(attachments, function)
        begin_run(attachments)

    @staticmethod
    def feed(attachments: Sequence[Any], sink: CacheSink, late: DeferredGuards | None) -> None:
        """As :meth:`arm`, with the function that they have."""
        _Caching.feed(attachments, sink, late)
        begin_run(attachments)


def _replica(key: str) -> ReplicaCacheError:
    return ReplicaCacheError(
        f"{key!r} is being cached on a replica of the model (as DataParallel makes them), and each replica would "
        "overwrite the others' values: run the model itself, without DataParallel"
    )


class BothWays:
    """The only step at a point with one caching hook on the activation and one on the gradient.

    :ivar attachment: the hook on the activation.
    :ivar gradient: the hook on the gradient.
    """

    __slots__ = ("attachment", "gradient")

    def __init__(self, attachment: CachingAttachment, gradient: GradientCachingAttachment) -> None:
        self.attachment = attachment
        self.gradient = gradient

    def _apart(self, point: Point, tensor: Any) -> Any:
        return gradient_tap.fire(point, self.attachment.fire(point, tensor))

    @traced_as(_apart)
    def fire(self, point: Point, tensor: Any) -> Any:
        """Store ``tensor``; return an alias whose gradient is stored, or the tensor itself if it needs no gradient."""
        attachment, gradient = self.attachment, self.gradient
        late, cache = gradient.function.late, attachment.function.at_once
        if late is None or late.over or cache is None or not attachment.direct or in_functorch():
            return self._apart(point, tensor)
        try:
            if point is not attachment.point or not tensor.requires_grad or not torch.is_grad_enabled():
                return self._apart(point, tensor)
            value = tensor.detach()
            version = value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode
            return self._apart(point, tensor)
        attachment.fired += 1
        attachment.version = version
        cache[attachment.key] = attachment.last = value
        listener = _Listener(gradient, value, version, tensor)
        late.listeners.append(listener)
        return _apply(tensor, listener)


class _Listener:
    """Stores one gradient, and keeps what a guard would need until the operation is over.

    :ivar value: shares memory and version counter with the tensor that went in; None once the operation is over.
    :ivar seen: what a guard has to know of the tensor that went in.
    """

    __slots__ = ("attachment", "generation", "guard", "seen", "value")

    def __init__(
        self, attachment: GradientCachingAttachment, value: torch.Tensor, version: int, tensor: torch.Tensor
    ) -> None:
        self.attachment = attachment
        self.generation = attachment.generation
        self.value: torch.Tensor | None = value
        self.guard: GradientGuard | None = None
        view = tensor._is_view()
        self.seen = Seen.of(tensor) if view else Seen(version, tensor.grad_fn, tensor.output_nr, None)

    def look(self) -> None:
        """Guard the gradients of the tensor that went in, if it was changed in place since."""
        value = self.value
        if value is not None and value._version != self.seen.version and self.guard is None:
            self.guard = GradientGuard(value, self.attachment.point.name, self.seen)

    def forget(self) -> None:
        """Drop the tensors."""
        self.value = None
        self.seen = _FORGOTTEN

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self.look()
        attachment = self.attachment
        if attachment.generation == self.generation:
            attachment.fire(attachment.point, gradient)
        if self.guard is not None:
            self.guard.passes(gradient)
        return gradient


class _Alias(Alias):
    """An alias whose ``backward`` the engine calls directly, as set below."""


# as in gradient.py; and the engine calls ``backward`` itself, without torch's search for the method to call
_apply: Any = super(torch.autograd.Function, _Alias).apply
_Alias._backward_cls.apply = _Alias.backward  # type: ignore[attr-defined]  # torch makes it
_FORGOTTEN = Seen(0, None, 0, None)
