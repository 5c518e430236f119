"""Whether a plugin fits this hookframe, read from its metadata.

A plugin states the range of plugin API versions that it supports among its keywords::

    keywords = ["hookframe-plugin-api ~=1.0"]
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from hookframe.host.installed.api import PLUGIN_API

__all__ = [
    "KEYWORD",
    "contains",
    "requirements_on_hookframe",
    "stated_range",
    "why_api_differs",
    "why_hookframe_differs",
]

KEYWORD = "hookframe-plugin-api"
"""The keyword that is followed by a specifier set."""

# The Keywords field is separated by commas, and so is a specifier set: clauses belong together, words do not.
_STATED = re.compile(
    rf"(?<![\w-]){KEYWORD}(?![\w-])(?P<range>(?:[\s,]*(?:~=|===?|!=|[<>]=?)\s*[^\s,]+)*)", re.IGNORECASE
)


def stated_range(keywords: str | None) -> str | None:
    """The range of plugin API versions in a Keywords field; None if none is stated, empty if it cannot be read."""
    found = [match["range"] for match in _STATED.finditer(keywords or "")]
    if not found:
        return None
    return "" if not all(found) else ",".join(re.sub(r"[\s,]*(~=|===?|!=|[<>]=?)\s*", r",\1", r)[1:] for r in found)


def why_api_differs(stated: str | None) -> str | None:
    """Why a plugin that states this range cannot work with this plugin API; None if it can."""
    if stated is None:
        return None
    try:
        fits = bool(stated) and contains(stated, PLUGIN_API)
    except InvalidSpecifier:
        stated, fits = "", False
    if fits:
        return None
    if not stated:
        return f"its keyword {KEYWORD} is not followed by a range of versions, such as ~={PLUGIN_API}"
    return f"it supports plugin API {stated}, and this hookframe has {PLUGIN_API}"


def requirements_on_hookframe(lines: Iterable[str]) -> tuple[str, ...]:
    """Those of the ``Requires-Dist`` lines that are about hookframe itself."""
    near = [line for line in lines if re.match(r"\s*hookframe(?![\w.-])", line, re.IGNORECASE)]
    return tuple(line.strip() for line in near)


def why_hookframe_differs(requirements: Iterable[str]) -> str | None:
    """Why these requirements do not admit this hookframe; None if they do."""
    from hookframe.version import __version__

    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            return f"its requirement {line!r} cannot be read"
        if canonicalize_name(requirement.name) != "hookframe":
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and not requirement.specifier.contains(__version__, prereleases=True):
            return f"it requires {line!r}, and this is hookframe {__version__}"
    return None


def contains(specifiers: str, version: str) -> bool:
    """True if the version is in the range; a pre-release is judged as any other version, and junk is in no range.

    :raises InvalidSpecifier: if the range cannot be read.
    """
    try:
        return SpecifierSet(specifiers).contains(version, prereleases=True)
    except InvalidVersion:  # raised by some releases of the library
        return False
