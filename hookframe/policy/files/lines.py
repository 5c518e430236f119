"""Where a value stands in a TOML text: the line of each key, for messages and for provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from hookframe.extras import needing

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["KeyPath", "Lines"]

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""


class Lines:
    """The lines of one text; it is read when the first line is asked for.

    :param text: TOML that can be read; what cannot gives lines as far as it goes.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text

    def of(self, place: Sequence[str | int]) -> int:
        """The line of ``place``, from 1; that of the nearest value around it, if it is not written itself."""
        known = self._lines
        for end in range(len(place), 0, -1):
            line = known.get(tuple(place[:end]))
            if line is not None:
                return line
        return 1

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        with needing("policy", "finding a line of TOML"):
            import tree_sitter_toml
            from tree_sitter import Language, Parser

        tree = Parser(Language(tree_sitter_toml.language())).parse(self._text)
        lines: dict[KeyPath, int] = {}
        for place, line in _document(tree.root_node):
            lines.setdefault(place, line)
        return lines


def _document(root: Node) -> Iterator[tuple[KeyPath, int]]:
    counts: dict[KeyPath, int] = {}  # how many elements each array of tables has so far
    for node in root.named_children:
        if node.type == "pair":
            yield from _pair(node, ())
        elif node.type in ("table", "table_array_element"):
            place = _resolved(_key(node.named_children[0]), counts, node.type == "table_array_element")
            yield place, _line(node)
            for child in node.named_children[1:]:
                if child.type == "pair":
                    yield from _pair(child, place)


def _resolved(keys: Sequence[str], counts: dict[KeyPath, int], element: bool) -> KeyPath:
    """The place of a table's header: a name of an array of tables means its last element."""
    place: KeyPath = ()
    for number, key in enumerate(keys, 1):
        place = (*place, key)
        if element and number == len(keys):
            counts[place] = counts.get(place, 0) + 1
        if place in counts:
            place = (*place, counts[place] - 1)
    return place


def _pair(node: Node, around: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    key, value = node.named_children[0], node.named_children[-1]
    place = around
    for part in _key(key):
        place = (*place, part)
        yield place, _line(node)
    yield from _value(value, place)


def _value(node: Node, place: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if node.type == "inline_table":
        for child in node.named_children:
            if child.type == "pair":
                yield from _pair(child, place)
    elif node.type == "array":
        items = [child for child in node.named_children if child.type != "comment"]
        for index, child in enumerate(items):
            yield (*place, index), _line(child)
            yield from _value(child, (*place, index))


def _key(node: Node) -> tuple[str, ...]:
    if node.type == "dotted_key":
        return tuple(part for child in node.named_children for part in _key(child))
    text = (node.text or b"").decode("utf-8", "replace")
    return (text[1:-1] if node.type == "quoted_key" else text,)


def _line(node: Node) -> int:
    return int(node.start_point.row) + 1
