"""A model of any kind, as the user names it on the command line: with hook points of its own, or one to instrument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hookframe.cli.points_of import load_object
from hookframe.errors import ModelNotLoaded

__all__ = ["eagerly", "load_pretrained", "open_any_model"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def eagerly(verb: _Verb) -> _Verb:
    """Add ``--eager``."""
    text = "Let transformers compute attention eagerly, so that its inside can be seen."
    return click.option("--eager", is_flag=True, help=text)(verb)


def open_any_model(target: str, *, family: str | None = None, eager: bool = False) -> Any:
    """The model that ``target`` names, with hook points.

    :param target: ``demo``; ``module:object``, a model or what makes one; or what transformers loads: the name or the
        directory of a model, a ``.gguf`` file, or a ``.json`` file with a configuration, which gives random weights. Code
        that comes with a model is not run.
    :param family: the name of the family, None to let hookframe recognise it.
    :param eager: True to let transformers compute attention eagerly, so that its inside can be seen.
    :raises click.UsageError: if ``module:object`` names no model.
    :raises ModelNotLoaded: if transformers is not installed, or cannot load it.
    :raises UnknownFamily: if no plugin provides the family.
    """
    from hookframe.core.verbs.root_module import HookedRootModule
    from hookframe.instrumenting.instrument import instrument

    model = _opened(target, eager)
    return model if isinstance(model, HookedRootModule) else instrument(model, family=family)


def _opened(target: str, eager: bool) -> Any:
    if target == "demo":
        from hookframe.demo.model import load_demo

        return load_demo()
    if ":" in target and not Path(target).exists():
        return _named(target)
    return load_pretrained(target, {"attn_implementation": "eager"} if eager else {})


def _named(target: str) -> Any:
    from torch import nn

    value = load_object(target)
    if not isinstance(value, nn.Module) and callable(value):
        value = value()
    if not isinstance(value, nn.Module):
        raise click.UsageError(f"{target!r} is a {type(value).__name__}: name a model, or a function that makes one")
    return value


def load_pretrained(target: str, options: dict[str, str]) -> Any:
    """The model that transformers loads, in eval mode.

    :param target: as for :func:`open_any_model`. A ``.gguf`` file is taken for a language model.
    :param options: what is passed on to transformers.
    :raises ModelNotLoaded: if transformers is not installed, or cannot load it.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelNotLoaded(
            f"{target!r} has to be loaded by transformers, which is not installed: install it, or name module:object"
        ) from error
    path = Path(target)
    try:
        if path.suffix == ".json":
            config = transformers.AutoConfig.from_pretrained(target)
            return _kind(transformers, config).from_config(config, **options).eval()
        place, file = (str(path.parent), {"gguf_file": path.name}) if path.suffix == ".gguf" else (target, {})
        config = transformers.AutoConfig.from_pretrained(place, **file)
        kind = transformers.AutoModelForCausalLM if file else _kind(transformers, config)
        return kind.from_pretrained(place, **file, **options).eval()
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelNotLoaded(f"{target!r} cannot be loaded by transformers: {error}") from error


def _kind(transformers: Any, config: Any) -> Any:
    """The transformers class that loads the model, chosen by the class that the configuration says it was saved as."""
    named = " ".join(config.architectures or ())
    if "ConditionalGeneration" in named:
        return transformers.AutoModelForSeq2SeqLM
    if "CausalLM" in named or "LMHead" in named:
        return transformers.AutoModelForCausalLM
    return transformers.AutoModel
