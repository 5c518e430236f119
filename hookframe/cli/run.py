"""``hookframe run``: the user's script under the policy, with a report at the end."""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from hookframe.cli import output
from hookframe.cli.plugins import asking
from hookframe.cli.run_report import RunReport
from hookframe.errors import HookDenied

__all__ = ["command"]


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--policy", "policies", metavar="FILE", multiple=True, help="Add this file as a layer of the session.")
@asking.no_plugin
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report there as JSON.")
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(
    ctx: click.Context,
    policies: tuple[str, ...],
    without: tuple[str, ...],
    report: Path | None,
    script: Path,
    arguments: tuple[str, ...],
) -> None:
    """Run SCRIPT with ARGUMENTS as Python would, under the policy in force; then say what happened to hooks.

    The exit code is the script's; 1 if a refusal or an exception ended it.
    """
    from hookframe.host.running.using import use_plugins
    from hookframe.policy.files.layers import VARIABLE
    from hookframe.policy.in_force.governing import governed_manager

    if policies:
        files = [os.environ.get(VARIABLE, ""), *(str(Path(file).resolve()) for file in policies)]
        os.environ[VARIABLE] = os.pathsep.join(filter(None, files))
    counted = RunReport()
    manager = governed_manager(without=without)
    manager.register(counted)
    try:
        with use_plugins(manager):
            code = _run(script, arguments)
    finally:  # also after an interrupt
        click.echo(f"\nhookframe: {os.linesep.join(counted.lines())}", err=True)
    if report is not None:
        report.write_text(json.dumps({"script": str(script), "exit_code": code, **counted.facts()}, indent=2) + "\n")
    ctx.exit(code)


def _run(script: Path, arguments: Sequence[str]) -> int:
    before = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as error:
        return _code(error.code)
    except HookDenied as error:
        click.echo(f"hookframe: {error}", err=True)
        return output.FINDINGS
    except Exception:  # noqa: BLE001  # the script's own, shown as Python shows it
        traceback.print_exc()
        return output.FINDINGS
    finally:
        sys.argv, sys.path[:] = before
    return output.FINE


def _code(code: object) -> int:
    if code is None:
        return output.FINE
    if isinstance(code, int):
        return code
    click.echo(str(code), err=True)
    return output.FINDINGS
