"""The command itself: finds the verb, and turns errors into messages and exit codes.

Exit codes: 0 fine, 1 denied or findings, 2 usage or a file that cannot be read, 3 files that are not those that were
installed or pinned, or a journal that is not as it was written, 4 a plugin failed.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from hookframe.errors import HookDenied, HookframeError, PluginError

__all__ = ["cli", "main"]

_VERBS = {
    "can": ("hookframe.cli.can", "See which points of a model may be hooked, and what says no."),
    "capture": ("hookframe.cli.capture", "Write the activations of thousands of texts to disk."),
    "demo": ("hookframe.cli.demo", "See hooks, steering, a denial and the log on a small trained model."),
    "doctor": ("hookframe.cli.doctor", "See how much the policy promises on this machine, and why it is not more."),
    "explain": ("hookframe.cli.explain", "Explain why a request is allowed, warned of or refused."),
    "families": ("hookframe.cli.families", "See what the installed plugins know of model families."),
    "plugins": ("hookframe.cli.plugins", "See which plugins are installed, and what became of them."),
    "points": ("hookframe.cli.points", "See the hook points of a model."),
    "policy": ("hookframe.cli.policy", "See which policy is in force, and work on one."),
    "replay": ("hookframe.cli.replay", "See what another policy would have decided about what a journal recorded."),
    "run": ("hookframe.cli.run", "Run a script under the policy, with a report at the end."),
    "run-plan": ("hookframe.cli.run_plan", "Run texts through a model with a plan of hooks."),
    "scan": ("hookframe.cli.scan", "See every hook on a model, and those that were not admitted."),
    "specs": ("hookframe.cli.specs", "See every extension point that a plugin can implement."),
}
_OF_PLUGINS = {
    "audit": ("hookframe-journal", "Read journals of what was decided, and verify them."),
    "timings": ("hookframe-timing", "See how long hook functions took."),
}


class _LazyGroup(click.Group):
    """Imports a verb when it is called for; asks plugins only for verbs that are not built in."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*_VERBS, *_OF_PLUGINS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _VERBS:
            command: click.Command = importlib.import_module(_VERBS[cmd_name][0]).command
            return command
        return self._from_plugins(cmd_name)

    def _from_plugins(self, name: str) -> click.Command | None:
        from hookframe.admission.controller import source
        from hookframe.host.running.manager import PluginManager

        manager = source.current()
        registry = click.Group("plugins")
        if isinstance(manager, PluginManager):
            manager.commands(registry)
        command = registry.commands.get(name)
        if command is None and name in _OF_PLUGINS:
            raise click.UsageError(_why_missing(name, manager))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted((_VERBS | _OF_PLUGINS).items())])


def _why_missing(verb: str, manager: Any) -> str:
    """Why a verb that a plugin of this project has is not there, and what to do."""
    plugin = _OF_PLUGINS[verb][0]
    found = next((r for r in getattr(manager, "records", ()) if r.distribution == plugin), None)
    if found is None or found.state == "missing":
        return f"the verb {verb!r} comes with a plugin that is not installed: pip install {plugin}"
    return f"the verb {verb!r} comes with the plugin {plugin}, which is {found.state}: {found.reason}"


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="hookframe", message="%(package)s %(version)s")
def cli() -> None:
    """Admission control and a plugin bus for hooks in PyTorch models."""


def main() -> None:
    """Run the command; errors of hookframe's own are printed without a traceback."""
    try:
        cli()
    except PluginError as error:
        _fail(error, 4)
    except HookDenied as error:
        _fail(error, 1)
    except HookframeError as error:
        _fail(error, 2)


def _fail(error: HookframeError, code: int) -> None:
    click.echo(f"hookframe: {error}", err=True)
    sys.exit(code)
