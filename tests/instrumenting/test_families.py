"""Families: how they are found, what their gates close, and what their checks see."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import hookframe
from hookframe import Family, hookimpl, instrument
from hookframe.instrumenting.checks import (
    Applies,
    Mixes,
    RowsSumToOne,
    Scores,
    SumOfHeads,
    Sums,
    Turns,
    UnitScale,
    relative,
)
from hookframe.instrumenting.choosing import families_in_force
from hookframe.instrumenting.family import Gate
from hookframe.instrumenting.place import At, into, out
from hookframe.instrumenting.probing import probe, probe_input

from .conftest import SMALL, Model, keep


class Provides:
    def __init__(self, *families):
        self.families = families

    @hookimpl
    def hookframe_model_families(self):
        return self.families


# ---- finding --------------------------------------------------------------------------------------------------------


def test_the_family_of_a_plugin_is_found_by_the_configuration(model, manager, caplog):
    assert instrument(model).family is None
    manager.register(Provides(SMALL, "no family"))
    assert [family.name for family in families_in_force()] == ["small"]
    assert instrument(model).family is SMALL
    assert instrument(nn.Linear(1, 1)).family is None
    assert instrument(model, family="small").family is SMALL
    assert "of family 'small'" in repr(instrument(model))


def test_a_second_family_that_recognises_a_model_takes_no_names_away(model, manager):
    wide = Family(name="a", model_types=("small", "others"), names={"hook_first": out("layers.0")})
    manager.register(Provides(wide, SMALL))
    hooked = instrument(model)
    assert hooked.family is SMALL  # the more special one
    assert {"hook_embed", "hook_first", "blocks.0.hook_resid_post"} <= set(hooked.hook_dict)
    assert hooked.families_around() == ("a", "small")


def test_an_unknown_family_says_which_there_are(model, manager):
    with pytest.raises(hookframe.UnknownFamily, match="no plugin provides any: install hookframe-families"):
        instrument(model, family="small")
    manager.register(Provides(SMALL))
    with pytest.raises(hookframe.UnknownFamily, match="did you mean 'small'"):
        instrument(model, family="smal")
    with pytest.raises(hookframe.UnknownFamily, match=r"known are \['small'\]"):
        instrument(model, family="zzz")


def test_names_are_found_below_wrappers_and_under_other_roots(model):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model
            self.config = model.config

    names = instrument(Outer(), family=SMALL).names_of("blocks.1.hook_resid_post")
    assert names == ("blocks.1.hook_resid_post", "inner.layers.1.hook_out")
    model.layers[1] = torch.compile(model.layers[1], backend="eager")
    hooked = instrument(model, family=SMALL)
    assert "layers.1.hook_out" in hooked.names_of("blocks.1.hook_resid_post")
    assert "layers.1._orig_mod.attn.fused.hook_out" in hooked.hook_dict
    assert hooked.hook_dict["blocks.1.attn.hook_q"].module_name == "layers.1._orig_mod.attn.fused"


def test_a_name_may_have_alternatives_and_conditions(model):
    family = replace(
        SMALL,
        names={
            "one": (out("nowhere"), out("head")),
            "two": out("head", when=("model_name", "large")),
            "three": out("head", when=("model_name", "small")),
            "four.{i}": out("layers.{i}.nowhere"),
        },
    )
    hooked = instrument(model, family=family)
    assert hooked.names_of("head.hook_out") == ("one", "three", "head.hook_out")
    assert not {"two", "four.0"} & set(hooked.hook_dict)


def test_a_family_without_its_anchor_gives_no_names(model):
    assert "hook_embed" not in instrument(model, family=replace(SMALL, anchor="blocks")).hook_dict


def test_a_place_without_positions_is_stored_whole(model, tokens):
    names = {"split": out("embed", pos_dim=None, heads="n_heads"), "flat": out("embed", pos_dim=None)}
    hooked = instrument(model, family=replace(SMALL, names=names))
    _, cache = hooked.run_with_cache(tokens, names_filter=[*names, "layers.0.hook_out"], pos_slice=0)
    assert cache["split"].shape == (2, 3, 2, 4)
    assert cache["flat"].shape == (2, 3, 8)
    assert cache["layers.0.hook_out"].shape == (2, 1, 8)


# ---- gates ----------------------------------------------------------------------------------------------------------


CLOSED = replace(
    SMALL,
    gates=(
        Gate(rule="open", points=("*",), closed=lambda model: None, remedy="none"),
        Gate(rule="shut", points=("*.hook_pattern",), closed=lambda model: "it is shut", remedy="open it"),
    ),
)


def test_a_closed_point_is_left_out_of_what_a_filter_sweeps_up(model, tokens):
    hooked = instrument(model, family=CLOSED)
    _, cache = hooked.run_with_cache(tokens)
    assert set(cache.skipped) == {"blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"}
    assert "it is shut; open it" in cache.skipped["blocks.0.attn.hook_pattern"]
    with pytest.raises(hookframe.HookPointClosed, match="it is shut; open it"):
        hooked.add_hook(lambda name: name.endswith("hook_pattern"), keep)


# ---- checks: each holds, and each sees what is wrong -----------------------------------------------------------------


def vectors(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


LINEAR, NORM = nn.Linear(8, 8), nn.LayerNorm(8)
X, HEADS = vectors(2, 3, 8), vectors(2, 3, 4, 2)
PATTERN_SCORES = vectors(2, 4, 3, 3)
PATTERN = PATTERN_SCORES.softmax(-1)
GROUPED = vectors(2, 3, 2, 2)


def scores(query, key, factor=0.5):
    return factor * query.transpose(1, 2) @ key.repeat_interleave(2, dim=2).transpose(1, 2).transpose(2, 3)


MASKED = scores(HEADS, GROUPED).masked_fill(torch.ones(3, 3).triu(1).bool(), -3e38)
CASES = [
    (Sums(("t", "a", "b")), (X + vectors(1, 3, 8), X, vectors(1, 3, 8)), None),
    (Applies(("o", "g")), (LINEAR(X), X), LINEAR),
    (Applies(("o", "g")), (LINEAR(X).view(2, 3, 4, 2), X), LINEAR),
    (Applies(("o", "g"), joined=False), (HEADS * 2, HEADS), lambda x: x * 2),
    (SumOfHeads(("o", "z")), (LINEAR(X), X.view(2, 3, 4, 2)), LINEAR),
    (RowsSumToOne(("p", "s")), (PATTERN, PATTERN_SCORES), None),
    (Mixes(("z", "p", "v")), ((PATTERN @ HEADS.transpose(1, 2)).transpose(1, 2), PATTERN, HEADS), None),
    (Scores(("s", "q", "k")), (MASKED, HEADS, GROUPED), None),
    (Scores(("s", "q", "k"), biased=True), (scores(HEADS, GROUPED, 1.0) + vectors(1, 4, 3, 3), HEADS, GROUPED), None),
    (Turns(("r", "q")), (HEADS.flip(-1), HEADS), None),
    (UnitScale(("n",)), (NORM(X),), NORM),
]


@pytest.mark.parametrize(("check", "values", "module"), CASES)
@torch.no_grad()
def test_each_check_holds_and_sees_a_wrong_value_and_a_wrong_shape(check, values, module):
    assert check.deviation(values, module) <= check.tolerance
    for place, value in enumerate(values):
        for wrong in (value.flip(0) * 3 + 0.1, value[..., :1]):
            changed = [*values[:place], wrong, *values[place + 1 :]]
            try:
                deviation = check.deviation(changed, module)
            except (RuntimeError, IndexError):
                deviation = float("inf")
            assert deviation > check.tolerance, (check, place)


@pytest.mark.parametrize("kind", [SumOfHeads, Mixes, Scores])
def test_tensors_of_another_number_of_dimensions_do_not_fit(kind):
    values = (X, X) if kind is SumOfHeads else (X, X, X)
    assert kind(("a", "b", "c")).deviation(values, LINEAR) == float("inf")


def test_what_is_not_finite_is_a_deviation():
    assert relative(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")


# ---- the probe ------------------------------------------------------------------------------------------------------


CHECKED = replace(
    SMALL,
    checks=(
        SumOfHeads(("blocks.{i}.hook_attn_out", "blocks.{i}.attn.hook_z"), "layers.{i}.attn.out"),
        Sums(("blocks.0.hook_resid_pre", "hook_embed")),
        Sums(("blocks.{last}.hook_resid_post", "hook_embed"), when=("model_name", "large")),
        Sums(("blocks.{next}.hook_resid_pre", "blocks.{next}.hook_resid_pre"), "layers.{i}"),
        Sums(("nowhere", "hook_embed")),
    ),
)


@pytest.fixture
def large(model):
    model.config.vocab_size = 11
    return model


def test_a_probe_shows_what_fired_and_that_the_checks_hold(large):
    large.train()
    hooked = instrument(large, family=CHECKED)
    tried = probe(hooked, {"tokens": probe_input(large, CHECKED)["input_ids"]})
    assert tried.checked == 4  # two layers, the embedding, one pair of layers
    assert tried.findings == ()
    assert tried.values["blocks.0.attn.hook_q"].shape == (2, 6, 2, 4)
    assert large.training


def test_a_wrong_name_is_found(large):
    wrong = replace(CHECKED, names={**CHECKED.names, "blocks.{i}.hook_attn_out": into("layers.{i}.mlp")})
    tried = probe(instrument(large, family=wrong), {"tokens": probe_input(large, wrong)["input_ids"]})
    assert {finding.names[0] for finding in tried.findings} == {"blocks.0.hook_attn_out", "blocks.1.hook_attn_out"}
    assert "SumOfHeads(blocks.0.hook_attn_out, blocks.0.attn.hook_z): off by" in str(tried.findings[0])
    missing = replace(CHECKED, names={**CHECKED.names, "blocks.{i}.attn.hook_z": At(module="layers.{i}")})
    tried = probe(instrument(large, family=missing), {"tokens": probe_input(large, wrong)["input_ids"]})
    assert "shapes that do not fit" in str(tried.findings[0])


def test_the_input_of_a_probe_goes_by_the_family():
    model = Model()
    model.config = SimpleNamespace(vocab_size=20, image_size=4, num_channels=3)
    assert probe_input(model, None)["input_ids"].shape == (2, 6)
    both = probe_input(model, replace(SMALL, probe="tokens-and-decoder-tokens"))
    assert list(both) == ["input_ids", "decoder_input_ids"]
    assert both["decoder_input_ids"].min() >= 10
    assert probe_input(model, replace(SMALL, probe="pixels"))["pixel_values"].shape == (2, 3, 4, 4)
    model.config = SimpleNamespace()
    with pytest.raises(hookframe.HookframeError, match="no vocab_size"):
        probe_input(model, None)


def test_a_check_that_cannot_compute_with_what_it_got_is_a_finding(large):
    """Shapes that do not fit are the usual sign of a wrong name."""
    wrong = replace(CHECKED, checks=(Applies(("hook_embed", "blocks.0.attn.hook_pattern"), "layers.0.mlp.0"),))
    tried = probe(instrument(large, family=wrong), {"tokens": probe_input(large, wrong)["input_ids"]})
    assert [str(finding) for finding in tried.findings] == [
        "Applies(hook_embed, blocks.0.attn.hook_pattern): shapes that do not fit (tolerance 0.0001)"
    ]


def test_a_family_that_is_not_found_in_the_model_has_nothing_to_check(large):
    elsewhere = replace(CHECKED, anchor="nowhere")
    tried = probe(instrument(large, family=elsewhere), {"tokens": probe_input(large, elsewhere)["input_ids"]})
    assert (tried.checked, tried.findings) == (0, ())
