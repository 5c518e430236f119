"""Which plugins would be loaded, and which of the named ones are missing; nothing is imported."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hookframe.host.installed.distribution import Fault, Inventory
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.judging import PluginVerdict, RuleOutcome, judge
from hookframe.host.installed.plugin_choice import VARIABLE, PluginChoice
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.rules import LoadingRules

__all__ = ["Survey", "missing_record", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What would become of every plugin.

    :ivar verdicts: one for each installed plugin, in the order of loading.
    :ivar others: records without a plugin: names that match nothing, and left-overs of plugins.
    :ivar faults: what else is wrong with the environment.
    """

    verdicts: tuple[PluginVerdict, ...]
    others: tuple[PluginRecord, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """All records, sorted by name; what counts before what does not."""
        records = [*(verdict.record for verdict in self.verdicts), *self.others]
        return tuple(sorted(records, key=lambda record: record.name))

    def steps(self, record: PluginRecord) -> tuple[RuleOutcome, ...]:
        """What led to a record, in order."""
        for verdict in self.verdicts:
            if verdict.record == record:
                return verdict.steps
        return (RuleOutcome(record.step, record.reason, record.state, record.repair),)


def survey(
    selection: PluginChoice | None = None, rules: LoadingRules | None = None, *, thorough: bool = False
) -> Survey:
    """Judge every installed plugin, without importing anything.

    :param selection: what the user wants; all plugins if None.
    :param rules: none if None.
    :param thorough: apply the rules that come after the decisive one as well.
    """
    selection, rules = selection or PluginChoice(), rules or LoadingRules()
    inventory = take_inventory()
    verdicts = tuple(judge(candidate, selection, rules, thorough=thorough) for candidate in inventory.candidates)
    names = {distribution.name for distribution in inventory.distributions}
    left_over = [_left_over(fault) for fault in inventory.faults if fault.name in names]
    missing = _missing(inventory, names, selection, rules)
    return Survey(verdicts, (*left_over, *missing), tuple(f for f in inventory.faults if f.name not in names))


def _left_over(fault: Fault) -> PluginRecord:
    return PluginRecord(
        name=fault.name or fault.path,
        distribution=fault.name,
        state=PluginState.DUPLICATE,
        reason=str(fault),
        step="copies",
        repair=f"delete {fault.path}",
    )


def _missing(
    inventory: Inventory, names: set[str], selection: PluginChoice, rules: LoadingRules
) -> Iterator[PluginRecord]:
    for name in sorted((selection.names | rules.names) - names):
        kinds = [f"the rules ({kind})" for kind in rules.mentions(name)]
        if name in selection.names:
            kinds.append(f"{VARIABLE} or the command line")
        hints = [str(fault) for fault in inventory.faults if fault.name == name]
        near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.75)
        hints += [f"did you mean {near[0]}?"] if near else []
        need = rules.need_of(name)
        if need is None:
            yield missing_record(name, f"is named in {' and '.join(kinds)}, and is not installed", hints)
        else:
            record = missing_record(name, f"{need.why}, and the plugin is not installed", hints)
            yield replace(record, repair=f"pip install {name}")


def missing_record(name: str, why: str, hints: list[str] | None = None) -> PluginRecord:
    """A record of a plugin that is not there."""
    return PluginRecord(
        name=name,
        distribution=name,
        state=PluginState.MISSING,
        reason="; ".join([why, *(hints or [])]),
        step="installed",
        repair=f"pip install {name}, or correct the name",
    )
