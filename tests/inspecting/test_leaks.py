"""no_leaks: a hook that is left behind is an error that names its function's file and line."""

from __future__ import annotations

import pickle
import threading

import pytest
from torch.nn.modules import module as torch_modules
from torch.nn.modules.module import register_module_forward_hook

import hookframe
from hookframe import HooksLeaked

POINT = "blocks.1.hook_mlp_out"
LINE = 19


def forgotten(tensor, hook):  # LINE
    return None


def test_a_block_that_cleans_up_passes(tiny):
    with hookframe.no_leaks(tiny):
        handle = tiny.add_hook(POINT, forgotten)
        tiny.run_with_cache(tiny.tokens)
        with tiny.hooks([(POINT, forgotten)]):
            tiny(tiny.tokens)
        handle.remove()


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        (lambda m: m.add_hook(POINT, forgotten), f"fwd hook .*forgotten .*{__file__}:{LINE}\\) at '{POINT}'"),
        (lambda m: m.add_hook(POINT, forgotten, dir="bwd"), "bwd hook .*forgotten"),
        (lambda m: m.add_perma_hook(POINT, forgotten), f"{__file__}:{LINE}"),
        (lambda m: m.hooks([(POINT, forgotten)]).__enter__(), f"{__file__}:{LINE}"),
        (lambda m: m.add_caching_hooks(POINT), f"fwd caching hook .* at '{POINT}'"),
        (lambda m: m.register_forward_hook(lambda *_: None), "register_forward_hook .*<lambda> .*:.* at the model"),
        (lambda m: m.hook_embed.register_forward_pre_hook(lambda *_: None), "register_forward_pre_hook"),
        (lambda m: m.W_E.register_hook(forgotten), f"register_hook .*{__file__}:{LINE}\\) at 'W_E'"),
    ],
    ids=["add_hook", "bwd", "permanent", "context", "cache", "torch", "torch on a point", "parameter"],
)
def test_each_kind_of_hook_left_behind_is_named(tiny, leave, says):
    with pytest.raises(HooksLeaked, match=says) as caught, hookframe.no_leaks(tiny):
        leave(tiny)
    assert len(caught.value.hooks) == 1
    assert len(pickle.loads(pickle.dumps(caught.value)).hooks) == 1


def test_hooks_that_were_there_before_are_nobodys_fault(tiny):
    tiny.add_hook(POINT, forgotten)
    tiny.register_forward_hook(forgotten)
    with hookframe.no_leaks(tiny):
        tiny.reset_hooks()
    with pytest.raises(HooksLeaked, match="1 hooks were left behind"), hookframe.no_leaks(tiny):
        tiny.add_hook(POINT, forgotten)


def test_the_same_function_registered_once_more_is_a_leak(tiny):
    tiny.register_forward_hook(forgotten)
    with pytest.raises(HooksLeaked, match="1 hooks were left behind"), hookframe.no_leaks(tiny):
        tiny.register_forward_hook(forgotten)


def test_a_hook_for_all_modules_is_a_leak(tiny):
    handles = []
    try:
        with pytest.raises(HooksLeaked, match="every module"), hookframe.no_leaks(tiny):
            handles.append(register_module_forward_hook(lambda *_: None))
    finally:
        handles[0].remove()


def no_arguments_matter(*_):
    return None


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("register_state_dict_pre_hook", "register_state_dict_pre_hook"),
        ("register_state_dict_post_hook", "register_state_dict_post_hook"),
        ("_register_state_dict_hook", "_register_state_dict_hook"),
        ("register_load_state_dict_pre_hook", "register_load_state_dict_pre_hook"),
        ("_register_load_state_dict_pre_hook", "register_load_state_dict_pre_hook"),  # the older name
        ("register_load_state_dict_post_hook", "register_load_state_dict_post_hook"),
    ],
)
def test_a_hook_on_a_state_dict_is_a_leak_until_it_goes(tiny, method, says):
    def of_this_case(*_):  # torch marks it
        return no_arguments_matter()

    module, expected = tiny.blocks[0], f"  - {says} .*of_this_case .*{__file__}:\\d+\\) at 'blocks.0'"
    with pytest.raises(HooksLeaked, match=expected) as caught, hookframe.no_leaks(tiny):
        handle = getattr(module, method)(of_this_case)
    assert [hook.direction for hook in caught.value.hooks] == [None]
    with hookframe.no_leaks(tiny):  # it was there before
        tiny.load_state_dict(tiny.state_dict())
    handle.remove()
    with hookframe.no_leaks(tiny):
        getattr(module, method)(of_this_case).remove()


@pytest.mark.parametrize("what", ["parameter", "buffer", "module"])
def test_a_hook_on_what_is_put_into_any_module_is_a_leak(tiny, what):
    register = getattr(torch_modules, f"register_module_{what}_registration_hook")
    handles = []
    try:
        says = f"  - register_module_{what}_registration_hook .*no_arguments_matter .*at every module"
        with pytest.raises(HooksLeaked, match=says), hookframe.no_leaks(tiny):
            handles.append(register(no_arguments_matter))
    finally:
        handles[0].remove()
    with hookframe.no_leaks(tiny):
        register(no_arguments_matter).remove()


def test_points_around_somebody_elses_modules_are_looked_at(plain):
    with pytest.raises(HooksLeaked, match=r"forgotten .* at 'first.hook_out'"), hookframe.no_leaks(plain):
        hooked = hookframe.instrument(plain)
        hooked.add_hook("first.hook_out", forgotten)
    with hookframe.no_leaks(hooked):
        hooked.run_with_cache
    hooked.release()
    with hookframe.no_leaks(plain), hookframe.instrument(plain) as again:
        again.add_hook("first.hook_out", forgotten)


def test_the_blocks_own_exception_goes_on_with_a_note(tiny):
    with pytest.raises(KeyError, match="the user's own") as caught, hookframe.no_leaks(tiny):
        tiny.add_hook(POINT, forgotten)
        raise KeyError("the user's own")
    assert f"{__file__}:{LINE}" in caught.value.__notes__[0]


def test_a_hook_of_another_thread_counts(tiny):
    with pytest.raises(HooksLeaked, match="forgotten"), hookframe.no_leaks(tiny):
        thread = threading.Thread(target=tiny.add_hook, args=(POINT, forgotten))
        thread.start()
        thread.join()
