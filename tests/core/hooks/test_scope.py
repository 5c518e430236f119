"""scope="context": hooks that only the thread or task that entered can see."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hookframe import HookedRootModule, HookPoint


def double(tensor, hook):
    return tensor * 2


def in_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_another_thread_sees_the_hooks_of_an_ordinary_context(model, x):
    with model.hooks(fwd_hooks=[("hook_embed", double)]):
        assert torch.equal(in_thread(lambda: model(x)), model(x))


def test_another_thread_does_not_see_the_hooks_of_a_scoped_context(model, x):
    plain = model(x)
    with model.hooks(fwd_hooks=[("hook_embed", double)], scope="context"):
        assert torch.equal(in_thread(lambda: model(x)), plain)
        assert not torch.equal(model(x), plain)
    assert torch.equal(model(x), plain)


def test_scoped_contexts_nest_and_close_in_any_order(model, x):
    calls = []
    outer = model.hooks(fwd_hooks=[("hook_embed", lambda t, hook: calls.append("outer"))], scope="context")
    inner = model.hooks(fwd_hooks=[("hook_embed", lambda t, hook: calls.append("inner"))], scope="context")
    outer.__enter__()
    inner.__enter__()
    model(x)
    outer.__exit__(None, None, None)
    model(x)
    inner.__exit__(None, None, None)
    model(x)
    assert calls == ["outer", "inner", "inner"]


def test_threads_that_cache_at_once_each_get_their_own_values(model):
    start = threading.Barrier(4)

    def run(seed):
        x = torch.full((1, 2, 8), float(seed))
        start.wait()
        found = [model.run_with_cache(x, scope="context")[1] for _ in range(20)]
        return all(torch.equal(cache["hook_embed"], x) for cache in found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))
    assert not any(point.has_hooks() for point in model.hook_points())


def test_run_with_hooks_can_be_scoped(model, x):
    entered, leave = threading.Event(), threading.Event()

    def hold(tensor, hook):
        entered.set()
        assert leave.wait(10)
        return tensor * 0

    plain = model(x)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(model.run_with_hooks, x, fwd_hooks=[("hook_embed", hold)], scope="context")
        assert entered.wait(10)
        assert torch.equal(model(x), plain)
        leave.set()
        assert not torch.equal(held.result(), plain)


def test_gradients_of_a_forward_inside_reach_its_backward_hook_and_no_other(model, x):
    seen = []
    x = x.requires_grad_()
    with model.hooks(bwd_hooks=[("hook_embed", lambda g, hook: seen.append(threading.get_ident()))], scope="context"):
        outside = in_thread(lambda: model(x).sum())
        outside.backward()
        assert seen == []
        inside = model(x).sum()
        in_thread(inside.backward)
        assert len(seen) == 1


def test_a_task_that_was_there_before_does_not_see_them(model, x):
    async def both():
        plain = model(x)
        entered, looked = asyncio.Event(), asyncio.Event()

        async def watcher():
            await entered.wait()
            seen = model(x)
            looked.set()
            return seen

        async def user():
            with model.hooks(fwd_hooks=[("hook_embed", double)], scope="context"):
                entered.set()
                await looked.wait()
                return model(x)

        watched, used = await asyncio.gather(watcher(), user())
        return torch.equal(watched, plain), torch.equal(used, plain)

    assert asyncio.run(both()) == (True, False)


def test_an_unknown_scope_is_refused(model, x):
    with pytest.raises(ValueError, match="use 'all' or 'context'"):
        model.hooks(scope="thread")


def test_hooks_can_come_and_go_while_another_thread_runs_the_model():
    class Many(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.points = torch.nn.ModuleList([HookPoint() for _ in range(50)])
            self.setup()

        def forward(self, x):
            for point in self.points:
                x = point(x)
            return x

    model, x, stop, errors = Many(), torch.ones(2), threading.Event(), []

    def run():
        try:
            while not stop.is_set():
                assert torch.equal(model(x), x)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        with model.hooks(fwd_hooks=[(lambda name: True, lambda tensor, hook: None)]):
            model.run_with_cache(x)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert not any(point.has_hooks() for point in model.hook_points())
