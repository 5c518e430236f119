"""The hooks that fill a cache: the function behind them, and what a point runs for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from hookframe.core.cache.sink import AS_IS, CacheSink
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.gradient import GradientAttachment, begin_run
from hookframe.core.torch_compat.dynamo import traced_as
from hookframe.errors import ReplicaCacheError

if TYPE_CHECKING:
    import torch

    from hookframe.core.values.protocols import Point

__all__ = ["NOWHERE", "RESTING", "CachingAttachment", "CachingFunction", "DeferredGuards", "GradientCachingAttachment"]


class CachingFunction:
    """The hook function behind every caching hook: reads, stores, returns nothing.

    :ivar sink: where it stores.
    :ivar suffix: what is added to the point's name: ``""`` for activations, ``"_grad"`` for gradients.
    :ivar at_once: the sink's cache, if values are stored there as they come; None if there is more to do.
    :ivar private: True if no user can have it, so that what it stores in may be exchanged.
    :ivar late: for gradients of an operation that looks after its forward which activations were changed: the listeners.
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
        """Store in ``sink`` from here on."""
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
"""Where values go that come when an operation is over."""
NOWHERE.references = _Nowhere()
RESTING = CachingFunction(NOWHERE)
"""What a caching hook stores with while no operation uses it."""


class Deferred(Protocol):
    """A listener that looks at its tensor once the forward pass is over."""

    def look(self) -> None:
        """Guard the tensor if it was changed in place."""

    def forget(self) -> None:
        """Drop the tensor."""


class DeferredGuards:
    """The gradient listeners of one operation. They look at their tensors between its forward and its backward pass.

    :ivar over: True once the operation has ended; no listener is added then.
    """

    __slots__ = ("listeners", "over")

    def __init__(self) -> None:
        self.listeners: list[Deferred] = []
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
    :ivar version: how often that had been changed in place by then.
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
        if not aliases:
            function.sink.store(self.key, point, value)
        for alias in aliases:
            function.sink.store(f"{alias}{function.suffix}", point, value, known_as=self.key)
        return tensor

    def converts(self, conversion: object | None) -> None:
        """As for any hook; what has aliases is stored under each of them."""
        self.direct = conversion is None and not self.options.aliases

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``, which a user gave."""
        Attachment.arm(attachments, function)
        for attachment in attachments:
            attachment.function = function

    @staticmethod
    def feed(attachments: Sequence[Any], sink: CacheSink, late: DeferredGuards | None) -> None:
        """Let them store in ``sink``, with the function that they have, which is no user's."""
        attachments[0].function.store_in(sink, late)

    @staticmethod
    def disarm(attachments: Sequence[Any]) -> None:
        """Let go of the cache and of what was stored, and count anew."""
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
        """Keys of those whose tensor is still in the cache, and was changed in place since it was stored."""
        changed = [a for a in attachments if (last := a.last) is not None and last._version != a.version]
        return [a.key for a in changed if a.function.sink.cache.get(a.key) is a.last]


class CachingAttachment(_Caching):
    """A caching hook on the activation."""

    __slots__ = ()


class GradientCachingAttachment(_Caching, GradientAttachment):
    """A caching hook on the gradient."""

    __slots__ = ()

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``; the graphs of operations that are over call them no more."""
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
