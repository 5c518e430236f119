"""Operations that are repeated: whoever has a say in the meantime is asked about the next one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HookDenied, HookPointClosed, Objection, hookimpl, instrument
from hookframe.instrumenting.family import Gate

from .conftest import SMALL, keep

NAMES = ["hook_embed", "blocks.0.attn.hook_z", "blocks.1.hook_resid_post"]


@pytest.fixture
def hooked(model, tokens):
    """An instrument on which one operation was done twice, so that it is planned."""
    hooked = instrument(model, family=SMALL)
    for _ in range(2):
        cache(hooked, tokens)
    return hooked


def cache(hooked, tokens):
    return hooked.run_with_cache(tokens, names_filter=NAMES)[1]


class Refuses:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return [Objection.deny(requests[0], rule="theirs", message="no", remedy="none")]


def refuse(hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
    if hook_point_name == "blocks.0.attn.hook_z":
        raise AssertionError(f"{hook_point_name} is mine")


@pytest.mark.parametrize("module", ["layers.0", "layers.0.attn", "layers", ""])
def test_a_module_around_a_point_was_compiled_in_place(hooked, model, tokens, module):
    model.get_submodule(module).compile(backend="eager")
    with pytest.raises(HookPointClosed, match="inside of a compiled module"):
        cache(hooked, tokens)


def test_the_modules_of_the_points_themselves_may_be_compiled(hooked, model, tokens):
    before = cache(hooked, tokens)
    model.layers[1].compile(backend="eager")
    with torch.no_grad():  # torch warns of itself when it compiles behind a tensor with a gradient
        after = cache(hooked, tokens)
    assert all(torch.allclose(before[name], after[name]) for name in NAMES)


def test_a_module_around_a_point_was_replaced_by_a_compiled_one(hooked, model, tokens):
    model.layers[0] = torch.compile(model.layers[0], backend="eager")
    with pytest.raises((HookPointClosed, hookframe.UnknownHookPoint)):
        cache(hooked, tokens)


def test_the_model_was_given_a_check(hooked, tokens):
    hooked.check_hooks_to_add = refuse
    with pytest.raises(AssertionError, match=r"hook_z is mine"):
        cache(hooked, tokens)
    del hooked.check_hooks_to_add
    assert set(cache(hooked, tokens)) == set(NAMES)


def test_the_same_place_in_another_instrument_counts(model, tokens):
    hooked = instrument(model)
    names = ["embed.hook_out", "layers.1.hook_out"]
    for _ in range(2):
        hooked.run_with_cache(tokens, names_filter=names)
    other = instrument(model)
    other.admission_controller = hookframe.PluginManager(Refuses())
    with pytest.raises(HookDenied, match="theirs"):
        hooked.run_with_cache(tokens, names_filter=names)
    del other
    assert set(hooked.run_with_cache(tokens, names_filter=names)[1]) == set(names)


def test_a_point_of_another_instrument_has_moved_to_one_of_the_modules(hooked, model, tokens):
    """No point is made, and nothing changes in the model itself."""
    holder = nn.Sequential(nn.Tanh())
    other = instrument(holder)
    other.admission_controller = hookframe.PluginManager(Refuses())
    cache(hooked, tokens)
    holder[0] = model.embed
    other.refresh()
    with pytest.raises(HookDenied, match="theirs"):
        cache(hooked, tokens)


def test_a_subclass_with_questions_of_its_own_is_asked_each_time(model, tokens):
    asked = []

    class Asking(hookframe.InstrumentedModel):
        def ask_own_check(self, attachment, name):
            asked.append(name)
            super().ask_own_check(attachment, name)

    hooked = Asking(model, SMALL)
    for _ in range(3):
        cache(hooked, tokens)
    assert asked == NAMES * 3


def test_a_gate_that_closes_in_between_leaves_its_points_out(model, tokens):
    closed: list[str] = []
    gate = Gate(rule="shut", points=("*.hook_z",), closed=lambda model: "shut" if closed else None, remedy="open it")
    hooked = instrument(model, family=replace(SMALL, gates=(gate,)))

    def zs(name):
        return name.endswith(("hook_z", "hook_embed"))

    for _ in range(2):
        assert hooked.run_with_cache(tokens, names_filter=zs)[1].skipped == {}
    closed.append("now")
    assert set(hooked.run_with_cache(tokens, names_filter=zs)[1].skipped) == {f"blocks.{n}.attn.hook_z" for n in (0, 1)}
    with pytest.raises(HookPointClosed, match="shut; open it"):
        hooked.add_hook(lambda name: name.endswith("hook_z"), keep)
