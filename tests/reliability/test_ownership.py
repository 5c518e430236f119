"""Who attached a hook removes it, and nobody else, however a block ends."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import inspect
import sys
import threading

import pytest
import torch

import hookframe
from hookframe.core.torch_compat.dynamo import tracing
from hookframe.core.values.scope import open_scopes

POINT = "blocks.0.hook_mlp_out"
OTHER = "blocks.1.hook_mlp_out"


def double(tensor, hook):
    return tensor * 2


def nothing(tensor, hook):
    return None


class Stop(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, Stop, asyncio.CancelledError])
@pytest.mark.parametrize("where", ["function", "body", "gradient"])
@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_context_is_left_by_whatever_is_raised(model, kind, where):
    def fail(tensor, hook):
        raise kind

    mine = model.add_hook(OTHER, nothing)
    with hookframe.no_leaks(model), pytest.raises(kind):
        hooks = [(POINT, fail if where == "function" else nothing)]
        with model.hooks(hooks, [(POINT, fail if where == "gradient" else nothing)]):
            output = model(model.tokens)
            if where == "gradient":
                output.sum().backward()
            raise kind
    assert model.context_level == 0
    assert model.hook_dict[OTHER].fwd_hooks == [mine]


@pytest.mark.parametrize("verb", ["run_with_hooks", "run_with_cache"])
@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_interrupt_inside_of_a_run_leaves_nothing(model, verb):
    def interrupt(tensor, hook):
        raise KeyboardInterrupt

    handle = model.add_hook(POINT, interrupt)
    with hookframe.no_leaks(model), pytest.raises(KeyboardInterrupt):
        getattr(model, verb)(model.tokens)
    assert not model.is_caching
    assert model.context_level == 0
    handle.remove()


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_generator_that_is_closed_or_forgotten_leaves_its_context(model):
    def steps():
        with model.hooks([(POINT, double)]):
            yield model(model.tokens)
            yield model(model.tokens)

    with hookframe.no_leaks(model):
        plain = model(model.tokens)
        running = steps()
        assert not torch.equal(next(running), plain)
        running.close()
        forgotten = steps()
        next(forgotten)
        del forgotten
        gc.collect()
    assert torch.equal(model(model.tokens), plain)


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_task_that_is_cancelled_leaves_its_context(model):
    async def run():
        entered = asyncio.Event()

        async def work():
            with model.hooks([(POINT, double)], scope="context"):
                model(model.tokens)
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await entered.wait()
        assert model.hook_dict[POINT].fwd_hooks
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with hookframe.no_leaks(model):
        asyncio.run(run())
    assert model.context_level == 0


def test_contexts_left_in_any_order_take_off_their_own(model):
    with hookframe.no_leaks(model):
        contexts = [model.hooks([(POINT, function)]) for function in (nothing, double, nothing)]
        for context in contexts:
            context.__enter__()
        own = list(model.hook_dict[POINT].fwd_hooks)
        model(model.tokens)
        for place in (1, 0, 2):
            contexts[place].__exit__(None, None, None)
            assert own[place] not in model.hook_dict[POINT].fwd_hooks
            own_left = [
                handle for number, handle in enumerate(own) if number not in (1, 0, 2)[: (1, 0, 2).index(place) + 1]
            ]
            assert list(model.hook_dict[POINT].fwd_hooks) == own_left
    assert model.context_level == 0


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_exit_stack_that_fails_half_way_leaves_all(model):
    with hookframe.no_leaks(model), pytest.raises(hookframe.UnknownHookPoint, match="nowhere"):
        with contextlib.ExitStack() as stack:
            stack.enter_context(model.hooks([(POINT, nothing)]))
            stack.enter_context(model.hooks([("nowhere", nothing)]))


def test_reset_touches_no_torch_hook_and_no_hook_of_a_model_that_shares_a_block(model):
    seen = []
    foreign = [
        model.blocks[0].register_forward_hook(lambda *_: seen.append("module")),
        model.W_E.register_hook(lambda gradient: seen.append("parameter")),
    ]
    other = type(model)(d_model=4, d_vocab=5)
    theirs = other.add_hook(POINT, nothing)
    model.add_hook(POINT, nothing)
    model.reset_hooks(including_permanent=True)
    model(model.tokens).sum().backward()
    assert seen == ["module", "parameter"]
    assert other.hook_dict[POINT].fwd_hooks == [theirs]
    for handle in foreign:
        handle.remove()


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_the_exception_says_which_hook_raised_it(model):
    def interrupt(tensor, hook):
        raise Stop

    with pytest.raises(Stop) as caught:
        model.run_with_hooks(model.tokens, fwd_hooks=[(POINT, interrupt)])
    assert any("interrupt" in note and f"'{POINT}'" in note for note in caught.value.__notes__)


NEITHER = {("call", "__exit__"), ("return", "__enter__")}
"""Where nothing in Python can catch what is raised: as a block's end begins, and between a block's start and its body."""


def interrupted(model, after):
    """Run a model in blocks, with an interrupt as the ``after``-th function of hookframe's begins or ends; True if it came.

    Python looks for interrupts where a function begins, and where a call has ended.
    """
    left, before = [after], sys.gettrace()

    def count(frame, event, argument):
        inside = "/hookframe/" in frame.f_code.co_filename.replace("\\", "/")
        inside = inside and not frame.f_code.co_flags & inspect.CO_GENERATOR  # what a closing one raises is swallowed
        if inside and event in ("call", "return") and (event, frame.f_code.co_name) not in NEITHER:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return count

    try:
        sys.settrace(count)
        for scope in ("all", "context"):
            with model.hooks([(POINT, nothing)], [(POINT, nothing)], scope=scope):
                model(model.tokens).sum().backward()
        for _ in range(2):  # the second time with what the first has planned
            model.run_with_cache(model.tokens)
            model.run_with_hooks(model.tokens, fwd_hooks=[(POINT, nothing)])
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


class Looks:
    @hookframe.hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return []


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
@pytest.mark.found("an interrupt in the midst of entering or leaving a context left its hooks behind")
@pytest.mark.found("an interrupt as an admission began refused every later one of the thread")
@pytest.mark.parametrize("plugins", [[Looks()], []], ids=["asked", "not asked"])
def test_an_interrupt_at_any_moment_leaves_nothing(model, plugins, monkeypatch):
    monkeypatch.setattr(tracing, "begun", False)
    plain, interrupts = model(model.tokens), 0
    with hookframe.use_plugins(*plugins):
        while interrupted(model, interrupts + 1):
            interrupts += 1
            assert not model.list_hooks(), interrupts
            assert model.context_level == 0, interrupts
            assert not open_scopes(), interrupts
        assert interrupts > 300
        assert torch.equal(model(model.tokens), plain)


@pytest.mark.found("a copy of an instrumented model that was made while another thread attached hooks failed")
def test_copies_that_are_made_while_other_threads_attach():
    model, threads = torch.nn.Sequential(torch.nn.Linear(4, 4)), []
    hooked = hookframe.instrument(model)

    class Meanwhile:
        """A torch hook of somebody else; while it is copied, another thread attaches."""

        def __call__(self, *_):
            return None

        def __deepcopy__(self, memo):
            thread = threading.Thread(target=hooked.add_hook, args=("0.hook_out", nothing))
            thread.start()
            thread.join(0.2)
            threads.append(thread)
            return self

    hooked.add_hook("0.hook_in", nothing).remove()
    model[0].register_forward_hook(Meanwhile())
    model[0].register_forward_hook(lambda *_: None)
    twin = copy.deepcopy(hooked)
    threads[0].join()
    assert list(hooked.list_hooks()) == ["0.hook_out"]
    assert not twin.list_hooks()
    x = torch.ones(1, 4)
    assert torch.equal(twin(x), hooked(x))
