"""What a person names on the command line as a model that reads texts."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hookframe.capture.text_model import TextInputs, TextModel
from hookframe.cli.points_of import load_object
from hookframe.errors import CaptureInputError

__all__ = ["open_text_model"]


def open_text_model(target: str, *, family: str | None = None, max_length: int | None = None) -> TextModel:
    """The model that ``target`` names: ``demo``, ``module:object``, or what transformers loads.

    :raises click.UsageError: if there is no such model.
    """
    if target == "demo":
        return _demo(max_length)
    if ":" in target:
        return _named(target)
    return _pretrained(target, family, max_length)


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

    def inputs(texts: Sequence[str]) -> TextInputs:
        try:
            rows = [encode(text)[:most] for text in texts]
        except ValueError as error:
            raise CaptureInputError(f"the demo model cannot read a text: {error}") from error
        longest = max(map(len, rows))
        tokens = torch.tensor(
            [row + [row[0]] * (longest - len(row)) for row in rows]
        )  # causal: what is behind is unseen
        return TextInputs(
            {"tokens": tokens}, torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows]).bool()
        )

    def generate(texts: Sequence[str], count: int) -> list[str]:
        return [continuation(model, text, max_new_tokens=count) for text in texts]

    return TextModel(root=model, encode=inputs, generate=generate)
