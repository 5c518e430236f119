"""What ``run_with_cache`` knows of values that were changed after they were stored."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
import torch._dynamo

import hookframe
from hookframe import HookedRootModule, HookPoint


class Steps(HookedRootModule):
    """Does ``before``, passes a point, does ``between``, passes another, does ``after``: each on the stream, in place."""

    def __init__(self, before=None, between=None, after=None):
        super().__init__()
        self.steps = (before, between, after)
        self.hook_a, self.hook_b = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x):
        before, between, after = self.steps
        if before:
            before(x)
        x = self.hook_a(x)
        if between:
            between(x)
        x = self.hook_b(x)
        if after:
            after(x)
        return x


def add(tensor):
    tensor.add_(1)


def stale(model, x, **options):
    return model.run_with_cache(x, **options)[1].stale


def test_values_that_stay_as_they_were_are_not_stale():
    assert stale(Steps(), torch.ones(3)) == ()


def test_a_tensor_that_had_been_changed_before_it_was_stored_is_not_stale():
    assert stale(Steps(before=add), torch.ones(3)) == ()


def test_a_tensor_that_is_changed_after_all_points_is_stale_at_all():
    with pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
        assert stale(Steps(after=add), torch.ones(3)) == ("hook_a", "hook_b")


def test_a_tensor_that_is_changed_between_two_points_is_stale_at_the_first():
    for model in (Steps(between=add), Steps(before=add, between=add)):
        with pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
            assert stale(model, torch.ones(3)) == ("hook_a",)


def test_a_tensor_that_had_been_changed_before_and_is_changed_after_is_stale():
    with pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
        assert stale(Steps(before=add, after=add), torch.ones(3)) == ("hook_a", "hook_b")


def test_a_view_goes_stale_with_its_base():
    class Viewing(Steps):
        def forward(self, x):
            whole = x * 2
            self.hook_a(whole[0])
            whole.add_(1)
            return self.hook_b(whole)

    with pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
        assert stale(Viewing(), torch.ones(3, 2)) == ("hook_a",)


def test_a_value_that_a_second_call_of_the_point_replaced_does_not_count():
    class Twice(Steps):
        def forward(self, x):
            first = self.hook_a(x * 2)
            first.add_(1)
            second = self.hook_a(x * 3)
            return self.hook_b(first + second)

    assert stale(Twice(), torch.ones(3)) == ()
    with pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
        assert stale(Back(), torch.ones(3)) == ("hook_a",)


class Back(Steps):
    """The value that is there at the end was stored with a version, by the second call; it has changed since."""

    def forward(self, x):
        self.hook_a(x * 2)
        second = x * 3
        second.add_(1)
        self.hook_a(second)
        second.add_(1)
        return self.hook_b(x * 4)


def test_what_is_stored_by_way_of_a_conversion_is_watched_too():
    class Same:
        def convert(self, tensor):
            return tensor

        def revert(self, tensor):
            return tensor

    model = Steps(after=add)
    model.hook_a.enable_reshape(Same())
    with pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
        assert stale(model, torch.ones(3)) == ("hook_a", "hook_b")


def test_tensors_of_inference_mode_are_stored_apart_from_the_models():
    model = Steps(after=add)
    with torch.inference_mode():
        _, cache = model.run_with_cache(torch.ones(3))
    assert cache.stale == ()
    assert cache["hook_a"].tolist() == cache["hook_b"].tolist() == [1, 1, 1]


def test_of_tensors_of_both_modes_those_with_a_version_are_watched():
    class Mixed(Steps):
        def forward(self, x):
            with torch.inference_mode():
                inner = torch.zeros(3)
                self.hook_a(inner)
                inner.add_(1)
            own = x * 2
            self.hook_b(own)
            own.add_(1)
            return own

    with pytest.warns(hookframe.StaleActivationWarning, match="hook_b"):
        _, cache = Mixed().run_with_cache(torch.ones(3))
    assert cache.stale == ("hook_b",)
    assert cache["hook_a"].tolist() == [0, 0, 0]


def test_what_is_no_tensor_is_refused_by_name():
    class Pair(Steps):
        def forward(self, x):
            return self.hook_a((x, x))

    with pytest.raises(hookframe.ActivationTypeError, match="hook_a"):
        Pair().run_with_cache(torch.ones(3))


def test_the_cache_of_one_run_is_not_written_to_by_the_next():
    model = Steps()
    caches = [model.run_with_cache(torch.full((3,), float(number)))[1] for number in range(3)]
    assert [cache["hook_b"].tolist() for cache in caches] == [[number] * 3 for number in range(3)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, while dynamo loads
def test_values_of_compiled_code_are_not_judged():
    """It knows of no versions: an input that had been written to before is not one that went stale."""

    class Weighted(Steps):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.hook_a(x) * self.hook_b(self.weight)

    torch._dynamo.reset()
    model, x = Weighted(), torch.zeros(3)
    x.copy_(torch.ones(3))
    with torch.no_grad():
        model.weight.mul_(2)
        model.compile(backend="eager")
        for _ in range(2):
            assert stale(model, x) == ()
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_values_beside_compiled_code_are_judged():
    class Inner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hook_c = HookPoint()

        def forward(self, x):
            return self.hook_c(x * 2)

    class Partly(Steps):
        def __init__(self):
            super().__init__()
            self.inner = Inner()
            self.setup()

        def forward(self, x):
            own = self.hook_a(x * 2)
            return self.inner(own) + own.add_(1)

    torch._dynamo.reset()
    model = Partly()
    model.inner.compile(backend="eager")
    with torch.no_grad(), pytest.warns(hookframe.StaleActivationWarning, match="hook_a"):
        _, cache = model.run_with_cache(torch.ones(3), names_filter=["hook_a", "inner.hook_c"])
    assert cache.stale == ("hook_a",)
    assert cache["inner.hook_c"].tolist() == [4, 4, 4]
    torch._dynamo.reset()


@pytest.mark.parametrize("incl_bwd", [False, True])
def test_a_caching_hook_with_aliases_stores_under_each(incl_bwd):
    model = Steps()
    cache, fwd, bwd = model.get_caching_hooks("hook_a", incl_bwd=incl_bwd)
    for direction, hooks in (("fwd", fwd), ("bwd", bwd)):
        for _, hook in hooks:
            model.hook_a.add_hook(hook, direction, alias_names=["first", "second"])
    model(torch.ones(2, requires_grad=True)).sum().backward()
    names = ["first", "second", *(["first_grad", "second_grad"] if incl_bwd else [])]
    assert [*cache] == names
    assert all(torch.equal(cache[name.replace("second", "first")], cache[name]) for name in names)


def test_an_alias_does_not_say_which_dimension_is_the_position():
    class Heads(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_q = HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_q(x)

    model = Heads()
    cache, fwd, _ = model.get_caching_hooks(pos_slice=-1)
    model.hook_q.add_hook(fwd[0][1], alias_names=["first", "my.hook_q"])
    model(torch.rand(2, 3, 4, 5))
    assert {name: tuple(value.shape) for name, value in cache.items()} == {
        "first": (2, 1, 4, 5),
        "my.hook_q": (2, 1, 4, 5),
    }


def test_a_cache_takes_at_most_a_kibibyte_a_point_beside_its_tensors():
    class Many(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.points = torch.nn.ModuleList([HookPoint() for _ in range(1000)])
            self.setup()

        def forward(self, x):
            for point in self.points:
                x = point(x)
            return x

    model, x = Many(), torch.ones(2)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        cache = model.run_with_cache(x)[1]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len({value.untyped_storage().data_ptr() for value in cache.values()}) == 1  # the model's own, and no copy
    assert (peak - before) / len(cache) <= 1024
