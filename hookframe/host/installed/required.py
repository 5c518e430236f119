"""Refusals for required plugins: as long as one of them cannot decide, everything is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from hookframe.admission.objection import Objection
from hookframe.admission.request import Request
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.survey import missing_record

__all__ = ["SOURCE", "denials", "unfulfilled"]

SOURCE = "hookframe"
"""The source of objections that no plugin made."""
_AT_WORK = (PluginState.LOADED, PluginState.TRIPPED)


def unfulfilled(
    required: Iterable[str], records: Collection[PluginRecord], *, enough: Collection[PluginState] = _AT_WORK
) -> tuple[PluginRecord, ...]:
    """What stands in the way of required plugins, sorted by name; copies that do not count are passed over.

    :param enough: the states of plugins that nothing stands in the way of.
    """
    found: list[PluginRecord] = []
    for name in sorted(required):
        own = [r for r in records if r.distribution == name and r.state is not PluginState.DUPLICATE]
        found += [record for record in own if record.state not in enough]
        if not own:
            found.append(missing_record(name, "is required, and is no longer registered"))
    return tuple(found)


def denials(records: Iterable[PluginRecord], requests: Sequence[Request]) -> list[Objection]:
    """An objection to each request for each required plugin that is not at work."""
    return [_denial(record, request) for record in records for request in requests]


def _denial(record: PluginRecord, request: Request) -> Objection:
    objection = Objection.deny(
        request,
        rule="required-plugin",
        message=f"the required plugin {record.name!r} is {record.state}: {record.reason} (step {record.step!r})",
        remedy=record.repair or f"repair or reinstall {record.name}",
    )
    return replace(objection, source=SOURCE)
