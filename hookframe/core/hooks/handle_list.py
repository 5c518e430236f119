"""The lists ``point.fwd_hooks`` and ``point.bwd_hooks``: always what is attached, and edits that drop handles detach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hookframe.core.hooks.attachment import Attachment, HookHandle

if TYPE_CHECKING:
    from hookframe.admission.request import Direction
    from hookframe.core.values.protocols import Point

__all__ = ["HandleList"]


class HandleList(list[HookHandle]):
    """The handles at one point and direction, in call order, as they are whenever somebody looks.

    Every edit of a list works, as long as it only drops handles: their hooks are then removed, after the same review as by
    ``point.remove_hooks()``. To remove a handle whose hook is off already changes nothing.

    :raises TypeError: from an edit that would add a handle, or change the order; nothing was changed.
    :raises HookDenied: from an edit that drops hooks which a plugin refuses to let go of; all stay.
    """

    __slots__ = ("_direction", "_point")

    def __init__(self, point: Point, direction: Direction) -> None:
        self._point = point
        self._direction = direction
        super().__init__(self.copy())  # for C code, such as [] + handles, which looks at the items themselves

    def copy(self) -> list[HookHandle]:
        """A plain list of the handles as of now."""
        return [attachment.handle for attachment in self._point.fitting(self._direction, True, None)]

    def __len__(self) -> int:
        return len(self._point.fitting(self._direction, True, None))

    def __iter__(self) -> Iterator[HookHandle]:
        return iter(self.copy())

    def remove(self, handle: HookHandle) -> None:
        """Detach the hook of ``handle``.

        :raises ValueError: if it was never attached here.
        """
        hook = getattr(handle, "hook", None)
        if handle in self.copy():
            self._point.drop([hook])
        elif not isinstance(hook, Attachment) or (hook.point, hook.direction) != (self._point, self._direction):
            raise ValueError(f"{handle!r} is not attached here")

    def keep(self, handles: list[HookHandle]) -> None:
        """Remove all hooks but those of ``handles``, which are some of those here, in the same order.

        :raises TypeError: if they are not; nothing was changed.
        """
        kept, dropped = iter(handles), []
        wanted = next(kept, None)
        for handle in self.copy():
            if handle is wanted:
                wanted = next(kept, None)
            else:
                dropped.append(handle.hook)
        if wanted is not None:
            raise TypeError(
                f"{wanted!r} cannot be put into the list of the {self._direction} hooks at {self._point.name!r}, from which "
                "handles can only be dropped: attach hooks with add_hook()"
            )
        if dropped:
            self._point.drop(dropped)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return list, (self.copy(),)


def _reading(name: str) -> Callable[..., Any]:
    operation = getattr(list, name)

    def read(self: HandleList, *args: Any) -> Any:
        return operation(self.copy(), *[arg.copy() if isinstance(arg, HandleList) else arg for arg in args])

    return read


def _editing(name: str) -> Callable[..., Any]:
    operation = getattr(list, name)

    def edit(self: HandleList, *args: Any, **options: Any) -> Any:
        left = self.copy()
        result = operation(left, *args, **options)
        self.keep(left)
        return self if result is left else result

    return edit


for _name in (
    "__contains__", "__getitem__", "__add__", "__mul__", "__rmul__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__",
    "__reversed__", "__repr__", "count", "index",
):  # fmt: skip
    setattr(HandleList, _name, _reading(_name))
for _name in (
    "__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "clear", "extend", "insert", "pop", "reverse", "sort",
):  # fmt: skip
    setattr(HandleList, _name, _editing(_name))
