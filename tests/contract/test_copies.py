"""Copies, pickles, saved state and replicas of models with hooks attached."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from hookframe import HookDenied, HookPoint, Objection, ReplicaCacheError, hookimpl, use_plugins


def tenfold(tensor, hook):
    return tensor * 10


def remember(tensor, hook):
    hook.ctx["seen"] = hook.ctx.get("seen", 0) + 1


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_torch_save(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


X = torch.ones(3)
every_copy = pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle, through_torch_save])
every_pickle = pytest.mark.parametrize("duplicate", [through_pickle, through_torch_save])


# ---- models without hooks --------------------------------------------------------------------------------------------


@every_copy
def test_a_copy_has_the_names_and_points_of_its_own(two, duplicate):
    other = duplicate(two)
    assert list(other.hook_dict) == list(two.hook_dict)
    assert other.hook_dict["first"] is other.first is other.mod_dict["first"]
    assert other.first is not two.first
    assert other.first.name == "first"
    assert other(X).equal(two(X))


@every_copy
def test_hooks_on_a_copy_leave_the_original_alone(two, duplicate):
    other = duplicate(two)
    other.add_hook("second", tenfold)
    assert other(X).tolist() == [21, 41, 61]
    assert two(X).tolist() == [3, 5, 7]
    assert two.list_hooks() == {}


@every_copy
def test_a_copy_caches(two, duplicate):
    assert list(duplicate(two).run_with_cache(X)[1]) == ["first", "second"]


@every_copy
def test_the_attributes_of_a_point_are_copied(two, duplicate):
    two.first.ctx["seen"] = 1
    two.first.backward_scale, two.first.pos_dim = 2.0, 1
    point = duplicate(two).first
    assert (point.ctx, point.backward_scale, point.pos_dim) == ({"seen": 1}, 2.0, 1)
    assert point.ctx is not two.first.ctx


# ---- models with hooks -----------------------------------------------------------------------------------------------


@every_copy
def test_the_hooks_of_a_copy_call_the_copied_points(two, duplicate):
    two.add_hook("first", remember)
    other = duplicate(two)
    other(X)
    assert other.first.ctx == {"seen": 1}
    assert two.first.ctx == {}
    two(X)
    assert two.first.ctx == other.first.ctx == {"seen": 1}


@every_copy
def test_the_hooks_of_a_copy_work_as_the_originals_do(two, duplicate):
    two.add_hook("second", tenfold)
    two.add_hook("first", tenfold, "bwd")
    other = duplicate(two)
    loss = other(X, loss=True)
    loss.backward()
    assert loss.item() == 123
    assert other.weight.grad.tolist() == [200, 200, 200]
    assert two.weight.grad is None


@every_copy
def test_a_copy_lists_its_hooks_before_it_has_run(two, duplicate):
    two.add_hook("first", tenfold, is_permanent=True, level=2)
    two.add_hook("second", tenfold, "bwd")
    other = duplicate(two)
    [[forward], [backward]] = other.list_hooks().values()
    assert (forward.is_permanent, forward.context_level, forward.user_hook) == (True, 2, tenfold)
    assert (backward.is_permanent, backward.context_level, backward.user_hook) == (False, None, tenfold)


@every_copy
def test_removing_hooks_from_a_copy_leaves_the_originals(two, duplicate):
    kept = two.add_hook("second", tenfold)
    other = duplicate(two)
    other.reset_hooks()
    assert other.list_hooks() == {}
    assert other(X).tolist() == [3, 5, 7]
    assert two.second.fwd_hooks == [kept]
    assert two(X).tolist() == [21, 41, 61]


@every_copy
def test_removing_hooks_from_the_original_leaves_the_copys(two, duplicate):
    handle = two.add_hook("second", tenfold)
    other = duplicate(two)
    handle.hook.remove()
    assert two(X).tolist() == [3, 5, 7]
    assert other(X).tolist() == [21, 41, 61]


@every_copy
def test_the_order_of_hooks_is_copied(two, duplicate):
    two.first.add_hook(remember)
    two.first.add_hook(tenfold, prepend=True)
    assert [handle.user_hook for handle in duplicate(two).first.fwd_hooks] == [tenfold, remember]


@every_copy
def test_aliases_are_copied(two, duplicate):
    two.first.add_hook(remember, alias_names=["a", "b"])
    other = duplicate(two)
    other(X)
    assert other.first.ctx == {"seen": 2}


@every_copy
def test_a_copy_of_a_model_that_caches_leaves_the_originals_cache_alone(two, duplicate):
    cache = two.add_caching_hooks()
    other = duplicate(two)
    assert other.is_caching is bool(other.list_hooks())
    other(X)
    assert dict(cache) == {}
    two(X)
    assert list(cache) == ["first", "second"]


def test_a_deep_copy_takes_functions_that_cannot_be_pickled(two):
    seen = []
    two.add_hook("first", lambda tensor, hook: seen.append(hook))
    other = copy.deepcopy(two)
    other(X)
    assert seen == [other.first]


def test_a_lone_point_can_be_copied():
    point = HookPoint()
    point.add_hook(remember)
    other = copy.deepcopy(point)
    other(X)
    assert (point.ctx, other.ctx) == ({}, {"seen": 1})


def test_a_copy_made_inside_a_context_is_not_inside_it(two):
    with two.hooks(fwd_hooks=[("first", remember)]):
        other = copy.deepcopy(two)
        two(X)
    assert other.context_level == 0
    with other.hooks():
        assert other.context_level == 1


# ---- admission of copies ---------------------------------------------------------------------------------------------


@every_copy
def test_the_hooks_of_a_copy_pass_admission_too(two, duplicate):
    class NoHooks:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [Objection.deny(r, rule="no-hooks", message="closed", remedy="none") for r in requests]

    two.add_hook("first", tenfold)
    with use_plugins(NoHooks()), pytest.raises(HookDenied, match="no-hooks"):
        duplicate(two)(X)


# ---- pickling --------------------------------------------------------------------------------------------------------


@every_pickle
def test_pickling_with_a_function_that_cannot_be_pickled_fails_naming_it(two, duplicate):
    def local_function(tensor, hook):
        return None

    two.add_hook("first", local_function)
    with pytest.raises(Exception, match="local_function"):
        duplicate(two)
    assert len(two.first.fwd_hooks) == 1


@every_pickle
def test_pickling_inside_a_context_leaves_the_context_working(two, duplicate):
    with two.hooks(fwd_hooks=[("second", tenfold)]):
        other = duplicate(two)
        assert two(X).tolist() == [21, 41, 61]
    assert two.list_hooks() == {}
    assert other.context_level == 0


@pytest.mark.parametrize("hooked", [False, True])
def test_the_state_can_always_be_saved(two, hooked):
    if hooked:
        two.add_hook("first", lambda tensor, hook: None)
        two.add_hook("second", lambda gradient, hook: None, "bwd")
        two.add_caching_hooks(incl_bwd=True)
        two.first.ctx["unpicklable"] = lambda: None
        two(X, loss=True).backward()
    buffer = io.BytesIO()
    torch.save(two.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    assert {name: value.tolist() for name, value in state.items()} == {"weight": [1, 2, 3]}


def test_saved_state_loads_into_a_model_with_hooks(two, make):
    other = make["two"]()
    other.add_hook("second", tenfold)
    with torch.no_grad():
        two.weight.mul_(2)
    other.load_state_dict(two.state_dict(), strict=True)
    assert other(X).tolist() == [41, 81, 121]


# ---- replicas --------------------------------------------------------------------------------------------------------


def replica_of(model):
    """A replica as data parallel execution makes one, on the same device."""
    modules = list(model.modules())
    replicas = {id(module): module._replicate_for_data_parallel() for module in modules}
    for module in modules:
        replica = replicas[id(module)]
        for name, child in module._modules.items():
            setattr(replica, name, replicas[id(child)])
        for name, parameter in module._parameters.items():
            replica._parameters[name] = parameter
    return replicas[id(model)]


def test_a_replica_runs_as_the_model_does(two):
    assert replica_of(two)(X).equal(two(X))


def test_hooks_run_on_a_replica(two):
    two.add_hook("second", tenfold)
    replica = replica_of(two)
    assert replica(X).tolist() == [21, 41, 61]
    replica(X, loss=True).backward()


def test_a_replica_changes_nothing_at_the_point_that_it_was_made_of():
    point, seen = HookPoint(), []
    handle = point.register_forward_hook(lambda module, args, output: None)
    replica = point._replicate_for_data_parallel()
    point.add_hook(lambda gradient, hook: seen.append(gradient), dir="bwd")
    handle.remove()
    replica(torch.ones(2))
    point(torch.ones(2, requires_grad=True)).sum().backward()
    assert len(seen) == 1


def test_caching_hooks_refuse_to_run_on_a_replica(two):
    cache = two.add_caching_hooks()
    replica = replica_of(two)
    with pytest.raises(ReplicaCacheError, match="replica"):
        replica(X)
    two(X)
    assert list(cache) == ["first", "second"]
