"""Models with hook points under torch.compile: one graph, correct results, and hooks that come late count."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
import torch._dynamo

import hookframe
import hookframe.core.torch_compat.dynamo as tracing_module
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, hookimpl

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, while dynamo loads

needs_leaving_out = pytest.mark.skipif(
    not hasattr(torch._C._dynamo.eval_frame, "set_code_exec_strategy"), reason="needs a torch that can leave out code"
)


@pytest.fixture
def compiled(model, counter):
    return torch.compile(model, fullgraph=True, backend=counter)


def double(tensor, hook):
    return tensor * 2


def test_idle_points_compile_to_one_graph(model, compiled, counter, x):
    assert torch.equal(compiled(x), model(x))
    assert counter.frame_count == 1


def test_caching_hooks_in_a_compiled_model_store_what_eager_stores(model, compiled, counter, x):
    _, eager = model.run_with_cache(x)
    cache = model.add_caching_hooks()
    for _ in range(3):
        compiled(x)
    assert list(cache) == list(eager)
    assert all(torch.equal(cache[name], eager[name]) for name in eager)
    assert counter.frame_count <= 2  # an empty cache, then a filled one


def test_a_new_cache_for_each_run_compiles_once(model, compiled, counter, x):
    for scale in (1.0, 2.0, 3.0):
        with model.hooks(fwd_hooks=(caching := model.get_caching_hooks())[1]):
            compiled(x * scale)
        assert torch.equal(caching[0]["hook_embed"], x * scale)
    assert counter.frame_count == 1


def test_an_editing_hook_takes_part(model, compiled, x):
    model.add_hook("blocks.1.hook_mlp_out", double)
    expected = model(x)
    assert torch.equal(compiled(x), expected)


def test_a_hook_attached_after_the_first_compile_takes_effect(model, compiled, counter, x):
    idle = compiled(x)
    model.add_hook("blocks.1.hook_mlp_out", double)
    hooked = compiled(x)
    assert not torch.equal(hooked, idle)
    assert torch.equal(hooked, model(x))
    assert counter.frame_count == 2


def test_removed_hooks_are_gone_from_the_compiled_model(model, compiled, counter, x):
    idle = compiled(x)
    handle = model.add_hook("blocks.1.hook_mlp_out", double)
    compiled(x)
    handle.remove()
    assert torch.equal(compiled(x), idle)
    assert counter.frame_count == 2  # idle and hooked; going back to idle compiles nothing


def test_one_recompile_for_each_distinct_set_of_hooks(model, compiled, counter, x):
    for _ in range(4):
        with model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", double)]):
            compiled(x)
            compiled(x)
        compiled(x)
    assert counter.frame_count == 2


def test_a_hook_that_fired_in_compiled_code_counts_as_fired(model, compiled, x):
    with model.hooks(fwd_hooks=[("hook_embed", double)]):  # a warning that it never fired would be an error here
        compiled(x)


def test_a_model_compiled_in_place_runs_compiled_under_both_verbs(model, counter, x):
    expected = model(x)
    model.compile(fullgraph=True, backend=counter)
    assert torch.equal(model.run_with_hooks(x), expected)
    output, cache = model.run_with_cache(x)
    assert torch.equal(output, expected)
    assert torch.equal(cache["blocks.2.hook_resid_post"], expected)
    assert counter.frame_count == 2


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own, while its backend loads
def test_the_default_backend_gives_the_same_values(model, x):
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True)
    expected = model(x)
    torch.testing.assert_close(compiled(x), expected)
    model.add_hook("blocks.1.hook_mlp_out", double)
    cache = model.add_caching_hooks()
    hooked = model(x)
    cache.clear()
    torch.testing.assert_close(compiled(x), hooked)
    torch.testing.assert_close(cache["blocks.2.hook_resid_post"], hooked)
    torch._dynamo.reset()


class Doubling(HookedRootModule):
    """A model with one point."""

    def __init__(self):
        super().__init__()
        self.point = HookPoint()
        self.setup()

    def forward(self, x):
        return self.point(x) * 2


class CallsByItself(torch.nn.Module):
    """A module with a call of its own, for a model to come from as well."""

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs) + 1


def test_a_call_that_another_class_of_the_model_has_is_made_by_compiled_code_too():
    class Model(Doubling, CallsByItself):
        pass

    model, x = Model(), torch.ones(2)
    fast = torch.compile(model, fullgraph=True, backend="eager")
    assert fast(x).tolist() == model(x).tolist() == [3.0, 3.0]
    with model.hooks(fwd_hooks=[("point", lambda tensor, hook: tensor + 1)]):
        assert fast(x).tolist() == [5.0, 5.0]


def test_what_torch_calls_may_be_overridden_or_exchanged(monkeypatch):
    class Changed(Doubling):
        def _call_impl(self, *args, **kwargs):
            return super()._call_impl(*args, **kwargs) + 1

    x = torch.ones(2)
    torch._dynamo.reset()
    assert torch.compile(Changed(), backend="eager")(x).tolist() == [3.0, 3.0]
    plain = torch.nn.Module.__call__
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda self, *args, **kwargs: plain(self, *args, **kwargs) + 10)
    torch._dynamo.reset()
    model = Doubling()
    compiled = torch.compile(model, backend="eager")(x)  # its own call is one of these too
    assert compiled.tolist() == (model(x) + 10).tolist() == [22.0, 22.0]


def test_a_conversion_may_be_set_in_a_compiled_forward(counter):
    class Model(Doubling):
        def forward(self, x):
            self.point.hook_conversion = None
            return super().forward(x)

    assert torch.compile(Model(), fullgraph=True, backend=counter)(torch.ones(2)).tolist() == [2.0, 2.0]


def model_class(index, *bases):
    class Model(*(bases or (HookedRootModule,))):
        def __init__(self):
            super().__init__()
            self.point = HookPoint()
            self.setup()

        def forward(self, x):
            return self.point(x + index)

    Model.forward.__code__ = Model.forward.__code__.replace()  # its own, as of a class that is written out
    return Model


@needs_leaving_out
def test_any_number_of_classes_of_models_can_be_compiled(counter):
    for index in range(torch._dynamo.config.cache_size_limit + 2):  # torch keeps so many for one code
        compiled = torch.compile(model_class(index)(), fullgraph=True, backend=counter)
        assert compiled(torch.ones(1)).item() == index + 1.0
    assert counter.frame_count == index + 1


def test_models_of_one_class_share_what_was_compiled(counter):
    kind = model_class(1)
    models = [kind() for _ in range(torch._dynamo.config.cache_size_limit + 2)]
    for model in models:
        assert torch.compile(model, fullgraph=True, backend=counter)(torch.ones(1)).item() == 2.0
    assert counter.frame_count == 1
    models[3].add_hook("point", double)
    assert [torch.compile(m, fullgraph=True, backend=counter)(torch.ones(1)).item() for m in models[2:5]] == [2, 4, 2]


class Loud(HookedRootModule):
    """Doubles whatever a model of it returns."""

    def __call__(self, *args, **kwargs):
        return 2 * super().__call__(*args, **kwargs)


def test_a_call_of_the_models_own_is_compiled_with_it(counter):
    model = model_class(1, Loud)()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    assert compiled(torch.ones(1)).item() == model(torch.ones(1)).item() == 4.0
    model.add_hook("point", double)
    assert compiled(torch.ones(1)).item() == 8.0


def test_a_hook_on_a_point_that_is_new_in_a_compiled_model_is_reviewed_under_its_name(model, compiled, counter, x):
    compiled(x)
    model.blocks[1].hook_mlp_out = HookPoint()
    model.blocks[1].hook_mlp_out.add_hook(double)

    class NoMlp:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests, model):
            return [
                Objection.deny(request, rule="no-mlp", message="not there", remedy="elsewhere")
                for request in requests
                if str(request.point).endswith("hook_mlp_out")
            ]

    with hookframe.use_plugins(NoMlp()), pytest.raises(HookDenied, match="not there"):
        compiled(x)


def test_a_point_that_is_new_in_a_compiled_model_counts(model, compiled, counter, x):
    idle = compiled(x)
    model.blocks[1].hook_mlp_out = HookPoint()
    model.blocks[1].hook_mlp_out.add_hook(double)
    assert not torch.equal(compiled(x), idle)
    assert torch.equal(compiled(x), model(x))
    assert model.blocks[1].hook_mlp_out.name == "blocks.1.hook_mlp_out"


def breaks(tensor, hook):
    torch._dynamo.graph_break()
    return tensor * 2


def asks(tensor, hook):
    return tensor * (2 if tensor.sum().item() else 3)


@needs_leaving_out
@pytest.mark.parametrize("hook", [breaks, asks])
def test_a_hook_that_cannot_be_compiled_runs_beside_the_graphs(hook, counter):
    model = model_class(1)()
    model.add_hook("point", hook)
    assert torch.compile(model, backend=counter)(torch.ones(1)).item() == 4.0
    assert model.run_with_cache(torch.ones(1))[1]["point"].item() == 4.0


@needs_leaving_out
def test_the_error_of_a_hook_in_a_compiled_model_is_raised_and_told(counter):
    told = []

    class Watcher:
        @hookimpl
        def hookframe_hook_failed(self, event):
            told.append((event.point, event.error))

    def fail(tensor, hook):
        if tensor.sum().item():
            raise LookupError("no such feature")

    with hookframe.use_plugins(Watcher()):
        model = model_class(1)()
        model.add_hook("point", fail)
        with pytest.raises(LookupError, match="no such feature"):
            torch.compile(model, backend=counter)(torch.ones(1))
    assert told == [("point", "LookupError")]


def test_with_a_torch_that_leaves_nothing_out_it_compiles_what_it_comes_across(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._C._dynamo.eval_frame", None)  # as if torch had it no more
    spec = importlib.util.spec_from_file_location("tracing_elsewhere", tracing_module.__file__)
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    assert elsewhere.never_compiled(double) is double is elsewhere.begun_in_what_it_calls(double)
    assert elsewhere.compiles_around() is None
