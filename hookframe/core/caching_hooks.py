"""The hooks that feed a cache: what a point runs for them, and what they know of the values that they stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.cache_sink import NOWHERE, RESTING, CachingFunction
from hookframe.core.gradients import GradientAttachment, begin_run
from hookframe.core.handles import Attachment
from hookframe.core.tracing import traced_as
from hookframe.errors import ReplicaCacheError

if TYPE_CHECKING:
    import torch

    from hookframe.core.cache_sink import CacheSink
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.two_way_caching import LateGuards

__all__ = ["CachingAttachment", "GradientCachingAttachment"]


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

    def _traced(self, point: HookPoint, tensor: Any) -> Any:
        self.fired = 1
        return self._store(point, tensor)

    @traced_as(_traced)
    def fire(self, point: HookPoint, tensor: Any) -> Any:
        """Store ``tensor``; return it.

        :raises ReplicaCacheError: if the point is a replica of the one that the hook was attached to.
        :raises ActivationTypeError: if it is no tensor.
        """
        self.fired += 1
        if point is not self.point:
            raise _replica(self.key)
        cache = self.function.at_once
        if cache is None or not self.plain:
            return self._store(point, tensor)
        try:
            value = tensor.detach() if tensor.requires_grad else tensor
            self.version = value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode, which has no version
            return self._store(point, tensor)
        cache[self.key] = self.last = value
        return tensor

    def _store(self, point: HookPoint, tensor: Any) -> Any:
        self.last = None
        conversion, function = point.hook_conversion, self.function
        value = tensor if conversion is None else conversion.convert(tensor)
        aliases = self.terms.aliases
        if not aliases:
            function.sink.store(self.key, point, value)
        for alias in aliases:
            function.sink.store(f"{alias}{function.suffix}", point, value, known_as=self.key)
        return tensor

    def converts(self, conversion: object | None) -> None:
        """As for any hook; what has aliases is stored under each of them."""
        self.plain = conversion is None and not self.terms.aliases

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``, which a user gave."""
        Attachment.arm(attachments, function)
        for attachment in attachments:
            attachment.function = function

    @staticmethod
    def feed(attachments: Sequence[Any], sink: CacheSink, late: LateGuards | None) -> None:
        """Let them store in ``sink``, with the function that they have, which is no user's."""
        attachments[0].function.store_in(sink, late)

    @staticmethod
    def disarm(attachments: Sequence[Any]) -> None:
        """Let go of the cache and of what was stored, and count anew."""
        own: CachingFunction = attachments[0].function
        if own.private:
            own.store_in(NOWHERE)
        else:
            attachments[0].terms.user_hook = RESTING
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
    def feed(attachments: Sequence[Any], sink: CacheSink, late: LateGuards | None) -> None:
        """As :meth:`arm`, with the function that they have."""
        _Caching.feed(attachments, sink, late)
        begin_run(attachments)


def _replica(key: str) -> ReplicaCacheError:
    return ReplicaCacheError(
        f"{key!r} is being cached on a replica of the model (as DataParallel makes them), and each replica would "
        "overwrite the others' values: run the model itself, without DataParallel"
    )
