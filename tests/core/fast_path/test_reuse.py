"""What an operation leaves to the next one of its kind, and what takes that back."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref

import pytest
import torch

import hookframe
from hookframe import HookedRootModule, HookPoint, Objection, guarded, hookimpl, read_only

POINT = "blocks.1.hook_mlp_out"
NAMES = ["hook_embed", POINT]


class Look:
    """A validator that abstains, and keeps the batches that it was shown."""

    def __init__(self):
        self.batches = []

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.batches.append(requests)


@pytest.fixture
def look():
    look = Look()
    with hookframe.use_plugins(look):
        yield look


def double(tensor, hook):
    return tensor * 2


def with_gradients(model, x):
    cache, fwd, bwd = model.get_caching_hooks(incl_bwd=True)
    with model.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
        model(x.requires_grad_()).sum().backward()
    assert len(cache) == 20


OPERATIONS = {
    "cache all": lambda m, x: m.run_with_cache(x),
    "cache names": lambda m, x: m.run_with_cache(x, names_filter=[*NAMES]),
    "cache with gradients": lambda m, x: with_gradients(m, x),
    "cache, in a context of its own": lambda m, x: m.run_with_cache(x, scope="context"),
    "hooks by name": lambda m, x: m.run_with_hooks(x, fwd_hooks=[(POINT, double)]),
    "hooks by predicate": lambda m, x: m.run_with_hooks(x, fwd_hooks=[(lambda name: "resid" in name, double)]),
    "a function made anew": lambda m, x: m.run_with_hooks(x, fwd_hooks=[(POINT, lambda tensor, hook: None)]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_equal_operations_are_reviewed_each_time_with_one_and_the_same_batch(model, x, look, name):
    for _ in range(3):
        OPERATIONS[name](model, x)
    assert len(look.batches) == 3
    assert all(batch is look.batches[0] for batch in look.batches)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda m, x: m.run_with_cache(x), lambda m, x: m.run_with_cache(x, names_filter=NAMES)),
        (lambda m, x: m.run_with_cache(x), lambda m, x: m.run_with_cache(x, scope="context")),
        (
            lambda m, x: m.run_with_hooks(x, fwd_hooks=[(POINT, double)]),
            lambda m, x: m.run_with_hooks(x, fwd_hooks=[(POINT, read_only(lambda tensor, hook: None))]),
        ),
        (
            lambda m, x: m.run_with_hooks(x, fwd_hooks=[(POINT, double)]),
            lambda m, x: m.run_with_hooks(x, fwd_hooks=[(lambda name: name == POINT, double)]),
        ),
    ],
    ids=["points", "scope", "function", "exactness"],
)
def test_operations_of_different_kinds_share_nothing(model, x, look, one, other):
    one(model, x)
    other(model, x)
    assert look.batches[0] is not look.batches[1]


def test_what_a_controller_derived_from_a_batch_is_there_next_time(model, x):
    found = []

    class Deriving:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            found.append(requests.memo.setdefault("derived", object()))

    with hookframe.use_plugins(Deriving()):
        model.run_with_cache(x)
        model.run_with_cache(x)
    assert found[0] is found[1]


def test_a_refusal_that_comes_later_refuses(model, x):
    class Changing:
        deny = False

        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [
                Objection.deny(requests[0], rule="late", message="not any more", remedy="stop")
                for _ in range(self.deny)
            ]

    plugin = Changing()
    with hookframe.use_plugins(plugin):
        model.run_with_cache(x)
        plugin.deny = True
        with pytest.raises(hookframe.HookDenied, match="not any more"):
            model.run_with_cache(x)
        assert not any(point.has_hooks() for point in model.hook_points())
        plugin.deny = False
        assert len(model.run_with_cache(x)[1]) == 10


def test_points_that_were_skipped_come_back(model, x):
    class Skipping:
        skip = True

        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            if self.skip:
                return Objection.skip(requests[0], rule="first", message="not the first", remedy="none")
            return None

    plugin = Skipping()
    with hookframe.use_plugins(plugin):
        assert "hook_embed" not in model.run_with_cache(x)[1]
        plugin.skip = False
        assert "hook_embed" in model.run_with_cache(x)[1]
        plugin.skip = True
        assert "hook_embed" not in model.run_with_cache(x)[1]


# ---- what changes between two operations -----------------------------------------------------------------------------


def test_a_point_that_was_replaced_is_planned_anew(model, x, look):
    model.run_with_cache(x)
    model.blocks[1].hook_mlp_out = HookPoint()
    _, cache = model.run_with_cache(x)
    assert POINT in cache
    assert look.batches[0] is not look.batches[1]


@pytest.mark.parametrize(
    "names", [None, lambda name: True, "new", ["hook_embed", "new"]], ids=["all", "predicate", "name", "names"]
)
def test_a_point_that_was_added_is_found(model, names):
    model.run_with_cache(torch.ones(1, 2, 8))
    model.new = HookPoint()
    model.forward = lambda x: model.new(model.hook_embed(x))
    assert "new" in model.run_with_cache(torch.ones(1, 2, 8), names_filter=names)[1]


def test_a_block_that_was_taken_out_is_gone(model, x):
    model.run_with_cache(x)
    del model.blocks[1]
    assert list(model.run_with_cache(x)[1])[-1] == "blocks.1.hook_resid_post"
    with pytest.raises(hookframe.UnknownHookPoint, match=r"blocks\.2"):
        model.run_with_cache(x, names_filter="blocks.2.hook_resid_post")


def test_a_table_of_modules_that_was_exchanged_is_noticed(model, x):
    model.run_with_cache(x)
    block = model.blocks[0]
    block.__dict__["_modules"] = {**block._modules, "hook_late": HookPoint()}
    assert "blocks.0.hook_late" in {name for name, _, _ in model.select_points(None)}


def test_a_point_with_another_name_stores_under_that(model, x):
    model.run_with_cache(x)
    model.hook_embed.name = "renamed"
    assert next(iter(model.run_with_cache(x)[1])) == "renamed"


def test_a_name_given_while_an_operation_runs_counts_from_the_next_one(model, x):
    def rename(tensor, hook):
        hook.name = "renamed"

    for _ in range(2):
        model.run_with_hooks(x, fwd_hooks=[("hook_embed", rename)])
    assert next(iter(model.run_with_cache(x)[1])) == "renamed"


class Negated:
    def convert(self, tensor):
        return -tensor

    def revert(self, tensor):
        return -tensor


@pytest.mark.parametrize("when", ["between", "inside"])
def test_a_conversion_counts_from_the_moment_it_is_set(model, x, when):
    _, plain = model.run_with_cache(x)
    if when == "between":
        model.hook_embed.hook_conversion = Negated()
        _, cache = model.run_with_cache(x)
    else:
        cache, fwd, _ = model.get_caching_hooks()
        with model.hooks(fwd_hooks=fwd):
            model.hook_embed.hook_conversion = Negated()
            model(x)
    assert torch.equal(cache["hook_embed"], -plain["hook_embed"])
    model.hook_embed.hook_conversion = None
    assert torch.equal(model.run_with_cache(x)[1]["hook_embed"], plain["hook_embed"])


def test_a_conversion_set_on_an_attached_hook_counts(model, x):
    seen = []
    model.add_hook("hook_embed", lambda tensor, hook: seen.append(tensor))
    model.hook_embed.hook_conversion = Negated()
    model(x)
    assert torch.equal(seen[0], -x)


def test_the_models_own_check_is_asked_about_every_point_every_time(x):
    asked = []

    class Checked(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.first, self.second = HookPoint(), HookPoint()
            self.setup()

        def forward(self, x):
            return self.second(self.first(x))

        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            asked.append(hook_point_name)
            assert hook_point_name not in refused

    refused: set[str] = set()
    model = Checked()
    for _ in range(2):
        assert list(model.run_with_cache(x)[1]) == ["first", "second"]
    assert asked == ["first", "second"] * 2
    refused.add("first")
    assert list(model.run_with_cache(x)[1]) == ["second"]
    refused.clear()
    assert list(model.run_with_cache(x)[1]) == ["first", "second"]


def test_a_check_that_one_model_is_given_counts_at_once(model, x):
    model.run_with_cache(x)

    def check(point, name, hook, **options):
        raise AssertionError("nothing here")

    model.check_hooks_to_add = check
    with pytest.raises(AssertionError, match="nothing here"):
        model.run_with_cache(x, names_filter="hook_embed")


def test_a_model_that_takes_in_a_point_has_a_say_from_then_on(model, x):
    model.run_with_cache(x, names_filter="hook_embed")

    class Strict(HookedRootModule):
        def __init__(self, point):
            super().__init__()
            self.point = point
            self.setup()

        def check_hooks_to_add(self, *args, **kwargs):
            raise AssertionError("mine")

    other = Strict(model.hook_embed)
    with pytest.raises(AssertionError, match="mine"):
        model.run_with_cache(x, names_filter="hook_embed")
    del other
    gc.collect()
    assert list(model.run_with_cache(x, names_filter="hook_embed")[1])


def test_a_predicate_is_asked_every_time(model, x):
    wanted = {"hook_embed"}
    for _ in range(2):
        assert list(model.run_with_cache(x, names_filter=lambda name: name in wanted)[1]) == ["hook_embed"]
    wanted.add(POINT)
    assert list(model.run_with_cache(x, names_filter=lambda name: name in wanted)[1]) == NAMES


def test_a_list_of_names_that_was_changed_is_read_again(model, x):
    names = ["hook_embed"]
    model.run_with_cache(x, names_filter=names)
    names.append(POINT)
    assert list(model.run_with_cache(x, names_filter=names)[1]) == NAMES


def test_names_that_were_swept_up_are_not_taken_for_written_ones(gated_model, x):
    _, fwd, _ = gated_model.get_caching_hooks()
    swept = [name for name, _ in fwd]
    with pytest.raises(AssertionError, match="use_hook_mlp_in is off"):
        gated_model.run_with_cache(x, names_filter=[str(name) for name in swept])
    assert len(gated_model.run_with_cache(x, names_filter=swept)[1]) == 10


def test_a_mark_put_on_a_function_counts_from_then_on(model, x):
    def edit(tensor, hook):
        return tensor * 2

    model.run_with_hooks(x, fwd_hooks=[(POINT, edit)])
    read_only(edit)
    with pytest.raises(hookframe.HookEffectError, match="returned a Tensor"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, edit)])


def test_rules_put_on_a_function_count_from_then_on(model, x):
    def cut(tensor, hook):
        return tensor[:1]

    with pytest.raises(hookframe.HookReturnError, match="of shape"):
        model.run_with_hooks(x[:, :, :], fwd_hooks=[("blocks.2.hook_resid_post", cut)])
    guarded(cut, shape=False)
    assert model.run_with_hooks(x, fwd_hooks=[("blocks.2.hook_resid_post", cut)]).shape[0] == 1


def test_functions_with_the_same_source_each_do_their_own(model, x):
    def adding(amount):
        return lambda tensor, hook: tensor + amount

    last = "blocks.2.hook_resid_post"
    for amount in (1.0, 2.0):
        output = model.run_with_hooks(x, fwd_hooks=[(last, adding(amount))])
        assert torch.equal(output, model(x) + amount)


def test_functions_are_wrapped_for_each_operation(model, x):
    class Counting:
        def __init__(self):
            self.wrapped = 0

        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            self.wrapped += 1
            return lambda tensor, hook, inner=hook: inner(tensor, hook=hook)

    plugin = Counting()
    with hookframe.use_plugins(plugin):
        for _ in range(3):
            model.run_with_hooks(x, fwd_hooks=[(POINT, double)])
    assert plugin.wrapped == 3


# ---- who else holds something ----------------------------------------------------------------------------------------


def test_a_handle_of_an_operation_that_is_over_removes_nothing_of_the_next(model, x):
    held = []
    for _ in range(2):
        with model.hooks(fwd_hooks=[(POINT, double)]):
            held += model.hook_dict[POINT].fwd_hooks
            for handle in held[:-1]:
                handle.remove()
            assert len(model.hook_dict[POINT].fwd_hooks) == 1
            model(x)
    assert held[0] is not held[1]
    assert [handle.user_hook for handle in held] == [double, double]


def test_a_hook_that_was_removed_inside_is_there_next_time(model, x):
    for _ in range(2):
        with model.hooks(fwd_hooks=[(POINT, double), ("hook_embed", double)]):
            assert len(model.list_hooks()) == 2
            model(x)
            model.hook_dict[POINT].remove_hooks()
        assert model.list_hooks() == {}


def test_hooks_that_others_attached_meanwhile_stay(model, x):
    for _ in range(2):
        with model.hooks(fwd_hooks=[(POINT, double)]):
            model.add_hook(POINT, double)
            model(x)
    assert len(model.hook_dict[POINT].fwd_hooks) == 2


def test_hooks_that_are_kept_are_not_used_again(model, x):
    for _ in range(2):
        model.run_with_hooks(x, fwd_hooks=[(POINT, double)], reset_hooks_end=False)
    assert len(model.hook_dict[POINT].fwd_hooks) == 2
    plain = model(x)
    model.reset_hooks()
    assert not torch.equal(model(x), plain)


def test_equal_operations_inside_of_each_other_each_fill_their_own_cache(model, x):
    outer, fwd, _ = model.get_caching_hooks("hook_embed")
    with model.hooks(fwd_hooks=fwd):
        inner, fwd, _ = model.get_caching_hooks("hook_embed")
        with model.hooks(fwd_hooks=fwd):
            model(x)
        model(x + 1)
    assert torch.equal(inner["hook_embed"], x)
    assert torch.equal(outer["hook_embed"], x + 1)


def test_the_graph_of_an_operation_that_is_over_calls_no_hook_of_the_next(model, x):
    def noting(seen):
        return lambda gradient, hook: seen.append(hook.name)

    x, own, of_next = x.requires_grad_(), [], []
    with model.hooks(bwd_hooks=[(POINT, noting(own))]):
        old = model(x).sum()
    with model.hooks(bwd_hooks=[(POINT, noting(of_next))]):
        old.backward(retain_graph=True)
        assert (own, of_next) == ([POINT], [])
        model(x).sum().backward()
    old.backward()
    assert (own, of_next) == ([POINT] * 2, [POINT])


def test_a_batch_is_used_again_once_its_graphs_are_gone(model, x):
    def enter():
        with model.hooks(bwd_hooks=[(POINT, double)]):
            loss = model(x.requires_grad_()).sum()
            used.append(model.hook_dict[POINT].backward_attachments[0])
        loss.backward(retain_graph=True)
        return loss

    used = []
    enter()
    enter()
    kept = enter()
    enter()
    assert used[0] is used[1] is used[2] is not used[3]
    del kept
    enter()
    assert used[4] in (used[0], used[3])


def test_nothing_of_a_run_is_kept_alive(model, x):
    class Function:
        def __call__(self, tensor, hook):
            return None

    function = Function()
    _, cache = model.run_with_cache(x)
    model.run_with_hooks(x, fwd_hooks=[(POINT, function)])
    gone = [weakref.ref(cache), weakref.ref(cache[POINT]), weakref.ref(function)]
    del cache, function
    assert [reference() for reference in gone] == [None] * 3


def test_a_model_is_freed_without_a_collector(x):
    class Small(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a = HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_a(x)

    model = Small()
    model.run_with_cache(x)
    model.run_with_hooks(x, fwd_hooks=[("hook_a", double)])
    gone = weakref.ref(model)
    gc.collect()
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_counts_begin_anew_each_time(model, x):
    told = []

    class Counting:
        @hookimpl
        def hookframe_run_finished(self, event):
            told.append(event.counts[POINT, "fwd"])

    with hookframe.use_plugins(Counting()):
        for runs in (2, 1):
            with model.hooks(fwd_hooks=[(POINT, double)]):
                for _ in range(runs):
                    model(x)
        model.run_with_cache(x)
        model.run_with_cache(x)
    assert told == [2, 1, 1, 1]


def test_a_hook_that_never_fired_is_warned_of_every_time(model, x):
    for _ in range(2):
        with pytest.warns(hookframe.HookDidNotFireWarning, match="hook_mlp_in"):
            model.run_with_hooks(x, fwd_hooks=[("blocks.0.hook_mlp_in", double)])


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_failure_is_told_once(model, x):
    told = []

    class Watching:
        @hookimpl
        def hookframe_hook_failed(self, event):
            told.append(event.message)

    def sometimes(tensor, hook):
        if fail:
            raise ValueError("now")

    with hookframe.use_plugins(Watching()):
        for fail in (False, True, False):
            with contextlib.suppress(ValueError):
                model.run_with_hooks(x, fwd_hooks=[(POINT, sometimes)])
    assert told == ["now"]


def test_stale_values_are_found_in_each_run(model, x):
    def spoil(tensor, hook):
        if fail:
            tensor.add_(1)

    model.add_hook("blocks.0.hook_resid_pre", spoil)
    fail = False
    assert model.run_with_cache(x.clone())[1].stale == ()
    fail = True
    with pytest.warns(hookframe.StaleActivationWarning, match="hook_embed"):
        assert "hook_embed" in model.run_with_cache(x.clone())[1].stale
    fail = False
    assert model.run_with_cache(x.clone())[1].stale == ()


def test_so_much_is_kept_and_no_more(model, x):
    for number in range(300):
        names = [
            f"blocks.{layer}.{part}"
            for layer in range(3)
            for part in ("hook_resid_pre", "hook_mlp_out", "hook_resid_post")
        ]
        chosen = [name for place, name in enumerate(names) if number >> place & 1] or names
        model.run_with_cache(x, names_filter=chosen)
    tree = model.kept_tree
    assert len(tree._kept) <= 128
    assert len(tree.batches._free) <= 64


def test_threads_that_run_one_kind_at_once_do_not_share(model, x):
    inside, leave = threading.Barrier(3), threading.Barrier(3)

    def run(found, scale):
        def wait(tensor, hook):
            inside.wait(10)
            leave.wait(10)

        cache, fwd, _ = model.get_caching_hooks("blocks.2.hook_resid_post")
        with model.hooks(fwd_hooks=[*fwd, ("hook_embed", wait)], scope="context"):
            model(x * scale)
        found[scale] = cache["blocks.2.hook_resid_post"]

    found: dict[int, torch.Tensor] = {}
    for _ in range(2):
        threads = [threading.Thread(target=run, args=(found, scale)) for scale in (1, 2)]
        for thread in threads:
            thread.start()
        inside.wait(10)
        leave.wait(10)
        for thread in threads:
            thread.join()
        assert all(torch.equal(found[scale], model(x * scale)) for scale in (1, 2))
