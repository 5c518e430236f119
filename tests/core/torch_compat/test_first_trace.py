"""Hooks that were there before the compiler came across a hook point at all count in what it compiles, and after it."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
import torch._dynamo
from torch import nn

from hookframe import HookedRootModule, HookPoint
from hookframe.core.torch_compat.dynamo import tracing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, while dynamo loads

LAYERS = 4


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.hook_out = HookPoint()

    def forward(self, x):
        return self.hook_out(self.linear(x))


class Stack(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.setup()

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def double(tensor, hook):
    return tensor * 2


def at(layer):
    return [(f"layers.{layer}.hook_out", double)]


@pytest.fixture
def stack(monkeypatch):
    """A model in a process in which nothing was traced yet."""
    monkeypatch.setattr(tracing, "begun", False)
    torch.manual_seed(0)
    return Stack()


@pytest.fixture
def x():
    with torch.no_grad():
        yield torch.randn(2, 4)


def in_one(model, counter):
    model.compile(fullgraph=True, backend=counter)


def by_layer(model, counter):
    """As is done to compile but once what is there many times."""
    for layer in model.layers:
        layer.compile(fullgraph=True, backend=counter)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("compiled", [in_one, by_layer])
def test_the_hooks_of_an_operation_around_the_first_trace_count(stack, counter, x, compiled, layer):
    plain = stack(x)
    expected = stack.run_with_hooks(x, fwd_hooks=at(layer))
    assert not tracing.begun
    with stack.hooks(at(layer)):
        compiled(stack, counter)
        assert torch.equal(stack(x), expected)
        assert tracing.begun
    assert torch.equal(stack(x), plain)
    assert torch.equal(stack.run_with_hooks(x, fwd_hooks=at(layer)), expected)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("compiled", [in_one, by_layer])
def test_hooks_that_stayed_before_the_first_trace_count(stack, counter, x, compiled, layer):
    stack.run_with_hooks(x, fwd_hooks=at(layer), reset_hooks_end=False)
    expected = stack(x)
    compiled(stack, counter)
    assert torch.equal(stack(x), expected)
    stack.reset_hooks()
    plain = stack(x)
    assert not torch.equal(plain, expected)
    with stack.hooks(at(layer)):
        assert torch.equal(stack(x), expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_code_compiled_for_one_model_serves_the_hooks_of_its_copy(stack, counter, x, copied):
    expected = [stack.run_with_hooks(x, fwd_hooks=at(layer)) for layer in range(LAYERS)]
    plain, other = stack(x), copied(stack)
    with other.hooks(at(2)):  # put there before anything was traced
        by_layer(stack, counter)
        by_layer(other, counter)
        stack(x)
        assert torch.equal(other(x), expected[2])
    for layer in range(LAYERS):
        with other.hooks(at(layer)):
            assert torch.equal(other(x), expected[layer])
            assert torch.equal(stack(x), plain)


def test_layers_that_are_alike_share_what_was_compiled(stack, counter, x):
    by_layer(stack, counter)
    for layer in range(LAYERS):
        stack.run_with_hooks(x, fwd_hooks=at(layer))
    assert counter.frame_count == 2  # idle, and with the hook


def test_a_cache_is_filled_by_code_compiled_for_a_layer(stack, counter, x):
    _, eager = stack.run_with_cache(x)
    by_layer(stack, counter)
    for scale in (1.0, 2.0):
        _, cache = stack.run_with_cache(x * scale)
        assert [*cache] == [*eager]
    _, again = stack.run_with_cache(x)
    assert all(torch.equal(again[name], eager[name]) for name in eager)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, at a hidden tensor
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_gradients_are_heard_beside_compiled_code(stack, x):
    seen = []

    def note(gradient, hook):
        seen.append(gradient.clone())

    hooks = [("layers.1.hook_out", note)]
    with torch.enable_grad(), stack.hooks(bwd_hooks=hooks):
        stack(x).sum().backward()
        stack.compile(backend="eager")  # such hooks break the graph
        stack(x).sum().backward()
    with torch.enable_grad():
        stack(x).sum().backward()
    assert len(seen) == 2
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("around", [nn.Sequential, lambda point: point], ids=["in a module", "alone"])
def test_a_replica_may_be_the_first_that_is_traced(stack, counter, x, around):
    """As data parallel execution makes them anew for each forward."""
    point = stack.layers[0].hook_out
    with stack.hooks(at(0)):
        replica = around(point._replicate_for_data_parallel())
        assert torch.equal(torch.compile(replica, fullgraph=True, backend=counter)(x), x * 2)
    assert torch.equal(point(x), x)


def test_a_point_that_is_compiled_alone_has_late_hooks_too(stack, counter, x):
    point = stack.layers[0].hook_out
    compiled = torch.compile(point, backend=counter)
    assert torch.equal(compiled(x), x)
    for _ in range(2):
        with stack.hooks(at(0)):
            assert torch.equal(compiled(x), x * 2)
        assert torch.equal(compiled(x), x)


def test_an_interrupt_while_hooks_are_taken_off_leaves_none_in_compiled_code(counter, x):
    class Listening(HookPoint):
        interrupted = False

        def becomes(self, state):
            if state == "idle" and self.interrupted:
                raise KeyboardInterrupt

    class Two(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a, self.hook_b = HookPoint(), Listening()
            self.setup()

        def forward(self, x):
            return self.hook_b(self.hook_a(x))

    model = Two()
    compiled = torch.compile(model, backend=counter)
    assert torch.equal(compiled(x), x)
    with pytest.raises(KeyboardInterrupt), model.hooks([("hook_a", double), ("hook_b", double)]):
        assert torch.equal(compiled(x), x * 4)
        model.hook_b.interrupted = True
    assert torch.equal(model(x), x)
    assert torch.equal(compiled(x), x)


def test_what_the_compiler_looks_at_is_not_there_before_it_came(stack, x):
    """So that nothing is kept alive by it; and code that another process compiled, once loaded, finds what is true."""
    point = stack.layers[0].hook_out
    with stack.hooks(at(0)):
        stack.add_hook("layers.0.hook_out", double).remove()
        assert "_traced" not in point.__dict__
        assert point._traced is not None  # as guards ask
        assert tracing.begun
    assert point.__dict__["_traced"] is None


@pytest.mark.parametrize("made", ["before", "after"])
def test_a_model_made_before_or_after_the_first_trace_keeps_nothing_alive(stack, counter, x, made):
    if made == "after":
        torch.compile(stack, backend=counter)(x)
        stack = Stack()

    class Function:
        def __call__(self, tensor, hook):
            return None

    function = Function()
    gone = weakref.ref(function)
    with stack.hooks([("layers.0.hook_out", function)]):
        stack.add_hook("layers.0.hook_out", double).remove()
        assert stack.list_hooks()
        stack(x)
    del function
    gc.collect()
    assert gone() is None
