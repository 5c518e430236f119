"""torch's own ``register_*_hook`` methods on a hook point: they work as on any module, through the same admission."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from hookframe.core.hooks.attachment import Attachment, Options

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point

__all__ = ["AdmittedTorchHooks", "TorchAttachment", "admitted_ids", "registrations", "without_torch_hooks"]

_TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_LEDGER = "_admitted_torch_hooks"
_FLAGS = ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs")


class TorchAttachment(Attachment):
    """A hook in torch's own tables: torch calls it, with torch's arguments.

    :ivar method: the name of the ``torch.nn.Module`` method that registers it.
    :ivar torch_options: the keyword arguments of that method.
    """

    __slots__ = ("installed", "method", "torch_options")
    wrappable = False

    def __init__(
        self, point: Point, function: Callable[..., Any], method: str, torch_options: Mapping[str, Any]
    ) -> None:
        options = Options(function, "fwd" if "forward" in method else "bwd", prepend=bool(torch_options.get("prepend")))
        super().__init__(point, options, point.name)
        self.method = method
        self.torch_options = dict(torch_options)
        self.installed: RemovableHandle | None = None

    def install(self) -> None:
        """Put the function into torch's table."""
        register = getattr(nn.Module, self.method)
        self.installed = handle = register(self.point, self.user_hook, **self.torch_options)
        self.point.__dict__.setdefault(_LEDGER, set()).add(handle.id)

    def uninstall(self) -> bool:
        """Take it out again; False if it was not there."""
        handle, self.installed = self.installed, None
        if handle is None:
            return False
        handle.remove()
        return True


def registrations(module: nn.Module) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Method, function and options that would register the torch hooks of ``module`` again, in order."""
    own = module.__dict__
    for key, function in own["_forward_pre_hooks"].items():
        yield "register_forward_pre_hook", function, {"with_kwargs": key in own["_forward_pre_hooks_with_kwargs"]}
    for key, function in own["_forward_hooks"].items():
        options = {
            "with_kwargs": key in own["_forward_hooks_with_kwargs"],
            "always_call": key in own["_forward_hooks_always_called"],
        }
        yield "register_forward_hook", function, options
    full = own["_is_full_backward_hook"]
    for function in own["_backward_hooks"].values():
        yield "register_full_backward_hook" if full else "register_backward_hook", function, {}
    for function in own["_backward_pre_hooks"].values():
        yield "register_full_backward_pre_hook", function, {}


def without_torch_hooks(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a module as if no torch hook had been registered on it."""
    empty: dict[str, Any] = {name: OrderedDict() for name in (*_TABLES, *_FLAGS)}
    return {key: value for key, value in state.items() if key != _LEDGER} | empty | {"_is_full_backward_hook": None}


def admitted_ids(point: AdmittedTorchHooks) -> frozenset[int]:
    """The keys in torch's tables of the hooks that went through admission; any others were registered past it."""
    return frozenset(point.__dict__.get(_LEDGER, ()))


class AdmittedTorchHooks(nn.Module):
    """Sends each torch-style registration through admission before torch sees it.

    :raises HookDenied: from each method, if the admission refuses; torch's tables are then unchanged.
    """

    def _register(self, method: str, hook: Callable[..., Any], **options: Any) -> RemovableHandle:
        raise NotImplementedError

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """As ``torch.nn.Module.register_forward_hook``, after admission."""
        options = {"prepend": prepend, "with_kwargs": with_kwargs, "always_call": always_call}
        return self._register("register_forward_hook", hook, **options)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """As ``torch.nn.Module.register_forward_pre_hook``, after admission."""
        return self._register("register_forward_pre_hook", hook, prepend=prepend, with_kwargs=with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """As ``torch.nn.Module.register_full_backward_hook``, after admission."""
        return self._register("register_full_backward_hook", hook, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """As ``torch.nn.Module.register_full_backward_pre_hook``, after admission."""
        return self._register("register_full_backward_pre_hook", hook, prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As ``torch.nn.Module.register_backward_hook``, after admission."""
        return self._register("register_backward_hook", hook)

    def _has_torch_hooks(self) -> bool:
        own = self.__dict__
        return bool(
            own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
        )
