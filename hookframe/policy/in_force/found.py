"""The layers that a process finds, read: those that can be used, and those that cannot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hookframe.errors import MissingExtra, PolicyError
from hookframe.policy.files.layers import LayerFile, LayerPlaces, find_layers
from hookframe.policy.files.mistakes import Mistake

if TYPE_CHECKING:
    from hookframe.policy.files.reading import Layer
    from hookframe.policy.in_force.policy import Policy

__all__ = ["Found", "read_layers"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The layers of a process: those that can be read, and those that cannot.

    :ivar unreadable: what is wrong with each file that is there and cannot be used; while there is any, every hook is
        refused.
    """

    layers: tuple[Layer, ...] = ()
    unreadable: tuple[tuple[LayerFile, PolicyError], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.layers or self.unreadable)

    @property
    def managed(self) -> bool:
        """True if a layer is there, readable or not, that the person who runs the code does not write."""
        kinds = [layer.kind for layer in self.layers] + [file.kind for file, _ in self.unreadable]
        return any(kind.managed for kind in kinds)

    def only_managed(self) -> Found:
        """The same without the layers that the person who runs the code writes."""
        return Found(
            layers=tuple(layer for layer in self.layers if layer.kind.managed),
            unreadable=tuple((file, error) for file, error in self.unreadable if file.kind.managed),
        )

    @cached_property
    def policy(self) -> Policy:
        """What the readable layers come to together."""
        from hookframe.policy.in_force.merging import merge  # a process without any layer never loads the merging

        return merge(self.layers)


def read_layers(places: LayerPlaces) -> Found:
    """Find and read every layer. Never raises: a layer that cannot be used is among the result."""
    files = list(find_layers(places))
    if not files:
        return Found()  # and the machinery for reading stays unloaded
    from hookframe.policy.files.reading import read_layer_file

    layers: list[Layer] = []
    unreadable: list[tuple[LayerFile, PolicyError]] = []
    for file in files:
        try:
            if file.problem is not None:
                raise PolicyError([Mistake(str(file.path), 0, "", file.problem)])
            layers.append(read_layer_file(file.path, file.kind, table=file.table))
        except PolicyError as error:
            unreadable.append((file, error))
        except MissingExtra as error:
            unreadable.append((file, _unread(file, error)))
    return Found(layers=tuple(layers), unreadable=tuple(unreadable))


def _unread(file: LayerFile, missing: MissingExtra) -> PolicyError:
    """The error for a file that nothing here can read, with what is missing as its cause."""
    error = PolicyError([Mistake(str(file.path), 0, "", str(missing))])
    error.__cause__ = missing
    return error
