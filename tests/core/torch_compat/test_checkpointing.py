"""Edits in checkpointed parts: a backward pass that computes them again without the edits, or with others, says so."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

import hookframe
from hookframe import EditNotRecomputedWarning, HookedRootModule, HookPoint
from hookframe.core.torch_compat import checkpointing as recomputing

POINTS = ("hook_a", "hook_b", "hook_c")
both_kinds = pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])


class Part(HookedRootModule):
    """Three points in one checkpointed part; nothing behind the last of them has to be saved."""

    def __init__(self, reentrant=False, checkpointed=True):
        super().__init__()
        self.reentrant, self.checkpointed = reentrant, checkpointed
        self.hook_a, self.hook_b, self.hook_c = HookPoint(), HookPoint(), HookPoint()
        self.setup()

    def part(self, x):
        return self.hook_c(self.hook_b(self.hook_a(x * 3).sin()).exp())

    def forward(self, x):
        return (checkpoint(self.part, x, use_reentrant=self.reentrant) if self.checkpointed else self.part(x)).sum()


class Outer(HookedRootModule):
    """A checkpointed part around another."""

    def __init__(self, reentrant):
        super().__init__()
        self.reentrant, self.inner = reentrant, Part(reentrant)
        self.hook_out = HookPoint()
        self.setup()

    def forward(self, x):
        return checkpoint(lambda x: self.hook_out(self.inner(x)), x, use_reentrant=self.reentrant)


def triple(tensor, hook):
    return tensor * 3


def leaf():
    return torch.tensor([0.1, -0.2, 0.3], requires_grad=True)


def gradient(run, x=None):
    """The gradient that ``run`` leaves in its argument."""
    x = leaf() if x is None else x
    run(x)
    return x.grad


def told(run):
    """The warnings of edits that ``run`` ends with, and the gradient."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = gradient(run)
    return [str(w.message) for w in caught if w.category is EditNotRecomputedWarning], found


@both_kinds
@pytest.mark.parametrize("scope", ["all", "context"])
def test_an_edit_that_is_gone_before_the_backward_pass(reentrant, scope):
    model = Part(reentrant)
    loss = model.run_with_hooks(leaf(), fwd_hooks=[("hook_a", triple)], scope=scope)
    with pytest.warns(
        EditNotRecomputedWarning,
        match=r"with the edits by .*triple \(.*test_checkpointing.py:\d+\) at 'hook_a', and the hooks were off .*inside of 'with",
    ) as caught:
        loss.backward()
    assert caught[0].filename == __file__


@both_kinds
@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("permanent", [False, True])
def test_it_is_said_if_and_only_if_the_gradients_are_wrong(reentrant, name, permanent):
    model, plain = Part(reentrant), Part(checkpointed=False)

    def removed(x):
        handle = model.hook_dict[name].add_hook(triple, is_permanent=permanent)
        loss = model(x)
        handle.remove()
        loss.backward()

    said, found = told(removed)
    expected = gradient(lambda x: plain.run_with_hooks(x, fwd_hooks=[(name, triple)]).backward())
    assert bool(said) is not torch.allclose(found, expected)


@both_kinds
@pytest.mark.parametrize("name", POINTS)
def test_edits_that_are_there_for_the_backward_pass_are_right_and_nothing_is_said(reentrant, name):
    model, plain = Part(reentrant), Part(checkpointed=False)
    expected = gradient(lambda x: plain.run_with_hooks(x, fwd_hooks=[(name, triple)]).backward())

    def inside(x):
        with model.hooks([(name, triple)]):
            model(x).backward()

    def in_another_thread(x):
        with model.hooks([(name, triple)], scope="context"):
            thread = threading.Thread(target=model(x).backward)
            thread.start()
            thread.join()

    def permanent(x):
        model.add_perma_hook(name, triple)
        model(x).backward()

    def attached_again(x):
        loss = model(x)
        model.reset_hooks(including_permanent=True)
        with model.hooks([(name, triple)]):
            loss.backward()

    for run in (inside, in_another_thread, permanent, attached_again):
        said, found = told(run)
        assert said == []
        torch.testing.assert_close(found, expected)


@both_kinds
def test_an_edit_that_comes_before_the_backward_pass_only(reentrant):
    model = Part(reentrant)

    def late(x):
        loss = model(x)
        with model.hooks([("hook_a", triple)]):
            loss.backward()

    def another(x):
        with model.hooks([("hook_a", triple)]):
            loss = model(x)
            with model.hooks([("hook_b", triple)]):
                loss.backward()

    for run, point in ((late, "hook_a"), (another, "hook_b")):
        [text], _ = told(run)
        assert "ran forward without the edits" in text
        assert "triple (" in text
        assert f"at {point!r}, and the hooks were on" in text


