"""Whether one plugin may load: every rule that applies to it, in order; the first that fails decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hookframe.host.installed.api import PLUGIN_API
from hookframe.host.installed.compatibility import KEYWORD, contains, why_api_differs, why_hookframe_differs
from hookframe.host.installed.distribution import Candidate, module_of
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.modules import locate
from hookframe.host.installed.plugin_choice import VARIABLE, PluginChoice
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.rules import LoadingRules, PluginPin

__all__ = ["PluginVerdict", "RuleOutcome", "judge", "record_of"]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """One rule, applied to one plugin.

    :ivar name: the rule's name, kebab-case.
    :ivar text: what it says of the plugin.
    :ivar state: the state that the rule gives the plugin; None if it passes.
    :ivar repair: what to do about it.
    """

    name: str
    text: str
    state: PluginState | None = None
    repair: str = ""


@dataclass(frozen=True, slots=True)
class PluginVerdict:
    """The outcome for one plugin, before anything is imported.

    :ivar steps: the rules that were applied, in order.
    """

    candidate: Candidate
    steps: tuple[RuleOutcome, ...]

    @property
    def decisive(self) -> RuleOutcome | None:
        """The step that keeps the plugin from loading, None if nothing does."""
        return next((step for step in self.steps if step.state is not None), None)

    @property
    def record(self) -> PluginRecord:
        """The outcome as a record."""
        step = self.decisive
        if step is not None and step.state is not None:
            return record_of(self.candidate, step.state, step.text, step=step.name, repair=step.repair)
        return record_of(
            self.candidate,
            PluginState.FOUND,
            with_notes(self.candidate, "installed; loads when the first hook is attached"),
        )


def record_of(
    candidate: Candidate, state: PluginState, reason: str, *, step: str = "", repair: str = ""
) -> PluginRecord:
    """A record of this plugin."""
    return PluginRecord(
        name=candidate.label,
        distribution=candidate.name,
        version=candidate.distribution.version,
        entry_point=candidate.place,
        origin=str(candidate.distribution.origin.kind),
        path=candidate.distribution.path,
        state=state,
        reason=reason,
        step=step,
        repair=repair,
    )


def with_notes(candidate: Candidate, reason: str) -> str:
    """The reason, with notes on what the user should know although nothing is wrong."""
    notes = [reason]
    if candidate.distribution.api is None:
        notes.append("states no range of plugin API versions")
    if candidate.rivals and candidate.entry_point is not None:
        notes.append(
            f"its entry point {candidate.entry_point.name!r} is claimed by {', '.join(candidate.rivals)} as well"
        )
    return "; ".join(notes)


def judge(
    candidate: Candidate, selection: PluginChoice, rules: LoadingRules, *, thorough: bool = False
) -> PluginVerdict:
    """Apply the rules to a plugin; nothing is imported, and files are read only where a rule needs their digests.

    :param thorough: go on after the first rule that fails, to show all of them.
    """
    steps: list[RuleOutcome] = []
    for check in _CHECKS:
        for step in check(candidate, selection, rules):
            steps.append(step)
            if step.state is not None and not thorough:
                return PluginVerdict(candidate, tuple(steps))
        if candidate.distribution.problem is not None:
            break  # what its metadata says cannot be relied on
    return PluginVerdict(candidate, tuple(steps))


def _metadata(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    distribution = candidate.distribution
    if distribution.problem is not None:
        repair = f"reinstall {candidate.name}, or delete {distribution.path}"
        yield RuleOutcome("metadata", f"{distribution.problem}: {distribution.path}", PluginState.BROKEN, repair)
    else:
        yield RuleOutcome("metadata", f"its metadata can be read: {distribution.path}")


def _copies(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    first = candidate.distribution.copy_of
    if first is not None:
        text = f"another copy of the distribution comes first: {first}"
        yield RuleOutcome(
            "copies", text, PluginState.DUPLICATE, f"uninstall one of them, or delete {candidate.distribution.path}"
        )
    elif candidate.repeated:
        text = f"its entry point {candidate.place!r} has the name of another one of the same distribution"
        yield RuleOutcome(
            "copies", text, PluginState.DUPLICATE, f"ask the authors of {candidate.name} to give it another name"
        )
    else:
        yield RuleOutcome("copies", "no other copy of the distribution comes before it")


def _lists(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    name = candidate.name
    if name in rules.deny:
        repair = f"take {name} out of deny" + ("" if name in rules.require else ", or uninstall it")
        yield RuleOutcome("deny", "the rules deny it", PluginState.BLOCKED, repair)
    if rules.allow is not None and name in rules.allow:
        yield RuleOutcome("allow", "the rules allow it")
    elif rules.allow is not None:
        yield RuleOutcome(
            "allow", "it is not among those that the rules allow", PluginState.BLOCKED, f"add {name} to allow"
        )
    if name in rules.require:
        need = rules.need_of(name)
        why = "the rules require it" if need is None else need.why
        yield RuleOutcome("require", f"{why}: every hook is refused without it")


def _person(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    reason = selection.why_not(candidate.name)
    if rules.need_of(candidate.name) is not None:
        yield RuleOutcome("selection", "it cannot be left out")
    elif reason is not None:
        how = (
            "run without --no-plugin"
            if candidate.name in selection.without
            else f"name it in {VARIABLE}, or unset that"
        )
        yield RuleOutcome("selection", reason, PluginState.DISABLED, f"to load {candidate.name}, {how}")
    elif selection.only is not None:
        yield RuleOutcome("selection", f"{VARIABLE} names it")


def _pins(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    for pin in rules.pins_for(candidate.name):
        yield from _pin(candidate, pin)


def _pin(candidate: Candidate, pin: PluginPin) -> Iterator[RuleOutcome]:
    name, origin, version = candidate.name, candidate.distribution.origin, candidate.distribution.version
    if pin.origins is not None:
        wanted = " or ".join(sorted(pin.origins))
        if origin.kind in pin.origins:
            yield RuleOutcome("origin", f"it was installed from {origin}, as the rules ask")
        else:
            text = f"it was installed from {origin}, and the rules ask for {wanted}"
            yield RuleOutcome("origin", text, PluginState.BLOCKED, f"reinstall {name} from {wanted}")
    if pin.version is not None:
        if version is not None and contains(pin.version, version):
            yield RuleOutcome("version", f"its version {version} is within {pin.version}")
        else:
            text = f"its version {version} is not within {pin.version}"
            yield RuleOutcome("version", text, PluginState.BLOCKED, f"pip install '{name}{pin.version}'")


def _compatibility(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    name, stated = candidate.name, candidate.distribution.api
    wrong = why_api_differs(stated)
    if wrong is not None:
        repair = f"install a release of {name} that supports plugin API {PLUGIN_API}"
        yield RuleOutcome("plugin-api", wrong, PluginState.INCOMPATIBLE, repair)
    elif stated is None:
        yield RuleOutcome(
            "plugin-api", f"it states no range of plugin API versions (keyword {KEYWORD}), and is taken as it is"
        )
    else:
        yield RuleOutcome("plugin-api", f"it supports plugin API {stated}, and this hookframe has {PLUGIN_API}")
    wrong = why_hookframe_differs(candidate.distribution.requires_hookframe)
    if wrong is not None:
        repair = f"install a release of {name} that fits this hookframe, or the hookframe that it asks for"
        yield RuleOutcome("requirement", wrong, PluginState.INCOMPATIBLE, repair)
    elif candidate.distribution.requires_hookframe:
        yield RuleOutcome(
            "requirement", f"it requires {', '.join(candidate.distribution.requires_hookframe)}, which is fulfilled"
        )


def _module(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    module = None if candidate.entry_point is None else module_of(candidate.entry_point)
    repair = f"reinstall {candidate.name}"
    if module is None:
        yield RuleOutcome("module", f"its entry point {candidate.place!r} names no module", PluginState.BROKEN, repair)
        return
    try:
        spec = locate(module)
    except Exception as error:  # noqa: BLE001  # finders of others are asked
        text = f"looking for its module {module} raised {type(error).__name__}: {error}"
        yield RuleOutcome("module", text, PluginState.BROKEN, repair)
        return
    if spec is None:
        yield RuleOutcome("module", f"its module {module} is nowhere on the path", PluginState.BROKEN, repair)
    else:
        yield RuleOutcome("module", f"its module {module} is at {spec.origin}")


def _integrity(candidate: Candidate, selection: PluginChoice, rules: LoadingRules) -> Iterator[RuleOutcome]:
    name = candidate.name
    if not rules.needs_digests(name):
        return
    check = check_files(candidate.distribution)
    pinned = [pin.digest for pin in rules.pins_for(name) if pin.digest]
    text, repair = check.describe(), f"pip install --force-reinstall --no-deps {name}"
    if check.impossible is not None:
        needed = bool(pinned) or rules.strict
        state = PluginState.BLOCKED if needed else None
        yield RuleOutcome(
            "integrity", text, state, f"install {name} from a wheel, so that it can be verified" if needed else ""
        )
    else:
        yield RuleOutcome(
            "integrity", text, None if check.intact else PluginState.TAMPERED, "" if check.intact else repair
        )
        for digest in pinned:
            same = digest == check.digest
            state = None if same else PluginState.TAMPERED
            repair = (
                f"install the release that was pinned, or pin this one with 'hookframe plugins lock': {check.digest}"
            )
            yield RuleOutcome(
                "digest", f"its digest is {'the pinned' if same else 'not the pinned'} {digest}", state, repair
            )


_CHECKS: tuple[Callable[[Candidate, PluginChoice, LoadingRules], Iterator[RuleOutcome]], ...] = (
    _metadata,
    _copies,
    _lists,
    _person,
    _pins,
    _compatibility,
    _module,
    _integrity,
)
