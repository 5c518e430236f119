"""From layers to the policy in force. Rules add up; a weaker layer tightens and never loosens; plain values can be locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, itemgetter
from types import MappingProxyType
from typing import Any, TypeAlias

from packaging.utils import canonicalize_name

from hookframe.admission.objection import Action
from hookframe.host.installed.rules import LoadingRules, PluginNeed, PluginPin
from hookframe.policy.files.lines import KeyPath
from hookframe.policy.files.mistakes import Mistake, near
from hookframe.policy.files.reading import Layer
from hookframe.policy.files.rules import PolicyOrigin, Rule
from hookframe.policy.in_force.depending import needs_of
from hookframe.policy.in_force.journalling import JOURNAL
from hookframe.policy.in_force.policy import Effective, Policy, Requirement
from hookframe.policy.language.vocabulary import LayerKind

__all__ = ["merge"]

_JOURNAL_PATHS = ("journal.directory", "journal.required")
_UNKNOWN = ("deny", "warn", "allow")
Said: TypeAlias = tuple[str, Any, PolicyOrigin]
_STRICTER: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "plugins.*.failure": (lambda a, b: "deny" if "deny" in (a, b) else "warn", "the strictest of all layers holds"),
    "plugins.*.isolation": (
        lambda a, b: "process" if "process" in (a, b) else "none",
        "the strictest of all layers holds",
    ),
    "plugins.*.time_limit": (min, "the smallest of all layers holds"),
    "settings.unknown": (lambda a, b: min(a, b, key=_UNKNOWN.index), "the strictest of all layers holds"),
    "journal.required": (lambda a, b: a or b, "true in any layer holds"),
}


def merge(layers: Sequence[Layer]) -> Policy:
    """The policy that ``layers`` make together, in any order."""
    ordered = tuple(sorted(layers, key=lambda layer: (layer.kind, layer.file)))
    notes: list[Mistake] = []
    values = _values(ordered, notes)
    return Policy(
        layers=ordered,
        rules=_rules(ordered, values, notes),
        exemptions=tuple(exemption for layer in ordered for exemption in layer.exemptions),
        values=MappingProxyType(values),
        loading=_loading(ordered, values, notes),
        requirements=tuple(found for layer in ordered for found in _requirements(layer)),
        environment=frozenset(name for layer in ordered for name in layer.document.facts.env),
        notes=tuple(notes),
    )


def _note(notes: list[Mistake], layer: Layer, where: KeyPath, message: str) -> None:
    notes.append(Mistake(layer.file, layer.line(where), ".".join(map(str, where)), message))


def _rules(layers: Sequence[Layer], values: Mapping[str, Effective], notes: list[Mistake]) -> tuple[Rule, ...]:
    said = values.get("settings.unknown")
    rules = [_heeding(rule, None if said is None else said.value) for layer in layers for rule in layer.rules]
    for layer in layers:
        for name, mode in layer.document.tighten.items():
            meant = [i for i, rule in enumerate(rules) if rule.answers_to(name) and rule.origin.layer < layer.kind]
            if not meant:
                known = {rule.id for rule in rules if rule.origin.layer < layer.kind}
                _note(notes, layer, ("tighten", name), f"no stronger layer has a rule {name!r}: {near(name, known)}")
            for index in meant:
                tightened = rules[index].tightened(mode)
                if tightened == rules[index]:
                    _note(
                        notes, layer, ("tighten", name), f"{rules[index].name} is at least as strict as {mode} already"
                    )
                rules[index] = tightened
    return tuple(rules)


def _heeding(rule: Rule, unknown: str | None) -> Rule:
    """The rule, at least as strict as ``unknown`` where it cannot be told whether it matches."""
    own = "allow" if rule.unknown is None else str(rule.unknown)
    strictest = min(own, unknown or own, key=_UNKNOWN.index)
    return rule if strictest == own else replace(rule, unknown=Action(strictest))


def _values(layers: Sequence[Layer], notes: list[Mistake]) -> dict[str, Effective]:
    """Every plain value: the strictest where one is stricter, the strongest layer's for the journal, else the nearest."""
    locks = [(path, layer) for layer in layers for path in layer.document.locked]
    said: dict[str, list[tuple[Layer, Any, PolicyOrigin]]] = {}
    for layer in layers:
        for path, value, origin in _said(layer):
            said.setdefault(path, []).append((layer, value, origin))
    for path, layer in locks:
        if not any(_within(known, path) for known in said):
            _note(notes, layer, ("locked",), f"no layer says {path!r}, so there is nothing to lock: {near(path, said)}")
    about_journal = [path for path in said if path.startswith("journal.") and path not in _STRICTER]
    keeper = min((said[path][0][0] for path in about_journal), key=layers.index, default=None)
    found = {path: _effective(path, sayings, locks, keeper, notes) for path, sayings in sorted(said.items())}
    return {path: effective for path, effective in found.items() if effective is not None}


def _within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + ".")


def _effective(
    path: str,
    sayings: Sequence[tuple[Layer, Any, PolicyOrigin]],
    locks: Sequence[tuple[str, Layer]],
    keeper: Layer | None,
    notes: list[Mistake],
) -> Effective | None:
    """The value in force; None if only layers that may not say it do."""
    key = _key(path)
    if key in _STRICTER:
        stricter, why = _STRICTER[key]
        strictest = reduce(stricter, (value for _, value, _ in sayings))
        chosen = next(i for i, (_, value, _) in enumerate(sayings) if value == strictest)
        return _made(path, sayings, chosen, why)
    if path.startswith("journal."):
        return _of_journal(path, sayings, keeper, notes)
    locked = next((layer for prefix, layer in locks if _within(path, prefix)), None)
    if locked is None:
        return _made(path, sayings, len(sayings) - 1, "the nearest layer holds")
    allowed = [i for i, (layer, _, _) in enumerate(sayings) if layer is locked or layer.kind < locked.kind]
    for layer, _, _ in sayings:
        if layer is not locked and layer.kind >= locked.kind:
            text = f"the {locked.kind.label} layer ({locked.file}) has locked it: this value is not in force"
            _note(notes, layer, tuple(path.split(".")), text)
    by = locked.origin(("locked",))
    return _made(path, sayings, allowed[-1], "it is locked", locked_by=by) if allowed else None


