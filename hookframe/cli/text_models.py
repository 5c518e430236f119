"""A model that reads texts, as the user names it on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hookframe.capture.text_model import TextInputs, TextModel
from hookframe.cli.any_models import load_pretrained
from hookframe.cli.devices import check_device
from hookframe.cli.points_of import load_object
from hookframe.errors import CaptureInputError, ModelNotLoaded

__all__ = ["open_text_model"]


def open_text_model(
    target: str,
    *,
    family: str | None = None,
    max_length: int | None = None,
    device: str | None = None,
    eager: bool = False,
) -> TextModel:
    """The model that ``target`` names: ``demo``, ``module:object``, or what transformers loads.

    :param target: for transformers, the name or directory of a model, or a ``.gguf`` file. Code that comes with a model is
        not run.
    :param eager: True to let transformers compute attention eagerly, so that its inside can be seen.
    :param device: where it is moved to, after admission, and its inputs with it; None to leave it where it is.
    :raises click.UsageError: if ``module:object`` names no such model, or this machine has no such device.
    :raises HookDenied: if the device is refused.
    :raises ModelNotLoaded: if transformers is not installed, or cannot load it.
    """
    if device is not None:
        check_device(device)
    opened = _opened(target, family, max_length, eager)
    return opened if device is None else _moved(opened, device)


def _moved(model: TextModel, device: str) -> TextModel:
    import torch
    from torch.utils._pytree import tree_map_only

    from hookframe.core.registration.admission import device_in_force

    root = model.root.to(device)
    there = device_in_force(root, None) or torch.device(device)  # a plugin may have chosen another

    def inputs(texts: Sequence[str]) -> TextInputs:
        made = model.encode(texts)
        return replace(made, arguments=tree_map_only(torch.Tensor, lambda value: value.to(there), made.arguments))

    return replace(model, root=root, encode=inputs)


def _opened(target: str, family: str | None, max_length: int | None, eager: bool) -> TextModel:
    if target == "demo":
        return _demo(max_length)
    if ":" in target:
        return _named(target)
    return _pretrained(target, family, max_length, eager)


def _named(target: str) -> TextModel:
    value = load_object(target)
    if not isinstance(value, TextModel) and callable(value):
        value = value()
    if not isinstance(value, TextModel):
        raise click.UsageError(
            f"{target!r} is a {type(value).__name__}: name a hookframe.capture.text_model.TextModel, or a function that "
            "makes one"
        )
    return value


def _demo(max_length: int | None) -> TextModel:
    import torch

    from hookframe.demo.grammar import encode
    from hookframe.demo.model import load_demo
    from hookframe.demo.steering import continuation

    model = load_demo()
    most = model.cfg.n_ctx if max_length is None else min(max_length, model.cfg.n_ctx)

    def read(texts: Sequence[str]) -> list[list[int]]:
        try:
            return [encode(text) for text in texts]
        except ValueError as error:
            raise CaptureInputError(f"the demo model cannot read a text: {error}") from error

    def inputs(texts: Sequence[str]) -> TextInputs:
        rows = [row[:most] for row in read(texts)]
        longest = max(map(len, rows))
        tokens = torch.tensor(
            [row + [row[0]] * (longest - len(row)) for row in rows]
        )  # causal: what is behind is unseen
        return TextInputs(
            {"tokens": tokens}, torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows]).bool()
        )

    def generate(texts: Sequence[str], count: int) -> list[str]:
        read(texts)
        return [continuation(model, text, max_new_tokens=count) for text in texts]

    return TextModel(root=model, encode=inputs, generate=generate)


def _pretrained(target: str, family: str | None, max_length: int | None, eager: bool) -> TextModel:
    from hookframe.instrumenting.instrument import instrument

    model, tokenizer = _load(target, {"attn_implementation": "eager"} if eager else {})
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    places = getattr(model.config, "max_position_embeddings", None)
    limits = [limit for limit in (max_length, tokenizer.model_max_length, places) if limit]

    def inputs(texts: Sequence[str]) -> TextInputs:
        made = tokenizer([*texts], return_tensors="pt", padding=True, truncation=True, max_length=min(limits))
        return TextInputs(dict(made), made["attention_mask"].bool())

    def generate(texts: Sequence[str], count: int) -> list[str]:
        tokenizer.padding_side = "left"
        made = tokenizer([*texts], return_tensors="pt", padding=True).to(model.device)
        written = model.generate(**made, max_new_tokens=count, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        return list(tokenizer.batch_decode(written[:, made["input_ids"].shape[1] :], skip_special_tokens=True))

    writes = callable(getattr(model, "can_generate", None)) and model.can_generate()
    return TextModel(root=instrument(model, family=family), encode=inputs, generate=generate if writes else None)


def _load(target: str, loading: dict[str, str]) -> tuple[Any, Any]:
    model = load_pretrained(target, loading)  # says so if transformers is not there
    import transformers

    path = Path(target)
    place, options = (str(path.parent), {"gguf_file": path.name}) if path.suffix == ".gguf" else (target, {})
    try:
        return model, transformers.AutoTokenizer.from_pretrained(place, **options)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelNotLoaded(f"the tokenizer of {target!r} cannot be loaded by transformers: {error}") from error
