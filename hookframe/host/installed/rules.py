"""Which plugins may load, must load, and in which shape: rules by the name of the distribution, as a value."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from hookframe.errors import InvalidLoadingRules
from hookframe.host.installed.origin import OriginKind

__all__ = ["LoadingRules", "PluginNeed", "PluginPin"]

_LARGEST = 256 * 1024  # bytes of a file of rules
_MOST_DOTS = 1000  # in a line: tomllib takes quadratic time for a key of many parts
_KEYS = ("allow", "deny", "plugins", "require", "strict")
_PIN_KEYS = ("digest", "origin", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginPin:
    """What a plugin has to be if it is to load.

    :ivar plugin: the distribution's name, normalised.
    :ivar version: a range of versions; None for any.
    :ivar digest: the digest of its files, as ``hookframe plugins lock`` writes it; None for any.
    :ivar origins: where it may have been installed from; None for anywhere.
    :raises InvalidLoadingRules: if the range, the digest or an origin cannot be read.
    """

    plugin: str
    version: str | None = None
    digest: str | None = None
    origins: frozenset[OriginKind] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "plugin", canonicalize_name(self.plugin))
        if self.origins is not None:
            object.__setattr__(self, "origins", frozenset(map(self._origin, self.origins)))
        if self.digest is not None and not self.digest.startswith("sha256:"):
            raise InvalidLoadingRules(f"plugin {self.plugin!r}: digest {self.digest!r} does not start with 'sha256:'")
        try:
            SpecifierSet(self.version or "")
        except InvalidSpecifier:
            raise InvalidLoadingRules(
                f"plugin {self.plugin!r}: {self.version!r} is no range of versions: write it as '>=1.0,<2'"
            ) from None

    def _origin(self, text: str) -> OriginKind:
        try:
            return OriginKind(text)
        except ValueError:
            raise InvalidLoadingRules(
                f"plugin {self.plugin!r}: unknown origin {text!r}: use some of {[*map(str, OriginKind)]}"
            ) from None


@dataclass(frozen=True, slots=True)
class PluginNeed:
    """A plugin that another part of the policy needs: it is required, and a person cannot leave it out.

    :ivar plugin: the distribution's name, normalised.
    :ivar why: what needs it, as a phrase.
    """

    plugin: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingRules:
    """Rules for loading. All names are those of distributions, and are normalised.

    :ivar allow: only these may load; None for all.
    :ivar deny: these may not, even if another rule allows them.
    :ivar require: without these, every hook is refused.
    :ivar pins: what single plugins have to be; several pins for one plugin all hold.
    :ivar needs: required plugins that load whatever ``HOOKFRAME_PLUGINS`` and ``--no-plugin`` say.
    :ivar strict: True to load plugins from the very bytes that were compared with RECORD, past ``__pycache__``.
    """

    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    require: frozenset[str] = frozenset()
    pins: tuple[PluginPin, ...] = ()
    needs: tuple[PluginNeed, ...] = ()
    strict: bool = False

    def __post_init__(self) -> None:
        for key in ("allow", "deny", "require"):
            names: Collection[str] | None = getattr(self, key)
            if isinstance(names, str):
                raise InvalidLoadingRules(f"{key} is {names!r}, a single string: give a collection of names")
            if names is not None:
                object.__setattr__(self, key, frozenset(map(canonicalize_name, names)))
        object.__setattr__(self, "require", self.require | {need.plugin for need in self.needs})

    def __and__(self, other: LoadingRules) -> LoadingRules:
        """Both together: what either forbids is forbidden, what either requires is required."""
        allowed = [rules.allow for rules in (self, other) if rules.allow is not None]
        return LoadingRules(
            allow=frozenset.intersection(*allowed) if allowed else None,
            deny=self.deny | other.deny,
            require=self.require | other.require,
            pins=tuple(dict.fromkeys(self.pins + other.pins)),
            needs=tuple(dict.fromkeys(self.needs + other.needs)),
            strict=self.strict or other.strict,
        )

    def pins_for(self, name: str) -> tuple[PluginPin, ...]:
        """The pins of one plugin."""
        return tuple(pin for pin in self.pins if pin.plugin == name)

    def need_of(self, name: str) -> PluginNeed | None:
        """What in the policy needs the plugin; None if nothing does."""
        return next((need for need in self.needs if need.plugin == name), None)

    def mentions(self, name: str) -> tuple[str, ...]:
        """The kinds of rule that name the plugin, in words."""
        kinds = {"allow": self.allow or (), "deny": self.deny, "require": self.require, "pins": self._pinned}
        return tuple(kind for kind, names in kinds.items() if name in names)

    @property
    def _pinned(self) -> frozenset[str]:
        return frozenset(pin.plugin for pin in self.pins)

    @property
    def names(self) -> frozenset[str]:
        """Every distribution that a rule names."""
        return (self.allow or frozenset()) | self.deny | self.require | self._pinned

    def needs_digests(self, name: str) -> bool:
        """True if the files of this plugin have to be compared with RECORD."""
        return self.strict or name in self.require or any(pin.digest for pin in self.pins_for(name))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> LoadingRules:
        """Read a file of rules; a lock file, as ``hookframe plugins lock`` writes it, is one.

        :raises InvalidLoadingRules: if the file cannot be read, or has a key or a value that is no rule.
        """
        import tomllib

        try:
            with Path(path).open("rb") as file:
                data = file.read(_LARGEST + 1)
            if len(data) > _LARGEST:
                raise InvalidLoadingRules(f"it is larger than {_LARGEST} bytes")
            if any(line.count(b".") > _MOST_DOTS for line in data.splitlines()):
                raise InvalidLoadingRules(f"a line has more than {_MOST_DOTS} dots")
            return _rules(tomllib.loads(data.decode()))
        except InvalidLoadingRules as error:
            raise InvalidLoadingRules(f"rules {os.fspath(path)!r}: {error}") from error
        except (OSError, ValueError, RecursionError) as error:  # a ValueError of its own for thousands of digits
            raise InvalidLoadingRules(f"rules {os.fspath(path)!r} cannot be read: {error}") from error


def _rules(facts: Mapping[str, Any]) -> LoadingRules:
    _check_keys(facts, _KEYS, "the file")
    strict = facts.get("strict", False)
    if not isinstance(strict, bool):
        raise InvalidLoadingRules(f"strict is {strict!r}: write true or false")
    return LoadingRules(
        allow=_names(facts, "allow") if "allow" in facts else None,
        deny=_names(facts, "deny"),
        require=_names(facts, "require"),
        pins=tuple(_pin(name, table) for name, table in _table(facts.get("plugins", {}), "plugins").items()),
        strict=strict,
    )


def _pin(name: str, table: Any) -> PluginPin:
    where = f"plugins.{name}"
    facts = _table(table, where)
    _check_keys(facts, _PIN_KEYS, where)
    origins = [facts["origin"]] if isinstance(facts.get("origin"), str) else facts.get("origin")
    for key in ("version", "digest"):
        if not isinstance(facts.get(key, ""), str):
            raise InvalidLoadingRules(f"{where}.{key} is {facts[key]!r}: write it as a string")
    return PluginPin(
        plugin=name,
        version=facts.get("version"),
        digest=facts.get("digest"),
        origins=None if origins is None else _names({"origin": origins}, "origin"),  # type: ignore[arg-type]  # made into kinds by the pin
    )


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidLoadingRules(f"{where} is {value!r}: write a table")
    return value


def _names(facts: Mapping[str, Any], key: str) -> frozenset[str]:
    value = facts.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidLoadingRules(f"{key} is {value!r}: write a list of names")
    return frozenset(value)


def _check_keys(facts: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in facts:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use some of {sorted(known)}"
            raise InvalidLoadingRules(f"{where} has no key {key!r}: {hint}")