def _of_journal(
    path: str, sayings: Sequence[tuple[Layer, Any, PolicyOrigin]], keeper: Layer | None, notes: list[Mistake]
) -> Effective | None:
    """A value of the table ``journal``, all of which is the business of one layer."""
    for layer, _, _ in sayings:
        if layer is not keeper and keeper is not None:
            text = f"the {keeper.kind.label} layer ({keeper.file}) keeps the journal: this value is not in force"
            _note(notes, layer, tuple(path.split(".")), text)
    own = [index for index, (layer, _, _) in enumerate(sayings) if layer is keeper]
    return _made(path, sayings, own[0], "the strongest layer with a journal keeps it") if own else None


def _key(path: str) -> str:
    """What kind of value it is: ``journal.required``, and ``plugins.*.failure`` for that of any plugin."""
    section, *names = path.split(".")
    return f"plugins.*.{names[1]}" if section == "plugins" and len(names) == 2 else path


def _made(
    path: str,
    sayings: Sequence[tuple[Layer, Any, PolicyOrigin]],
    chosen: int,
    why: str,
    *,
    locked_by: PolicyOrigin | None = None,
) -> Effective:
    _, value, origin = sayings[chosen]
    beat = tuple((other, place) for i, (_, other, place) in enumerate(sayings) if i != chosen)
    return Effective(path=path, value=value, origin=origin, beat=beat, locked_by=locked_by, why=why)


def _said(layer: Layer) -> Iterator[Said]:
    document = layer.document
    for section in ("settings", "journal"):
        for key, value in getattr(document, section):
            if value is not None:
                yield f"{section}.{key}", value, layer.origin((section, key))
    for name, table in document.plugins.items():
        plugin = f"plugins.{canonicalize_name(name)}"
        for key in ("failure", "isolation", "time_limit"):
            value = getattr(table, key)
            if value is not None:
                yield f"{plugin}.{key}", value, layer.origin(("plugins", name, key))
        for key, value in table.options.items():
            yield f"{plugin}.options.{key}", value, layer.origin(("plugins", name, "options", key))


def _loading(layers: Sequence[Layer], values: Mapping[str, Effective], notes: list[Mistake]) -> LoadingRules:
    """What all layers say of plugins, and what other parts of the policy need.

    The layer that needs a plugin allows it, and layers below it have no say on it.
    """
    needs = sorted([*_of_the_journal(values), *_of_rules(layers)], key=itemgetter(0))
    wanted = {need.plugin: kind for kind, need in reversed(needs)}
    for layer in layers:
        for name in sorted(set(map(canonicalize_name, layer.document.loading.deny)) & wanted.keys()):
            if wanted[name] < layer.kind:
                why = next(need.why for _, need in needs if need.plugin == name)
                _note(notes, layer, ("loading", "deny"), f"{name} loads all the same: {why}")
    rules = (_letting_in(layer, wanted) for layer in layers)
    return reduce(and_, rules, LoadingRules(needs=tuple(need for _, need in needs)))


def _of_the_journal(values: Mapping[str, Effective]) -> Iterator[tuple[LayerKind, PluginNeed]]:
    origins = [values[path].origin for path in _JOURNAL_PATHS if path in values and values[path].value]
    if origins:
        origin = min(origins, key=lambda origin: origin.layer)
        yield origin.layer, PluginNeed(JOURNAL, f"the policy keeps a journal ({origin})")


def _of_rules(layers: Sequence[Layer]) -> Iterator[tuple[LayerKind, PluginNeed]]:
    for layer in layers:
        yield from ((layer.kind, need) for need in needs_of(layer))


def _letting_in(layer: Layer, wanted: Mapping[str, LayerKind]) -> LoadingRules:
    """The rules of a layer, as far as they hold where these plugins are needed by these layers."""
    rules = _own_loading(layer)
    here = {name for name, kind in wanted.items() if kind <= layer.kind}
    above = {name for name in here if wanted[name] < layer.kind}
    return replace(
        rules,
        allow=None if rules.allow is None else rules.allow | here,
        deny=rules.deny - above,
        pins=tuple(pin for pin in rules.pins if pin.plugin not in above),
    )


def _own_loading(layer: Layer) -> LoadingRules:
    table = layer.document.loading
    pins = [
        PluginPin(
            plugin=name,
            version=pin.version,
            digest=pin.digest,
            origins=None if pin.origin is None else frozenset(pin.origin),
        )
        for name, pin in layer.document.plugins.items()
        if (pin.version, pin.digest, pin.origin) != (None, None, None)
    ]
    return LoadingRules(
        allow=None if table.allow is None else frozenset(table.allow),
        deny=frozenset(table.deny),
        require=frozenset(table.require),
        pins=tuple(pins),
        strict=table.strict,
    )


def _requirements(layer: Layer) -> Iterator[Requirement]:
    for name, versions in layer.document.require.items():
        yield Requirement(canonicalize_name(name), versions, layer.origin(("require", name)))
