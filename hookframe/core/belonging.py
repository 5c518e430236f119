"""Which models a hook point belongs to: the ones that named it, and still live."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hookframe.admission.controller import AdmissionController, current_controller
from hookframe.core.torch_hooks import AdmittedTorchHooks

if TYPE_CHECKING:
    from hookframe.core.named_model import NamedModel

__all__ = ["BelongsToModels"]

_PLANNED_WITH = ("name", "hook_conversion")  # what a planned hook depends on


class BelongsToModels(AdmittedTorchHooks):
    """Remembers, weakly, each model whose ``setup()`` found this point; two models may share one."""

    name: str | None
    given_name: str | None
    _roots: tuple[weakref.ref[NamedModel], ...]

    @property
    def owner(self) -> NamedModel | None:
        """The model that named this point last and is still alive."""
        for reference in reversed(self._roots):
            root = reference()
            if root is not None:
                return root
        return None

    def owners(self, root: NamedModel | None = None, name: str | None = None) -> Iterator[tuple[NamedModel, str]]:
        """Each living model that this point belongs to, with its name there; ``root`` first, under ``name``."""
        if root is not None:
            yield root, name or self.name or ""
        for other in self.other_owners(root):
            yield other, other.name_of(self) or name or ""

    def other_owners(self, root: NamedModel | None) -> list[NamedModel]:
        """The living models that this point belongs to, but ``root``."""
        roots = self._roots
        if len(roots) == 1 and roots[0]() is root:
            return []  # nearly every point: asked for each one of a batch
        found = [reference() for reference in roots]
        return [owner for owner in found if owner is not None and owner is not root]

    def belong_to(self, root: NamedModel) -> None:
        """Remember that ``root`` named this point."""
        others = tuple(reference for reference in self._roots if reference() not in (None, root))
        if others:
            self._owners_forget()
        self.__dict__["_roots"] = (*others, weakref.ref(root))

    def _owners_forget(self) -> None:
        for owner in self.other_owners(None):
            owner.forget_plans()

    def be_named(self, name: str) -> None:
        """Take ``name``, as a model's ``setup()`` gives it."""
        if name != self.name:
            self._owners_forget()
        self.__dict__.update(name=name, given_name=name)

    def __setattr__(self, attribute: str, value: Any) -> None:
        super().__setattr__(attribute, value)
        if attribute in _PLANNED_WITH and "_roots" in self.__dict__:
            self._owners_forget()

    def name_in(self, name: str | None) -> str | None:
        """What hook functions of a model that calls this point ``name`` see as its name: that, unless a user renamed it."""
        return name if self.name is None or self.name == self.given_name else self.name

    @property
    def controller(self) -> AdmissionController:
        """Who decides about hooks on this point now: its model's controller, else the process's."""
        root = self.owner
        return current_controller() if root is None else root.controller
