"""Copies of CUDA tensors in the CPU's memory, made while the GPU works on.

``tensor.to("cpu")`` waits until the GPU has finished its queue, then copies through a small buffer of the driver's.
:class:`HostCopier` does neither: it clones the value on the GPU, which is fast and keeps it as it is now, and lets a stream
of its own copy the clone into pinned memory while the model goes on::

    copier = HostCopier()
    try:
        kept = copier.copy(activation)  # returns at once; the contents of ``kept`` are undefined yet
    finally:
        copier.finish()  # now ``kept`` holds the values

The result is an ordinary tensor on the CPU, which owns its memory.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque

import torch

__all__ = ["HostCopier", "PinnedMemory"]

_AHEAD = 1 << 30


class PinnedMemory:
    """Counts the pinned memory that users of this process hold.

    Pinned memory cannot be swapped out, so there is a limit. Copies beyond it go to ordinary memory: slower, but as right.

    :ivar limit: how many bytes there may be at once.
    :ivar used: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Count ``size`` bytes as used; False, with nothing counted, if that exceeds the limit."""
        with self._lock:
            if self.used + size > self.limit:
                return False
            self.used += size
            return True

    def give_back_with(self, owner: object, size: int) -> None:
        """Count ``size`` bytes as free once ``owner`` is gone."""
        weakref.finalize(owner, self.give_back, size).atexit = False

    def give_back(self, size: int) -> None:
        """Count ``size`` bytes as free."""
        with self._lock:
            self.used -= size


def _default_limit() -> int:
    """A quarter of the machine's memory, 8 GiB at most."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a system that does not say
        total = 8 << 30
    return min(total // 4, 8 << 30)


pinned = PinnedMemory(_default_limit())
"""The process's own counter, for every copier that is given no other."""


class HostCopier:
    """Copies values of one operation to the CPU; for one thread at a time.

    :param memory: what it may pin.
    :param ahead: how many bytes of clones may wait on the GPU to be copied; beyond that, :meth:`copy` waits for the oldest.
    """

    def __init__(self, *, memory: PinnedMemory | None = None, ahead: int = _AHEAD) -> None:
        self._memory = pinned if memory is None else memory
        self._ahead = ahead
        self._streams: dict[torch.device, torch.cuda.Stream] = {}
        self._under_way: deque[tuple[torch.cuda.Event, torch.Tensor]] = deque()
        self._waiting = 0

    def copy(self, value: torch.Tensor, *, owned: bool = False) -> torch.Tensor:
        """A CPU tensor that, once :meth:`finish` has returned, holds what ``value``, a CUDA tensor, holds now.

        Its shape and dtype are those of ``value``; its strides too, if the elements of ``value`` fill its memory.

        :param owned: True if nothing else refers to ``value``, so that it needs no clone.
        :raises RuntimeError: from torch, if there is no memory; copies begun before go on.
        """
        source = value if owned else value.detach().clone()
        size = source.numel() * source.element_size()
        if not self._memory.take(size):
            return source.to("cpu")
        try:
            target = torch.empty_like(source, device="cpu", pin_memory=True)
        except BaseException:
            self._memory.give_back(size)
            raise
        self._memory.give_back_with(target, size)
        self._begin(source, target)
        self._waiting += size
        while self._under_way and (self._waiting > self._ahead or self._under_way[0][0].query()):  # type: ignore[no-untyped-call]  # torch
            self._end_oldest()
        return target

    def _begin(self, source: torch.Tensor, target: torch.Tensor) -> None:
        device = source.device
        side = self._streams.get(device)
        if side is None:
            side = self._streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            target.copy_(source, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch
            done.record(side)
        self._under_way.append((done, source))  # until then the clone's memory must not be used for anything else

    def _end_oldest(self) -> None:
        done, source = self._under_way.popleft()
        done.synchronize()
        self._waiting -= source.numel() * source.element_size()

    def finish(self) -> None:
        """Wait until everything is copied, and drop the clones; can be called after an exception, and again."""
        while self._under_way:
            self._end_oldest()
