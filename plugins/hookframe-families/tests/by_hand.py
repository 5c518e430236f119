"""The same readings and edits as at a canonical point, written by hand with torch's own hooks, knowing nothing of hookframe."""

from __future__ import annotations

import sys

import torch


def slots(model, at, module):
    """Where a part of a fused tensor lies: positions along the last dimension, in the order of head and d_head."""
    heads = getattr(model.config, at.heads)
    width = module.weight.shape[0] if type(module).__name__ == "Linear" else module.weight.shape[1]
    size = width // at.part.count // heads
    places = torch.arange(width)
    if at.part.per_head:
        return places.view(heads, at.part.count, size)[:, at.part.index].reshape(-1)
    return places.view(at.part.count, heads * size)[at.part.index]


def in_model_layout(model, at, module):
    """Functions that read a point's values from the module's own tensor, in the module's own layout, and edit them there."""

    def read(tensor):
        return tensor if at.part is None else tensor[..., slots(model, at, module)]

    def write(tensor, change):
        if at.part is None:
            return change(tensor)
        tensor = tensor.clone()
        where = slots(model, at, module)
        tensor[..., where] = change(tensor[..., where])
        return tensor

    return read, write


def pick(value, item):
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, tuple):
        return value[item or 0]
    return value[item or "last_hidden_state"]


def put(value, item, tensor):
    if isinstance(value, torch.Tensor):
        return tensor
    if isinstance(value, tuple):
        return (*value[: item or 0], tensor, *value[(item or 0) + 1 :])
    value[item or "last_hidden_state"] = tensor
    return value


def observed(model, at, module, run, change=None):
    """What ``module`` shows at the place ``at`` during each of its calls, and the output; edited if ``change`` is given."""
    if at.inside is not None:
        return observed_inside(at, module, run, change)
    read, write = in_model_layout(model, at, module)
    seen = []

    def after(module, args, output):
        tensor = pick(output, at.item)
        seen.append(read(tensor))
        return None if change is None else put(output, at.item, write(tensor, change))

    def before(module, args, kwargs):
        if args and isinstance(args[0], torch.Tensor):
            seen.append(read(args[0]))
            return None if change is None else ((write(args[0], change), *args[1:]), kwargs)
        seen.append(read(kwargs["hidden_states"]))
        return None if change is None else (args, kwargs | {"hidden_states": write(kwargs["hidden_states"], change)})

    if at.side == "in":
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        return seen, run()
    finally:
        handle.remove()


def observed_inside(at, attention, run, change):
    """As :func:`observed`, by replacing the eager attention function of the model's source file for the time of the run."""
    source = sys.modules[type(attention).__module__]
    eager, softmax, seen = source.eager_attention_forward, torch.nn.functional.softmax, []

    def touched(tensor):
        seen.append(tensor)
        return tensor if change is None else change(tensor)

    def by_hand(module, query, key, *args, **kwargs):
        if module is not attention:
            return eager(module, query, key, *args, **kwargs)
        query = touched(query) if at.inside == "query" else query
        key = touched(key) if at.inside == "key" else key

        def watched(scores, *args, **kwargs):
            scores = touched(scores) if at.inside == "scores" else scores
            pattern = softmax(scores, *args, **kwargs)
            return touched(pattern) if at.inside == "pattern" else pattern

        torch.nn.functional.softmax = watched
        try:
            return eager(module, query, key, *args, **kwargs)
        finally:
            torch.nn.functional.softmax = softmax

    source.eager_attention_forward = by_hand
    try:
        return seen, run()
    finally:
        source.eager_attention_forward = eager


_CARRIES = ("hidden_states", "last_hidden_state", "logits", "inputs_embeds", "input_ids", "pixel_values")


def edited(module, side, run, change):
    """The output, with what goes into ``module`` or comes out of it edited in each of its calls."""

    def after(module, args, output):
        if isinstance(output, torch.Tensor):
            return change(output)
        if isinstance(output, tuple):
            first = next(place for place, value in enumerate(output) if isinstance(value, torch.Tensor))
            return (*output[:first], change(output[first]), *output[first + 1 :])
        key = next(key for key in _CARRIES if isinstance(output.get(key), torch.Tensor))
        output[key] = change(output[key])
        return output

    def before(module, args, kwargs):
        first = next((place for place, value in enumerate(args) if isinstance(value, torch.Tensor)), None)
        if first is not None:
            return (*args[:first], change(args[first]), *args[first + 1 :]), kwargs
        key = next(key for key in _CARRIES if isinstance(kwargs.get(key), torch.Tensor))
        return args, kwargs | {key: change(kwargs[key])}

    if side == "in":
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        return run()
    finally:
        handle.remove()
