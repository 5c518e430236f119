"""One attachment of one function to one hook point, and the handle that the user holds on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from torch.compiler import is_dynamo_compiling

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.recomputing import look_for_recomputing, may_be_checkpointed, note_edit
from hookframe.core.return_guard import ReturnRules, check_return
from hookframe.core.terms import Owner, Terms
from hookframe.core.tracing import traced_as

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.scope import Scope
    from hookframe.core.types import HookFunction

__all__ = ["Attachment", "HandleList", "HookHandle"]


@dataclass(eq=False)
class HookHandle:
    """What one attachment returns, and what removes it.

    :ivar hook: has ``remove()``.
    :ivar is_permanent: True if ordinary resets leave the hook alone.
    :ivar context_level: the nesting level of the context it belongs to, None outside of contexts.
    :ivar user_hook: the function, as the user gave it.
    """

    hook: Any
    is_permanent: bool = False
    context_level: int | None = None
    user_hook: HookFunction | None = None

    def remove(self) -> None:
        """Detach the hook; a second call does nothing."""
        self.hook.remove()


class HandleList(list[HookHandle]):
    """The handles at one point and direction at the moment of asking; it cannot be edited, since that would do nothing."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this list only shows the hooks at a point: use add_hook() to add, and a handle's remove()")

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (list(self),)


def _of_terms(name: str) -> Any:
    return property(attrgetter(f"terms.{name}"))


class _Hot:
    """What is read and written when an attachment fires: a base of its own, so that it lies together in memory."""

    __slots__ = ("fired", "function", "key", "last", "plain", "point", "run", "version")


