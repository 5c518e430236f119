"""One implementation of one plugin behind a guard: its failures are named, counted and contained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from hookframe.admission.objection import Objection
from hookframe.admission.request import Request
from hookframe.errors import JournalError, PluginError
from hookframe.hookspecs import VALIDATORS

__all__ = ["TRIP_AFTER", "FailedElsewhere", "GuardedImpl"]

logger = logging.getLogger("hookframe.plugins")

TRIP_AFTER = 5
"""After this many failures in a row an observer is left out."""


class FailedElsewhere(PluginError):
    """An implementation failed in another process; that process reports it as a guard here would.

    :ivar rule: the rule under which the failure is an objection.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class GuardedImpl:
    """An implementation with the name of its plugin.

    :param lenient: True for a validator whose failures are warned of instead of refusing.
    :ivar failures: how often it failed.
    """

    __slots__ = ("_in_a_row", "argnames", "failures", "function", "lenient", "plugin", "spec")

    def __init__(
        self, plugin: str, spec: str, function: Callable[..., Any], argnames: Sequence[str], *, lenient: bool = False
    ) -> None:
        self.lenient = lenient
        self.plugin = plugin
        self.spec = spec
        self.function = function
        self.argnames = tuple(argnames)
        self.failures = 0
        self._in_a_row = 0

    @property
    def tripped(self) -> bool:
        """True if the implementation failed :data:`TRIP_AFTER` times in a row."""
        return self._in_a_row >= TRIP_AFTER

    @property
    def left_out(self) -> bool:
        """True if it is not asked any more: a tripped observer, or a tripped validator that is lenient."""
        return self.tripped and (self.lenient or self.spec not in VALIDATORS)

    def call(self, facts: dict[str, Any]) -> Any:
        """Call it with the facts that it asked for.

        :raises Exception: what it raises, ``SystemExit`` as well; counted.
        """
        try:
            wanted = facts if len(self.argnames) == len(facts) else {name: facts[name] for name in self.argnames}
            answer = self.function(**wanted)
        except JournalError:
            raise  # not the plugin's failure: a disk may be full for a while
        except (Exception, SystemExit):
            self.failed()
            raise
        self._in_a_row = 0
        return answer

    def failed(self) -> None:
        """Count one failure."""
        self.failures += 1
        self._in_a_row += 1

    def validate(
        self, requests: Sequence[Request], facts: dict[str, Any], errors: list[BaseException] | None = None
    ) -> list[Objection]:
        """Ask a validator; each failure becomes an objection that denies, and is added to ``errors``.

        If it is lenient, the objection warns, and a tripped one is not asked.
        """
        errors = [] if errors is None else errors
        if self._in_a_row and self.left_out:
            return []
        try:
            answer = self.call(facts)
        except FailedElsewhere as error:
            logger.warning("validator %s of plugin %r failed in its process: %s", self.spec, self.plugin, error)
            errors.append(error)
            return [self._failed(requests, error.rule, str(error))]
        except (Exception, SystemExit) as error:
            logger.warning("validator %s of plugin %r raised", self.spec, self.plugin, exc_info=error)
            errors.append(error)
            return [self._failed(requests, "plugin-failed", f"the plugin raised {type(error).__name__}: {error}")]
        try:
            return self._checked(answer, requests)
        except PluginError as error:
            self.failed()
            errors.append(error)
            return [self._failed(requests, "plugin-answer", str(error))]

    def _checked(self, answer: Any, requests: Sequence[Request]) -> list[Objection]:
        if answer is None:
            return []
        if isinstance(answer, Objection):
            answer = [answer]
        if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
            raise PluginError(f"the plugin returned a {type(answer).__name__}, not objections")
        try:
            objections = list(answer)
        except (Exception, SystemExit) as error:  # a generator may raise half-way
            raise PluginError(f"the plugin raised {type(error).__name__} while answering: {error}") from error
        return [self._own(objection, requests) for objection in objections]

    def _own(self, objection: Any, requests: Sequence[Request]) -> Objection:
        if not isinstance(objection, Objection):
            raise PluginError(f"the plugin returned a {type(objection).__name__} among its objections")
        index = getattr(objection.request, "index", None)
        if not isinstance(index, int) or not 0 <= index < len(requests) or requests[index] != objection.request:
            raise PluginError("the plugin objected to a request that it was not asked about")
        return replace(objection, source=self.plugin)

    def _failed(self, requests: Sequence[Request], rule: str, message: str) -> Objection:
        make = Objection.warn if self.lenient else Objection.deny
        remedy = f"repair or uninstall the plugin {self.plugin!r}, or leave it out with HOOKFRAME_PLUGINS"
        return replace(make(requests[0], rule=rule, message=message, remedy=remedy), source=self.plugin)

    def observe(self, facts: dict[str, Any]) -> bool:
        """Tell an observer; return False if this failure was the one that trips it. Never raises."""
        if self._in_a_row and self.left_out:
            return True
        try:
            self.call(facts)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # any error of a plugin is logged with its traceback
            return self._isolate(error)
        return True

    def record(self, facts: dict[str, Any]) -> JournalError | None:
        """Tell an observer of decisions; return what it raised if it had to record the decision and could not."""
        if self._in_a_row and self.left_out:
            return None
        try:
            self.call(facts)
        except JournalError as error:
            return error
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as above
            self._isolate(error)
        return None

    def _isolate(self, error: BaseException) -> bool:
        logger.warning("observer %s of plugin %r raised", self.spec, self.plugin, exc_info=error)
        if self.tripped:
            logger.error("observer %s of plugin %r is left out after %d failures", self.spec, self.plugin, TRIP_AFTER)
        return not self.tripped

    def provide(self, facts: dict[str, Any]) -> list[Any]:
        """Ask a provider for a list; a failure is logged, and gives an empty list."""
        try:
            return list(self.call(facts) or ())
        except (Exception, SystemExit) as error:
            logger.warning("provider %s of plugin %r raised", self.spec, self.plugin, exc_info=error)
            return []
