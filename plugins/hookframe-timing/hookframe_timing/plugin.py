"""The plugin: what hookframe calls."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hookframe import hookimpl
from hookframe_timing.options import TimingOptions
from hookframe_timing.summary import append_summary
from hookframe_timing.tally import Row, Timings

if TYPE_CHECKING:
    import click

    from hookframe import HookRequest
    from hookframe.admission import events
    from hookframe.hookspecs import PluginConfig

__all__ = ["LOGGER", "TimingPlugin", "plugin"]

LOGGER = "hookframe.timing"


class TimingPlugin:
    """Times every hook function. Make an instance for each plugin manager; :data:`plugin` is the entry point's."""

    __name__ = "hookframe-timing"  # so that options find it under the distribution's name when it is registered by hand

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)
        self._start(TimingOptions())

    def _start(self, options: TimingOptions) -> None:
        self._options = options
        self._timings = Timings()
        self._warned: set[str] = set()
        self._process = os.getpid()

    @property
    def rows(self) -> list[Row]:
        """What was measured and not yet written to the file, functions that took longest in total first."""
        return self._timings.rows()

    def write(self) -> None:
        """Append what was measured since the last time to the file, if there is one; Python's end does so as well.

        A file that cannot be written is an error in the log, and what was to be written is lost. A forked child writes
        nothing: it carries what its parent measured.
        """
        self._warn_of_slow()
        file = self._options.file
        if file is None or os.getpid() != self._process:
            return
        rows = self._timings.rows(clear=True)
        try:
            if rows:
                append_summary(file, rows)
        except OSError as error:
            self._logger.error("the timings cannot be written to %r: %s", str(file), error.strerror)

    def _warn_of_slow(self) -> None:
        limit = self._options.slow_us
        if limit is None:
            return
        for row in self._timings.rows():
            if row.mean_us > limit and str(row) not in self._warned:
                self._warned.add(str(row))
                self._logger.warning(
                    "hook function %s takes %.1f us on average (%d calls), more than %g us",
                    row,
                    row.mean_us,
                    row.calls,
                    limit,
                )

    @hookimpl
    def hookframe_configure(self, config: PluginConfig) -> None:
        """Take the options, and count from 0; what was measured until now goes to the file that was in use."""
        options = TimingOptions.read(config.options)
        self.write()
        atexit.unregister(self.write)
        self._start(options)
        if options != TimingOptions():
            atexit.register(self.write)

    @hookimpl
    def hookframe_wrap_hook(self, request: HookRequest, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Put a timer around a user's function; it is not called for caching hooks."""
        from hookframe_timing.timer import Timer

        return Timer(hook, self._timings.of(request.function.module, request.function.qualname))

    @hookimpl
    def hookframe_hook_failed(self, event: events.HookFailed) -> None:
        """Count a function's exception."""
        self._timings.of(event.function.module, event.function.qualname).add_failure()

    @hookimpl
    def hookframe_run_finished(self, event: events.RunFinished) -> None:
        """Warn of functions that are slow: now, when no model is running."""
        self._warn_of_slow()

    @hookimpl
    def hookframe_context_exited(self, event: events.ContextExited) -> None:
        """As after a run."""
        self._warn_of_slow()

    @hookimpl
    def hookframe_hooks_removed(self, event: events.HooksRemoved) -> None:
        """As after a run."""
        self._warn_of_slow()

    @hookimpl
    def hookframe_hooks_reset(self, event: events.HooksReset) -> None:
        """As after a run."""
        self._warn_of_slow()

    @hookimpl
    def hookframe_add_commands(self, registry: click.Group) -> None:
        """Add the verb ``timings``."""
        from hookframe_timing.command import command

        registry.add_command(command)


plugin = TimingPlugin()
