"""``hookframe points``: the hook points of a model, as a tree of its modules."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from hookframe.cli import output
from hookframe.cli.any_models import eagerly, open_any_model

if TYPE_CHECKING:
    from hookframe.instrumenting.probing import Probing

__all__ = ["command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One point.

    :ivar gate: why it is closed, and what opens it; None if it is open.
    :ivar fired: whether it did on the probe; None without one.
    """

    point: str
    names: tuple[str, ...]
    module: str
    kind: str
    gate: str | None
    fired: bool | None
    shape: list[int] | None
    dtype: str | None


@click.command("points")
@click.argument("model")
@click.option("--family", metavar="NAME", help="The model's family; found out from its configuration if not given.")
@click.option("--probe", is_flag=True, help="Run the model once on a small input; show what fired, and its shape.")
@eagerly
@click.option("--names", metavar="GLOB", default="*", help="Show the points with such a name only.")
@output.as_json
@click.pass_context
def command(
    ctx: click.Context, model: str, family: str | None, probe: bool, eager: bool, names: str, as_json: bool
) -> None:
    """Show the hook points of MODEL: their names, gates and, on a probe, shapes.

    MODEL is 'demo', module:object, or what transformers loads: a directory, a .gguf file, or a configuration as a .json
    file, which gives random weights. On a probe, the exit code is 1 if a check of the family does not hold.
    """
    root = open_any_model(model, family=family, eager=eager)
    tried = _probed(model, root) if probe else None
    rows = [row for row in _rows(root, tried) if any(fnmatch.fnmatchcase(name, names) for name in row.names)]
    if not rows:
        raise click.UsageError(f"no hook point of {model} has a name like {names!r}")
    if as_json:
        output.print_json([asdict(row) for row in rows])
    else:
        _print(root, rows, tried)
    if tried is not None and tried.findings:
        ctx.exit(output.FINDINGS)


def _probed(model: str, root: Any) -> Probing:
    from hookframe.errors import HookDenied, HookframeError
    from hookframe.instrumenting.probing import probe

    try:
        return probe(root)
    except HookDenied:
        raise
    except HookframeError as error:
        raise click.UsageError(f"{model} cannot be probed: {error}; or leave out --probe") from error
    except Exception as error:
        raise click.UsageError(
            f"{model} cannot be run on a probe ({type(error).__name__}: {error}): leave out --probe"
        ) from error


def _rows(root: Any, tried: Probing | None) -> Iterator[_Row]:
    """The points of modules that can be called; a list of modules has some as well, where nothing can fire."""
    from hookframe.instrumenting.module_point import is_called

    points: dict[int, tuple[Any, list[str]]] = {}
    for name, point in root.hook_dict.items():
        points.setdefault(id(point), (point, []))[1].append(name)
    for point, names in points.values():
        module = getattr(point, "module_name", names[0].rpartition(".")[0])
        holder = root.get_submodule(module) if module else getattr(root, "wrapped", root)
        if not is_called(holder):
            continue
        value = None if tried is None else tried.values.get(names[0])
        yield _Row(
            point=names[0],
            names=tuple(names),
            module=module,
            kind=type(holder).__name__,
            gate=_gate(root, names),
            fired=None if tried is None else value is not None,
            shape=None if value is None else list(value.shape),
            dtype=None if value is None else str(value.dtype).removeprefix("torch."),
        )


def _gate(root: Any, names: list[str]) -> str | None:
    """Why the point is closed; None if it is open."""
    from hookframe.instrumenting.choosing import family_for

    family = family_for(root)
    known = getattr(root, "families_with_models", () if family is None else [(family, root)])
    closed = next(filter(None, (family.closed_gate(name, of) for family, of in known for name in names)), None)
    return None if closed is None else f"{closed[1]}; {closed[0].remedy}"


def _print(root: Any, rows: list[_Row], tried: Probing | None) -> None:
    family = getattr(root, "family", None)
    known = "" if family is None else f", family {family.name}"
    click.echo(f"{type(getattr(root, 'wrapped', root)).__name__}{known}: {len(rows)} points")
    shown: str | None = None
    for row in rows:
        depth = row.module.count(".") + 1 if row.module else 0
        if row.module != shown:
            click.echo(
                "  " * depth + click.style(row.module.rpartition(".")[2] or "(the model)", bold=True) + f"  {row.kind}"
            )
            shown = row.module
        click.echo("  " * depth + "  " + _line(row))
    if tried is not None:
        _print_probe(rows, tried)


def _line(row: _Row) -> str:
    others = ", ".join(row.names[1:])
    parts = [row.names[0], f"({others})" if others else "", "" if row.shape is None else f"{row.shape} {row.dtype}"]
    if row.gate is not None:
        parts.append(click.style(f"closed: {row.gate}", fg="yellow"))
    elif row.fired is False:
        parts.append(click.style("did not fire", fg="yellow"))
    return "  ".join(part for part in parts if part)


def _print_probe(rows: list[_Row], tried: Probing) -> None:
    fired = sum(bool(row.fired) for row in rows)
    checks = f"; {tried.checked} checks, {len(tried.findings)} of them do not hold" if tried.checked else ""
    click.echo(f"\n{fired} of {len(rows)} points fired{checks}")
    for finding in tried.findings:
        click.echo(click.style(f"  {finding}", fg="red"))