class Attachment(_Hot):
    """One function at one hook point: what the point runs, and what is known about it.

    The subclasses say how a tensor passes through (:meth:`fire`).

    :ivar terms: what it has in common with the function's attachments at other points.
    :ivar function: what is called in place of the user's function, if a plugin or an option has put something around it; a
        caching hook has its function there.
    :ivar plain: True if the function gets the tensor and the point as they are.
    :ivar view: what the function gets as ``hook``, if not the point itself.
    :ivar fired: how often it ran; inside compiled code, 1 once it ran at all.
    :ivar error: the exception that it raised last, until somebody has reported it.
    :ivar run: which of its operations it is at work for, as a number; 0 once it was removed.
    """

    __slots__ = ("__weakref__", "_handle", "error", "exact", "name", "terms", "view")

    caches = False
    """True for hooks that store what they see; a copy of the model leaves them behind."""
    wrappable = True
    """True for hooks that are called as ``hook(tensor, hook=point)``, so that plugins can wrap them."""

    aliases: tuple[str, ...] = _of_terms("aliases")
    direction: Direction = _of_terms("direction")
    level: int | None = _of_terms("level")
    owner: Owner | None = _of_terms("owner")
    permanent: bool = _of_terms("permanent")
    prepend: bool = _of_terms("prepend")
    read_only: bool = _of_terms("read_only")
    rules: ReturnRules | None = _of_terms("rules")
    scope: Scope | None = _of_terms("scope")
    user_hook: HookFunction = _of_terms("user_hook")

    def __init__(
        self, point: HookPoint, terms: Terms, name: str | None = None, exact: bool = True, key: str | None = None
    ) -> None:
        """Plan ``terms`` at ``point``.

        :param key: what it stores under, if it does.
        """
        self.point = point
        self.terms = terms
        self.function: Any = terms.user_hook if self.caches else None
        self.name = name
        self.exact = exact
        self.view: Any = None
        self.plain = point.hook_conversion is None
        self.fired = 0
        self.error: BaseException | None = None
        self.run = 1
        self.key = key
        self.last: Any = None
        self.version = 0
        self._handle: HookHandle | None = None

    @property
    def called(self) -> HookFunction:
        """What is called: the user's function, or what was put around it."""
        function: HookFunction | None = self.function
        return self.terms.user_hook if function is None else function

    def put_around(self, wrapper: HookFunction) -> None:
        """Call ``wrapper`` from here on; it calls what was called so far."""
        self.function = wrapper
        self.terms.wrapped = True

    @property
    def has_fired(self) -> bool:
        """True if it ran at all in this operation."""
        return self.fired > 0

    @property
    def handle(self) -> HookHandle:
        """What the user holds; made when somebody first asks for it."""
        handle = self._handle
        if handle is None:
            if self.owner is not None:
                self.owner.held = True
            handle = self._handle = HookHandle(self, self.permanent, self.level, self.user_hook)
        return handle

    @property
    def attachment(self) -> Attachment:
        """Itself: among what a point runs, the steps that stand for a hook say which."""
        return self

    @property
    def dressed(self) -> bool:
        """True if something goes around the function, such as a check that it only reads."""
        return not self.caches and (
            bool(self.aliases) or self.read_only or (self.rules is not None and self.rules.costly)
        )

    @property
    def label(self) -> str:
        """The point's name for messages."""
        return self.name or self.point.name or "?"

    def _traced(self, point: HookPoint, tensor: Any) -> Any:
        self.fired = 1  # counting would make dynamo compile anew for each number
        try:
            return self._fire_converted(point, tensor)  # or not converted, if there is nothing to do it
        except BaseException as error:
            self.note(error)
            raise

    @traced_as(_traced)
    def fire(self, point: HookPoint, tensor: Any) -> Any:
        """Run the function on ``tensor`` at ``point``; return what goes on."""
        before = self.fired
        self.fired = before + 1
        try:
            if not self.plain:
                return self._fire_converted(point, tensor)
            function = self.function
            if function is None:
                function = self.terms.user_hook
            result = function(tensor, hook=point)
            if result is None:
                if before:
                    look_for_recomputing(self)
                return tensor
            self._accept(tensor, result, point)
            return result
        except BaseException as error:
            self.note(error)
            raise

    def _fire_converted(self, point: HookPoint, tensor: Any) -> Any:
        conversion, shown = point.hook_conversion, self.view or point
        seen = tensor if conversion is None else conversion.convert(tensor)
        result = self.called(seen, hook=shown)
        if result is None:
            return tensor
        self._accept(seen, result, shown)
        return result if conversion is None else conversion.revert(result)

    def _accept(self, seen: Any, result: Any, shown: Any) -> None:
        """Check what the function returned for ``seen``, and note that it edits where that has to be done again."""
        terms = self.terms
        if terms.rules is not None:
            check_return(terms.rules, seen, result, terms.user_hook, shown)
        if not is_dynamo_compiling() and may_be_checkpointed():
            note_edit(self, same=result is seen)

    def converts(self, conversion: object | None) -> None:
        """The point has another conversion, or none, from here on."""
        self.plain = conversion is None and self.view is None

    @staticmethod
    def arm(attachments: Sequence[Any], function: HookFunction) -> None:
        """Put ``function`` into attachments of this kind, on one set of terms, for an operation that begins."""
        attachments[0].terms.user_hook = function

    @staticmethod
    def disarm(attachments: Sequence[Any]) -> None:
        """Take the function out again, and what is around it, and count anew: nobody uses them for a while."""
        terms: Terms = attachments[0].terms
        terms.user_hook, terms.recomputed = _nothing, False
        for attachment in attachments:
            attachment.fired = 0
        if terms.wrapped:
            terms.wrapped = False
            for attachment in attachments:
                attachment.function = None

    def note(self, error: BaseException) -> None:
        """Remember that the function raised, and say on the exception where it happened."""
        self.error = error
        if self.owner is not None:
            self.owner.failed = True
        where = f"raised by the {self.direction} hook {FunctionInfo.of(self.user_hook)} at hook point {self.label!r}"
        if where not in getattr(error, "__notes__", ()):
            error.add_note(where)

    def remove(self) -> None:
        """Detach from the point; a second call does nothing."""
        self.point.release(self)

    def __repr__(self) -> str:
        return f"<{self.direction} attachment of {FunctionInfo.of(self.user_hook).qualname} at {self.label!r}>"


def _nothing(tensor: Any, *, hook: Any) -> None:
    """Do nothing: called in the moment after an operation ended, by another thread that was about to call its function."""
