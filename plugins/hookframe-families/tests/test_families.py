"""Each family on a model built from its configuration: what its points show, what edits there do, what its checks see."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from hookframe_families.plugin import FAMILIES

import hookframe
from hookframe import instrument
from hookframe.instrumenting.naming import Layout
from hookframe.instrumenting.probing import probe, probe_input

from .by_hand import edited, observed
from .conftest import MODELS, build

WHOLE_SWEEP = bool(os.environ.get("HOOKFRAME_WHOLE_SWEEP"))  # each name at each other's place: minutes for each model

pytestmark = [
    pytest.mark.filterwarnings("default"),  # what the model library warns of while it builds is its own affair
    pytest.mark.parametrize("name", MODELS),
]


def logits(output):
    return output["logits"] if "logits" in output else output["last_hidden_state"]


def canonical(hooked):
    """Each canonical name of the model, with its place and its module."""
    layout = Layout.read(hooked.wrapped, hooked.family, ["", *hooked.mod_dict])
    return [(entry.name, entry.at, hooked.mod_dict[entry.module]) for entry in layout.canonical(hooked.family)]


def test_the_family_recognises_its_model_and_everything_it_knows_fires_and_holds(name):
    hooked = instrument(build(name))
    assert hooked.family.name in FAMILY_OF.get(name, name)
    tried = probe(hooked)
    assert [str(finding) for finding in tried.findings] == []
    assert tried.checked >= 10
    assert tried.skipped == {}
    silent = [known for known, _, _ in canonical(hooked) if hooked.names_of(known)[0] not in tried.values]
    assert silent == []


FAMILY_OF = {
    "gpt_neox one by one": "gpt_neox",
    "t5 gated": "t5",
    "qwen3_moe dense first": "qwen3_moe",
    "olmoe clipped": "olmoe",
    **dict.fromkeys(["llama base", "mistral", "qwen2", "smollm3"], "llama"),
}


def test_each_canonical_point_equals_what_a_plain_torch_hook_sees(name):
    model = build(name)
    hooked = instrument(model)
    inputs = probe_input(model, hooked.family)
    entries = canonical(hooked)
    with torch.no_grad():
        _, cache = hooked.run_with_cache(**inputs, names_filter=[known for known, _, _ in entries])
        for known, at, module in entries:
            seen, _ = observed(model, at, module, lambda: model(**inputs))
            value = cache[known]
            if at.heads_first:
                value = value.transpose(1, 2)
            assert torch.equal(value.reshape(seen[-1].shape), seen[-1]), known
            if at.heads is not None:
                assert value.shape[2] == getattr(model.config, at.heads), known


def changed(tensor):
    """An edit that no norm behind it takes out again, as one does with a factor alone."""
    return torch.where(tensor > 0, tensor * 1.5, tensor * 0.75)


def another_expert(indices):
    """The next one of the four."""
    return (indices + 1) % 4


def test_an_edit_at_each_point_of_a_module_is_the_same_edit_written_by_hand(name):
    model = build(name)
    hooked = instrument(model)
    inputs = probe_input(model, hooked.family)
    fired = probe(hooked).values
    effects = 0
    with torch.no_grad():
        plain = logits(model(**inputs))
        for point in hooked.hook_points():
            own = f"{point.module_name}.hook_{point.site.side}".lstrip(".")
            if own not in point.names or point.name not in fired:
                continue
            through = hooked.run_with_hooks(**inputs, fwd_hooks=[(own, lambda tensor, hook: moved(tensor))])
            by_hand = edited(point.site.module, point.site.side, lambda: model(**inputs), moved)
            assert torch.equal(logits(through), logits(by_hand)), own
            effects += not torch.equal(logits(through), plain)
    assert effects >= 0.8 * len({point for point in hooked.hook_points() if point.name in fired and point.at is None})


def moved(tensor):
    """An edit of numbers, or of tokens."""
    return changed(tensor) if tensor.is_floating_point() else tensor.flip(-1)


def test_an_edit_at_each_canonical_point_is_the_same_edit_written_by_hand(name):
    model = build(name)
    hooked = instrument(model)
    inputs = probe_input(model, hooked.family)
    with torch.no_grad():
        plain = logits(model(**inputs))
        for known, at, module in canonical(hooked):
            change = another_expert if "indices" in known else changed
            through = hooked.run_with_hooks(
                **inputs, fwd_hooks=[(known, lambda tensor, hook, change=change: change(tensor))]
            )
            _, by_hand = observed(model, at, module, lambda: model(**inputs), change=change)
            assert torch.equal(logits(through), logits(by_hand)), known
            unread = "hook_router_logits" in known  # shown beside what the model goes on with
            assert torch.equal(logits(through), plain) == unread, known
        assert torch.equal(logits(model(**inputs)), plain)


def test_each_point_has_its_position_where_the_family_says(name):
    """A longer input is longer there, and nowhere else."""
    hooked = instrument(build(name))
    if hooked.family.probe == "pixels":
        pytest.skip("the number of patches is fixed")
    shapes = []
    for length in (6, 7):
        inputs = {
            key: value[:, :1].expand(-1, length) for key, value in probe_input(hooked.wrapped, hooked.family).items()
        }
        with torch.no_grad():
            _, cache = hooked.run_with_cache(**inputs)
        shapes.append({known: value.shape for known, value in cache.items()})
    for known, at, _ in canonical(hooked):
        short, long = (list(sizes[hooked.names_of(known)[0]]) for sizes in shapes)
        grown = [dim for dim, (a, b) in enumerate(zip(short, long, strict=True)) if a != b]
        if at.pos_dim is not None:
            assert at.pos_dim in grown, known
            assert grown in ([at.pos_dim], [2, 3]), known  # a pattern grows in both of its positions


def test_a_wrong_name_is_caught(name):
    """Each name in turn is moved to the place of the next one that has other values, or of every one; the checks see it."""
    model = build(name)
    hooked = instrument(model)
    family, values = hooked.family, probe(hooked).values
    names = [known for known in family.names if known.replace("{i}", "0") in hooked.hook_dict]
    value = {known: values[hooked.names_of(known.replace("{i}", "0"))[0]] for known in names}
    missed, tried = [], set()
    for place, known in enumerate(names):
        for other in (*names[place + 1 :], *names[:place]):
            if value[known].shape != value[other].shape or not torch.equal(value[known], value[other]):
                mutated = replace(family, names={**family.names, known: family.names[other]})
                tried.add(known)
                if not probe(instrument(model, family=mutated)).findings:
                    missed.append(f"{known} at the place of {other}")
                if not WHOLE_SWEEP:
                    break
    assert missed == []
    assert len(tried) >= len(names) - 2


def test_idle_the_model_carries_nothing(name):
    model = build(name)
    hooked = instrument(model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    hooked.add_hook(lambda known: True, hookframe.read_only(lambda tensor, hook: None))
    hooked.release()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert name == "mamba" or model.config._attn_implementation == "eager"
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
