"""``hookframe specs``: the extension points, as ``hookframe.hookspecs`` documents them."""

from __future__ import annotations

import inspect
from typing import Any

import click

from hookframe import hookspecs
from hookframe.cli import output

__all__ = ["command"]

_KINDS = {
    "validator": hookspecs.VALIDATORS,
    "observer": hookspecs.OBSERVERS,
    "provider": hookspecs.PROVIDERS,
}


@click.command("specs")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(name: str | None, as_json: bool) -> None:
    """Show every extension point, or one: its arguments, when it is called, and what becomes of the answer.

    The text is that of hookframe.hookspecs; there is no second copy.
    """
    chosen = [spec for spec in _specs() if name in (None, spec["name"], spec["name"].removeprefix(hookspecs.PREFIX))]
    if not chosen:
        raise click.BadParameter(f"there is no spec {name!r}: hookframe specs lists them", param_hint="NAME")
    if as_json:
        output.print_json(chosen)
        return
    for spec in chosen:
        click.echo(click.style(f"{spec['name']}({', '.join(spec['arguments'])})", bold=True) + f"  {spec['kind']}")
        click.echo(_indented(spec["documentation"]) + "\n")


def _specs() -> list[dict[str, Any]]:
    return [_spec(kind, hookspecs.PREFIX + name) for kind, names in _KINDS.items() for name in names]


def _spec(kind: str, name: str) -> dict[str, Any]:
    function = getattr(hookspecs, name)
    return {
        "name": name,
        "kind": kind,
        "arguments": list(inspect.signature(function).parameters),
        "documentation": inspect.getdoc(function) or "",
    }


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
