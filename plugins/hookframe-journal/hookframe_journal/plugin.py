"""The journal as a program registers it itself: an observer of everything.

It implements no validator. A decision that has to be recorded and cannot be makes its observer raise
:class:`~hookframe.errors.JournalError`, which the host turns into a refusal.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hookframe import Decision
from hookframe.admission import events
from hookframe.admission.events import Event
from hookframe.admission.request import LazyRequests, Request
from hookframe.errors import JournalError
from hookframe.hookspecs import hookimpl
from hookframe_journal.facts import KeptFacts, keep
from hookframe_journal.journal import Journal
from hookframe_journal.record import batch_value, decision_body, event_body, names_value
from hookframe_journal.settings import JournalSettings
from hookframe_journal.values import Record, Value

__all__ = ["JournalPlugin", "is_grave"]

_MANY = 1024


def is_grave(decision: Decision) -> bool:
    """True if the decision refuses, or lets through by an exception what the policy denies."""
    return any(objection.refuses or objection.exception is not None for objection in decision.objections)


class JournalPlugin:
    """Records decisions and the life of hooks.

    The facts that a decision looked at are taken from the batch's memo, key ``"facts"``: a mapping of names to strings,
    numbers, truth values, tuples of strings, or None. Key ``"clock"`` may hold the time at which the batch was decided, in
    seconds since 1970, if it is not the time of recording.

    :param directory: where the segments go.
    :param required: refuse every operation whose decision cannot be recorded; else that is logged once, and counted.
    :param urgent: tells which decisions have to be on the disk before anything follows from them, besides the grave ones:
        those that refuse, and those that let through by an exception.
    :param facts_of: gives the facts for a decision, if they are not in the batch's memo.
    :param settings: the rest, as :class:`~hookframe_journal.settings.JournalSettings` has it: ``run``, ``rank``, ``policy``,
        ``plugins``, ``sealed_to``, ``anchor``, ``flush_records``, ``flush_seconds``, ``facts``, ``clock``.
    :ivar journal: what is written to.
    :raises JournalError: if a setting cannot be used.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        required: bool = False,
        urgent: Callable[[Decision], bool] | None = None,
        facts_of: Callable[[Decision], Mapping[str, Any] | None] | None = None,
        **settings: Any,
    ) -> None:
        if settings.get("anchor") is not None:
            settings["anchor"] = Path(settings["anchor"])
        self.journal = Journal(JournalSettings(directory=Path(directory), **settings))
        self.required = required
        self._urgent = urgent
        self._facts_of = facts_of
        self._batches: OrderedDict[Any, Value] = OrderedDict()
        self._names: OrderedDict[tuple[str, ...], Value] = OrderedDict()

    def close(self) -> None:
        """Write all that waits and the footer.

        :raises JournalError: if that fails.
        """
        self.journal.close()

    @hookimpl
    def hookframe_decision_made(self, decision: Decision) -> None:
        """Record a decision; one that is grave or urgent is on the disk when this returns.

        :raises JournalError: if the journal is required, and cannot be written.
        """
        if not len(decision.requests):
            return
        try:
            self._record(decision)
            if self.required and self.journal.failure is not None:
                self.journal.flush()  # it failed before: what waits may be written now, and has to be
        except JournalError:
            if self.required:
                raise
        except Exception as error:
            failure = self.journal.failed(error)
            if self.required:
                raise failure from error

    def _record(self, decision: Decision) -> None:
        now = self.journal.settings.clock()
        memo: dict[object, Any] = {}
        if isinstance(decision.requests, LazyRequests):
            memo = decision.requests.settle()
        facts = memo.get("facts") if self._facts_of is None else self._facts_of(decision)
        facts = None if facts is None else dict(facts)  # as they are now: the record is made later
        record = partial(self._body, decision, memo, facts, memo.get("clock", now), now)
        urgent = is_grave(decision) or (self._urgent is not None and self._urgent(decision))
        unproved = (
            self.required and self.journal.segment is None
        )  # a journal that is required is tried before it is relied on
        self.journal.write(record() if urgent or self.required else record, durable=urgent or unproved)

    def _body(
        self, decision: Decision, memo: dict[object, Any], facts: Mapping[str, Any] | None, clock: float, now: float
    ) -> Record:
        return decision_body(decision, self._batch(decision.requests, memo, facts), clock, now)

    def _batch(self, requests: Sequence[Request], memo: dict[object, Any], facts: Mapping[str, Any] | None) -> Value:
        """The batch as a value; made once for batches that are the same object, or equal, with equal facts."""
        if isinstance(requests, LazyRequests):
            # 1 equals True, and is another fact
            seen = None if facts is None else [(name, type(fact), fact) for name, fact in facts.items()]
            known = memo.get(self)
            if known is None or known[0] != seen:
                known = memo[self] = (seen, batch_value(requests, self._kept(facts)))
            value: Value = known[1]
            return value
        kept = self._kept(facts)
        key = (tuple(requests), repr(kept))
        return _remembered(self._batches, key, lambda: batch_value(requests, kept))

    def _kept(self, facts: Mapping[str, Any] | None) -> KeptFacts | None:
        return None if facts is None else keep(facts, self.journal.settings.facts)

    def _event(self, event: Event) -> None:
        now = self.journal.settings.clock()
        try:
            self.journal.write(partial(event_body, event, now, self._names_value))
        except JournalError:
            pass  # it is logged; the next decision is refused, if the journal is required
        except Exception as error:  # noqa: BLE001  # whatever writing meets: counted, and logged
            self.journal.failed(error)

    def _names_value(self, names: tuple[str, ...]) -> Value:
        return _remembered(self._names, names, lambda: names_value(names))

    @hookimpl
    def hookframe_hooks_added(self, event: events.HooksAdded) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_hooks_removed(self, event: events.HooksRemoved) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_hooks_reset(self, event: events.HooksReset) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_context_entered(self, event: events.ContextEntered) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_context_exited(self, event: events.ContextExited) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_cache_started(self, event: events.CacheStarted) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_cache_finished(self, event: events.CacheFinished) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_run_finished(self, event: events.RunFinished) -> None:
        """Record an event."""
        self._event(event)

    @hookimpl
    def hookframe_hook_failed(self, event: events.HookFailed) -> None:
        """Record an event."""
        self._event(event)


def _remembered(values: OrderedDict[Any, Value], key: Any, make: Callable[[], Value]) -> Value:
    """The value for ``key``, made if it is not among the last ones."""
    value = values.get(key)
    if value is None:
        if len(values) >= _MANY:
            values.popitem(last=False)
        value = values[key] = make()
    return value