@both_kinds
def test_contexts_that_end_at_different_times(reentrant):
    model = Part(reentrant)

    def outer_stays(x):
        with model.hooks([("hook_a", triple)]):
            model.run_with_hooks(x, fwd_hooks=[("hook_b", triple)]).backward()

    [text], _ = told(outer_stays)
    assert "at 'hook_b'," in text
    assert "'hook_a'" not in text


@both_kinds
def test_no_backward_pass_and_none_that_needs_it_say_nothing(reentrant):
    model = Part(reentrant)

    def alone(x):
        model.run_with_hooks(x, fwd_hooks=[("hook_a", triple)])

    def without_gradients(x):
        with torch.no_grad():
            model.run_with_hooks(x, fwd_hooks=[("hook_a", triple)])
        with torch.inference_mode():
            model.run_with_hooks(x.detach(), fwd_hooks=[("hook_a", triple)])

    def functions_that_only_look(x):
        model.run_with_hooks(x, fwd_hooks=[("hook_a", lambda tensor, hook: None)]).backward()
        model.run_with_cache(x)[0].backward()

    for run in (alone, without_gradients, functions_that_only_look):
        assert told(run)[0] == []


@both_kinds
def test_each_function_is_named_once_in_a_backward_pass(reentrant):
    class Two(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([Part(reentrant), Part(reentrant)])
            self.setup()

        def forward(self, x):
            return sum(part(x) for part in self.parts)

    model = Two()
    everywhere = [(lambda name: name.endswith(("hook_a", "hook_b")), triple)]
    [text], _ = told(lambda x: model.run_with_hooks(x, fwd_hooks=everywhere).backward())
    assert ".hook_a', " in text
    assert ".hook_b', and the hooks were off" in text
    [again], _ = told(lambda x: model.run_with_hooks(x, fwd_hooks=everywhere).backward())
    assert again == text


@both_kinds
def test_parts_inside_of_parts(reentrant):
    model, plain = Outer(reentrant), Part(checkpointed=False)
    expected = gradient(lambda x: plain.run_with_hooks(x, fwd_hooks=[("hook_a", triple)]).backward())

    def inside(x):
        with model.hooks([("inner.hook_a", triple)]):
            model(x).backward()

    said, found = told(inside)
    assert said == []
    torch.testing.assert_close(found, expected)
    [text], found = told(lambda x: model.run_with_hooks(x, fwd_hooks=[("inner.hook_a", triple)]).backward())
    assert "at 'inner.hook_a'" in text
    assert not torch.allclose(found, expected)


@both_kinds
def test_a_graph_that_is_used_twice(reentrant):
    model, x = Part(reentrant), leaf()
    with model.hooks([("hook_a", triple)]):
        loss = model(x)
        loss.backward(retain_graph=True)
    with pytest.warns(EditNotRecomputedWarning, match="'hook_a'"):
        loss.backward()


@both_kinds
def test_a_function_that_does_not_do_the_same_again(reentrant):
    model, calls = Part(reentrant), []

    def once(tensor, hook):
        calls.append(hook.name)
        return tensor * 3 if len(calls) == 1 else None

    def run(x):
        with model.hooks([("hook_a", once), ("hook_b", triple)]), set_checkpoint_early_stop(False):
            model(x).backward()

    said, _ = told(run)
    assert any("not all of the edits" in text and "let each hook do the same each time" in text for text in said)


@both_kinds
def test_bound_methods_and_conversions(reentrant):
    class Steers:
        def by_three(self, tensor, hook):
            return tensor * 3

    class Same:
        convert = revert = staticmethod(lambda x: x)

    model, steers = Part(reentrant), Steers()
    model.hook_a.hook_conversion = Same()
    loss = model.run_with_hooks(leaf(), fwd_hooks=[("hook_a", steers.by_three)])
    with model.hooks([("hook_a", steers.by_three)]):
        assert told(lambda x: loss.backward())[0] == []
    loss = model.run_with_hooks(leaf(), fwd_hooks=[("hook_a", steers.by_three)])
    assert len(told(lambda x: loss.backward())[0]) == 1


@both_kinds
def test_the_warning_can_be_an_error_and_names_nothing_of_torch(reentrant):
    loss = Part(reentrant).run_with_hooks(leaf(), fwd_hooks=[("hook_a", triple)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", EditNotRecomputedWarning)
        with pytest.raises(EditNotRecomputedWarning, match="hook_a") as raised:
            loss.backward()
    assert raised.value.__context__ is None


@both_kinds
def test_an_error_in_the_recomputation_is_that_error(reentrant):
    model, calls = Part(reentrant), []

    def fails_later(tensor, hook):
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("later")
        return tensor * 3

    with model.hooks([("hook_a", fails_later)]), pytest.raises(KeyError, match="later"):
        model(leaf()).backward()
    with pytest.raises(ZeroDivisionError):
        model.run_with_hooks(leaf(), fwd_hooks=[("hook_a", lambda tensor, hook: 1 / 0)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_a_module_that_torch_checkpoints_by_hooks_of_its_own():
    composable = pytest.importorskip("torch.distributed._composable")
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Linear(3, 3))
    composable.checkpoint(model[0])
    hooked, edits = hookframe.instrument(model), [("0.0.hook_out", triple)]
    [text], _ = told(lambda x: hooked.run_with_hooks(x, fwd_hooks=edits).sum().backward())
    assert "at '0.0.hook_out'" in text

    def inside(x):
        with hooked.hooks(edits):
            hooked(x).sum().backward()

    assert told(inside)[0] == []


@both_kinds
def test_tensors_that_are_kept_elsewhere_are_no_checkpoint(reentrant):
    model, plain = Part(reentrant), Part(checkpointed=False)

    def run(model, x):
        with torch.autograd.graph.save_on_cpu():
            loss = model.run_with_hooks(x, fwd_hooks=[("hook_a", triple)])
        loss.backward()

    assert len(told(lambda x: run(model, x))[0]) == 1
    assert told(lambda x: run(plain, x))[0] == []


@both_kinds
def test_a_torch_that_cannot_say_who_listens(reentrant, monkeypatch):
    monkeypatch.setattr(recomputing, "_saved_tensor_hooks", lambda _: ())
    model = Part(reentrant)
    assert len(told(lambda x: model.run_with_hooks(x, fwd_hooks=[("hook_a", triple)]).backward())[0]) == 1
    plain = Part(checkpointed=False)
    assert told(lambda x: plain.run_with_hooks(x, fwd_hooks=[("hook_a", triple)]).backward())[0] == []


def test_a_model_that_runs_forward_inside_of_a_backward_pass_is_no_recomputation():
    model, other = Part(checkpointed=False), Part(checkpointed=False)
    other.add_hook("hook_a", triple)
    point = model.hook_a
    point.add_hook(lambda gradient, hook: other(torch.ones(3)).detach() * gradient, "bwd")
    assert told(lambda x: model(x).backward())[0] == []


@both_kinds
def test_with_reentrance_an_edit_at_the_end_of_a_part_is_reported_even_if_no_gradient_depends_on_it(reentrant):
    def plus_one(model, x):
        model.run_with_hooks(x, fwd_hooks=[("hook_c", lambda tensor, hook: tensor + 1)]).backward()

    said, found = told(lambda x: plus_one(Part(reentrant), x))
    torch.testing.assert_close(found, gradient(lambda x: plus_one(Part(checkpointed=False), x)))
    assert bool(said) is reentrant


class Masked(HookedRootModule):
    """A checkpointed part with two inputs, of which one needs no gradient."""

    def __init__(self, checkpointed=True):
        super().__init__()
        self.checkpointed = checkpointed
        self.hook_in, self.hook_mask = HookPoint(), HookPoint()
        self.setup()

    def part(self, x, mask):
        return (self.hook_in(x).sin() * self.hook_mask(mask)).exp()

    def forward(self, x):
        x, mask = x * 2, torch.ones(3)
        return (checkpoint(self.part, x, mask, use_reentrant=True) if self.checkpointed else self.part(x, mask)).sum()


def triple_in_place(tensor, hook):
    with torch.no_grad():
        return tensor.mul_(3)


@pytest.mark.parametrize("name", ["hook_in", "hook_mask"])
@pytest.mark.parametrize("edit", [triple_in_place, triple])
@pytest.mark.parametrize("converts", [False, True])
def test_an_input_that_is_changed_in_place_twice_is_reported_if_and_only_if_the_gradients_are_wrong(
    name, edit, converts
):
    class Same:
        convert = revert = staticmethod(lambda x: x)

    def run(model, x):
        model.hook_dict[name].hook_conversion = Same() if converts else None
        with model.hooks([(name, edit)]):
            model(x).backward()

    said, found = told(lambda x: run(Masked(), x))
    expected = gradient(lambda x: run(Masked(checkpointed=False), x))
    assert bool(said) is not torch.allclose(found, expected)
    for text in said:
        assert f"triple_in_place ({__file__}" in text
        assert f"at {name!r} changed an input of a part of the model in place, and once more when" in text
        assert "return a new tensor" in text


def test_a_tensor_inside_of_a_part_may_be_changed_in_place():
    model, plain = Part(reentrant=True), Part(checkpointed=False)

    def run(model, x):
        with model.hooks([("hook_b", lambda tensor, hook: tensor.mul_(3))]):
            model(x * 1).backward()

    said, found = told(lambda x: run(model, x))
    assert said == []
    torch.testing.assert_close(found, gradient(lambda x: run(plain, x)))
