"""One function at one hook point: what the point runs, what is known about it, and the handle that a user holds on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from torch.compiler import is_dynamo_compiling

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.hooks.guards import ReturnRules, check_return
from hookframe.core.torch_compat.checkpointing import look_for_recomputing, may_be_checkpointed, note_edit
from hookframe.core.torch_compat.dynamo import traced_as
from hookframe.errors import HookReturnError, InvalidDirection

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point
    from hookframe.core.values.scope import Scope
    from hookframe.core.values.types import HookFunction

__all__ = ["Attachment", "Graphs", "HookHandle", "LensHandle", "Operation", "Options", "directions", "fits"]


class Operation:
    """What attachments know of their operation (one ``run_with_cache``, one ``hooks(...)``).

    :ivar held: True if a user may hold the handle of one of them.
    :ivar failed: True if one of them has an error that is not reported yet.
    :ivar graphs: while its context is open and it has backward hooks: what each graph that may call these holds on to.
    """

    __slots__ = ("failed", "graphs", "held")

    def __init__(self) -> None:
        self.failed = self.held = False
        self.graphs: Graphs | None = None


class LateCalls(Protocol):
    """Calls the backward hooks of an operation whose context has ended."""

    backward: Sequence[Attachment]

    def fire(self, attachment: Attachment, point: Point, gradient: Any) -> Any:
        """Run one of them; what goes on."""


class Graphs:
    """Lives as long as an autograd graph that may call the backward hooks of one operation: their listeners hold it.

    :ivar late: None while the context of the operation is open.
    """

    __slots__ = ("__weakref__", "late")

    def __init__(self) -> None:
        self.late: LateCalls | None = None


class Options:
    """How one function is attached: the same for all points that one call attaches it to.

    :ivar user_hook: the function, as the user gave it.
    :ivar aliases: the names under which it is called, if not the point's own.
    :ivar rules: what is checked of a tensor that the function returns; None for no check.
    :ivar operation: the operation that it belongs to, if any.
    :ivar recomputed: True once the user was warned that the function runs again in a backward pass.
    :ivar wrapped_by_options: True if an option wraps the function, such as in a check that it only reads.
    :ivar wrapped: True if a plugin or an option has wrapped it at one of the points.
    :ivar scope: which threads and tasks run it; None for all.
    """

    __slots__ = (
        "aliases", "direction", "level", "operation", "permanent", "prepend", "read_only", "recomputed", "rules", "scope",
        "user_hook", "wrapped", "wrapped_by_options",
    )  # fmt: skip

    def __init__(
        self,
        user_hook: HookFunction,
        direction: Direction,
        *,
        permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        aliases: tuple[str, ...] | None = None,
        read_only: bool = False,
        rules: ReturnRules | None = None,
        operation: Operation | None = None,
        scope: Scope | None = None,
    ) -> None:
        self.user_hook = user_hook
        self.direction: Direction = direction
        self.permanent = permanent
        self.level = level
        self.prepend = prepend
        self.aliases = aliases
        self.read_only = read_only
        self.rules = rules
        self.operation = operation
        self.scope = scope
        self.recomputed = self.wrapped = self.wrapped_by_options = False


@dataclass(eq=False)
class HookHandle:
    """What one attachment returns, and what removes it.

    :ivar hook: the attachment, or another object with ``remove()``; it has an ``id``, as torch's handles have.
    :ivar is_permanent: True if ordinary resets leave the hook alone.
    :ivar context_level: the nesting level of the context it belongs to, None outside contexts.
    :ivar user_hook: the function, as the user gave it.
    """

    hook: Any
    is_permanent: bool = False
    context_level: int | None = None
    user_hook: HookFunction | None = None

    def remove(self) -> None:
        """Detach the hook; a second call does nothing."""
        self.hook.remove()


LensHandle = HookHandle
"""The name that TransformerLens has for it."""


def _of_options(name: str) -> Any:
    return property(attrgetter(f"options.{name}"))


class _Hot:
    """What an attachment reads and writes when it fires; a base class, so that these slots lie together in memory."""

    __slots__ = ("direct", "fired", "function", "generation", "key", "last", "point", "version")


class Attachment(_Hot):
    """One function at one hook point: what the point runs, and what is known about it.

    The subclasses say how a tensor passes through (:meth:`fire`).

    :ivar options: how the function is attached; shared with its attachments at other points.
    :ivar function: the wrapper to call instead of the user's function, if a plugin or an option wrapped it; for a caching
        hook, the function that stores.
    :ivar direct: True if the function gets the tensor and the point as they are.
    :ivar view: what the function gets as ``hook``, if not the point itself.
    :ivar fired: how often it ran; inside compiled code, 1 once it ran at all.
    :ivar error: the exception that it raised last, until it is reported.
    :ivar generation: counts the operations that have used it; 0 once it was removed.
    """

    __slots__ = ("__weakref__", "_handle", "_id", "error", "exact", "name", "options", "view")

    caches = False
    """True for hooks that store what they see; a copy of the model leaves them behind."""
    wrappable = True
    """True for hooks that are called as ``hook(tensor, hook=point)``, so that plugins can wrap them."""

    aliases: tuple[str, ...] | None = _of_options("aliases")
    direction: Direction = _of_options("direction")
    level: int | None = _of_options("level")
    operation: Operation | None = _of_options("operation")
    permanent: bool = _of_options("permanent")
    prepend: bool = _of_options("prepend")
    read_only: bool = _of_options("read_only")
    rules: ReturnRules | None = _of_options("rules")
    scope: Scope | None = _of_options("scope")
    user_hook: HookFunction = _of_options("user_hook")

    def __init__(
        self, point: Point, options: Options, name: str | None = None, exact: bool = True, key: str | None = None
    ) -> None:
        """Plan ``options`` at ``point``.

        :param key: the key it stores under, if it stores.
        """
        self.point = point
        self.options = options
        self.function: Any = options.user_hook if self.caches else None
        self.name = name
        self.exact = exact
        self.view: Any = None
        self.direct = point.hook_conversion is None
        self.fired = 0
        self.error: BaseException | None = None
        self.generation = 1
        self.key = key
        self.last: Any = None
        self.version = 0
        self._handle: HookHandle | None = None
        self._id: int | None = None

    @property
    def called(self) -> HookFunction:
        """The function to call: the user's, or the wrapper around it."""
        function: HookFunction | None = self.function
        return self.options.user_hook if function is None else function

    def put_around(self, wrapper: HookFunction) -> None:
        """Call ``wrapper`` from now on; it calls what was called before."""
        self.function = wrapper
        self.options.wrapped = True

    @property
    def has_fired(self) -> bool:
        """True if it ran at all in this operation."""
        return self.fired > 0

    @property
    def handle(self) -> HookHandle:
        """The handle that the user holds; made on first use."""
        handle = self._handle
        if handle is None:
            if self.operation is not None:
                self.operation.held = True
            handle = self._handle = HookHandle(self, self.permanent, self.level, self.user_hook)
        return handle

    @property
    def id(self) -> int:
        """A number that no other hook of hookframe's has in this process."""
        if self._id is None:
            self._id = next(_ids)
        return self._id

    @property
    def attachment(self) -> Attachment:
        """Itself: each step that stands for a hook says so by this property."""
        return self

    @property
    def shown_name(self) -> str:
        """The point's name for messages."""
        return self.name or self.point.name or "?"

    def _traced(self, point: Point, tensor: Any) -> Any:
        self.fired = 1  # a count would make torch.compile recompile for each number
        try:
            return self._fire_converted(point, tensor)  # it also serves points without a conversion
        except BaseException as error:
            self.note(error)
            raise

    @traced_as(_traced)
    def fire(self, point: Point, tensor: Any) -> Any:
        """Run the function on ``tensor`` at ``point``; return the tensor that goes on."""
        before = self.fired
        self.fired = before + 1
        try:
            if not self.direct:
                return self._fire_converted(point, tensor)
            function = self.function
            if function is None:
                function = self.options.user_hook
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

    def _fire_converted(self, point: Point, tensor: Any) -> Any:
        conversion, shown = point.hook_conversion, self.view or point
        seen = tensor if conversion is None else conversion.convert(tensor)
        result = self.called(seen, hook=shown)
        if result is None:
            return tensor
        if conversion is None:
            self._accept(seen, result, shown)
            return result
        try:
            self._accept(seen, result, shown)
        except HookReturnError as misfit:  # it may still fit the tensor itself, once it is reverted
            try:
                reverted = conversion.revert(result)
                self._accept(tensor, reverted, shown)
            except Exception as error:  # revert may fail in its own words on what it is not made for
                raise misfit from error
            return reverted
        return conversion.revert(result)

    def _accept(self, seen: Any, result: Any, shown: Any) -> None:
        """Check what the function returned for ``seen``, and record the edit, which checkpointing has to repeat."""
        options = self.options
        if options.rules is not None:
            check_return(options.rules, seen, result, options.user_hook, shown)
        if not is_dynamo_compiling() and may_be_checkpointed():
            note_edit(self, same=result is seen)

    def converts(self, conversion: object | None) -> None:
        """The point now has another conversion, or none."""
        self.direct = conversion is None and self.view is None

    @staticmethod
    def arm(attachments: Sequence[Any], function: HookFunction) -> None:
        """Let these attachments, which share their options, call ``function`` in the operation that begins."""
        attachments[0].options.user_hook = function

    @staticmethod
    def disarm(attachments: Sequence[Any]) -> None:
        """Drop the function and its wrappers, and reset the counts, until another operation takes the attachments."""
        options: Options = attachments[0].options
        options.user_hook, options.recomputed = _nothing, False
        for attachment in attachments:
            attachment.fired = 0
        if options.wrapped:
            options.wrapped = False
            for attachment in attachments:
                attachment.function = None

    def note(self, error: BaseException) -> None:
        """Record that the function raised, and add a note to the exception that says where."""
        self.error = error
        if self.operation is not None:
            self.operation.failed = True
        where = (
            f"raised by the {self.direction} hook {FunctionInfo.of(self.user_hook)} at hook point {self.shown_name!r}"
        )
        if where not in getattr(error, "__notes__", ()):
            error.add_note(where)

    def remove(self) -> None:
        """Detach from the point; a second call does nothing."""
        self.point.release(self)

    def __repr__(self) -> str:
        return f"<{self.direction} attachment of {FunctionInfo.of(self.user_hook).qualname} at {self.shown_name!r}>"


_ids = count()


def _nothing(tensor: Any, *, hook: Any) -> None:
    """A no-op, for a thread that was just about to call the function when the operation ended."""


def fits(attachment: Attachment, including_permanent: bool, level: int | None) -> bool:
    """True if a call with these arguments includes this hook."""
    return (including_permanent or not attachment.permanent) and (level is None or attachment.level == level)


def directions(direction: str) -> tuple[str, ...]:
    """The directions that a ``dir`` argument means.

    :raises InvalidDirection: for anything but ``"fwd"``, ``"bwd"`` and ``"both"``.
    """
    if direction == "both":
        return ("fwd", "bwd")
    if direction not in ("fwd", "bwd"):
        raise InvalidDirection(f"Invalid direction {direction!r}: use 'fwd', 'bwd' or 'both'")
    return (direction,)
