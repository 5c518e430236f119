"""The corpus of silent failures: where torch's own hooks say nothing, hookframe raises or warns.

Each test first shows the silence: warnings are errors here, so what torch would say would end the test.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from torch import nn

import hookframe
from hookframe import (
    EditNotRecomputedWarning,
    ExportError,
    HookDidNotFireWarning,
    HookedRootModule,
    HookPoint,
    HookPointClosed,
    HookPointMoved,
    HookRecomputedWarning,
    HookReturnError,
    HooksExportedWarning,
    HooksLostWarning,
    NoopCheckFailed,
    ReplicaCacheError,
    StaleActivationWarning,
    UnknownHookPoint,
    guarded,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, about itself


def nothing(tensor, hook):
    return None


def double(tensor, hook):
    return tensor * 2


class Torch:
    """The plain way: a torch hook that counts."""

    def __init__(self, module):
        self.calls = 0
        self.handle = module.register_forward_hook(self)

    def __call__(self, module, args, output):
        self.calls += 1


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attn, self.last = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 8)

    def forward(self, x):
        return self.last(self.attn(x, x, x)[0])


class Twice(nn.Module):
    """Two layers; the first is called as a module should not be, or not at all."""

    def __init__(self, how="call"):
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        if self.how == "direct":
            x = self.first.forward(x)
        elif self.how == "call":
            x = self.first(x)
        return self.last(x)


class Gated(HookedRootModule):
    def __init__(self, in_place=False):
        super().__init__()
        self.in_place = in_place
        self.gate = False
        self.hook_first, self.hook_gated = HookPoint(), HookPoint()
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.setup()

    def forward(self, x):
        x = self.hook_first(x + 1)
        if self.in_place:
            x.mul_(2)
        if self.gate:
            x = self.hook_gated(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.hook_out = nn.Linear(8, 8), HookPoint()

    def forward(self, x):
        return self.hook_out(self.linear(x))


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))


# ---- modules that are used without being called ----------------------------------------------------------------------


@pytest.mark.found("nothing was said of silent hooks when an instrumented model was called itself, past its instrument")
@pytest.mark.parametrize("through", ["hooked", "the model itself"])
def test_out_proj_of_attention_is_used_without_being_called(x, through):
    plain = Torch((model := Attends()).attn.out_proj)
    model(x)
    assert plain.calls == 0
    hooked = hookframe.instrument(model)
    run = hooked if through == "hooked" else model
    with pytest.warns(
        HookDidNotFireWarning, match=r"uses the weight of 'attn.out_proj' without .*hook 'attn.hook_out'"
    ):
        with hooked.hooks([("attn.out_proj.hook_out", nothing)]):
            run(x)
    assert not torch.equal(hooked.run_with_hooks(x, fwd_hooks=[("attn.hook_out", double)]), model(x))


def test_the_fused_path_of_transformer_layers_is_left_while_it_is_looked_at(x):
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True).eval()
    inputs = {"src": x, "src_key_padding_mask": torch.tensor([[False, False, True]] * 2)}
    with torch.no_grad():
        alone = layer(**inputs)
        plain = Torch(layer.linear1)
        assert not torch.equal(layer(**inputs), alone)  # looking has changed what is seen
        plain.handle.remove()
        with pytest.raises(NoopCheckFailed, match="takes its fused path only while no module inside of it has a hook"):
            hookframe.check_noop(layer, inputs)


def test_a_submodule_whose_forward_is_called_directly(x):
    plain = Torch((model := Twice("direct")).first)
    model(x)
    assert plain.calls == 0
    with pytest.warns(HookDidNotFireWarning, match="'first.hook_out' never fired.*does not call"):
        hookframe.instrument(model).run_with_hooks(x, fwd_hooks=[("first.hook_out", nothing)])


@pytest.mark.found("nothing was said of hooks at a model's own output when its .forward() was called directly")
def test_a_model_whose_forward_is_called_directly(x):
    plain = Torch(model := Twice())
    model.forward(x)
    assert plain.calls == 0
    hooked = hookframe.instrument(model)
    with pytest.warns(HookDidNotFireWarning, match=r"'hook_out' never fired: it waits for a call of the model itself"):
        with hooked.hooks([("hook_out", nothing)]):
            model.forward(x)


def test_hook_points_in_a_model_fire_whoever_calls_its_forward(x):
    model, seen = Gated(), []
    with model.hooks([("hook_first", lambda tensor, hook: seen.append(hook.name))]):
        model.forward(x)
    assert seen == ["hook_first"]


# ---- points that are not passed --------------------------------------------------------------------------------------


def test_a_gated_point(x):
    model = Gated()
    with pytest.warns(HookDidNotFireWarning, match="'hook_gated' never fired"):
        model.run_with_hooks(x, fwd_hooks=[("hook_gated", nothing)])
    model.gate = True
    model.run_with_hooks(x, fwd_hooks=[("hook_gated", nothing)])


def test_a_branch_that_is_not_taken(x):
    plain = Torch((model := Twice("skip")).first)
    model(x)
    assert plain.calls == 0
    with pytest.warns(HookDidNotFireWarning, match="lies in a branch that was not taken"):
        hookframe.instrument(model).run_with_hooks(
            x, fwd_hooks=[("first.hook_out", nothing), ("last.hook_out", nothing)]
        )


@pytest.mark.found("a filter of which not one point fired gave an empty cache in silence")
@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_a_filter_of_which_nothing_fires(x, make):
    hooked = Gated() if make == "root" else hookframe.instrument(Twice("skip"))
    word = "gated" if make == "root" else "first"
    chosen = 1 if make == "root" else 2
    match = rf"none of the {chosen} hooks at points that a filter chose fired, the fwd .*{word}.* for one: "
    with pytest.warns(HookDidNotFireWarning, match=match) as caught:
        _, cache = hooked.run_with_cache(x, names_filter=lambda name: word in name)
    assert (len(caught), len(cache)) == (1, 0)
    with pytest.warns(HookDidNotFireWarning, match=match):
        hooked.run_with_hooks(x, fwd_hooks=[(lambda name: word in name, nothing)])
    with pytest.warns(HookDidNotFireWarning, match="fwd caching hook .*no other hook of this operation fired either"):
        hooked.run_with_cache(x, names_filter=lambda name: word in name)
    hooked.run_with_cache(x, names_filter=lambda name: word in name or "last" in name or "first" in name)
    hooked.run_with_cache(x)


def test_a_typo_in_a_names_filter(x):
    model = Gated()
    for verb in (
        lambda: model.run_with_cache(x, names_filter=["hook_frist"]),
        lambda: model.run_with_hooks(x, fwd_hooks=[("hook_frist", nothing)]),
        lambda: model.add_hook("hook_frist", nothing),
        lambda: hookframe.instrument(Twice()).run_with_cache(x, names_filter="frist.hook_out"),
    ):
        with pytest.raises(UnknownHookPoint, match="'hook_first'|'first.hook_out'"):
            verb()


# ---- modules that change ---------------------------------------------------------------------------------------------


@pytest.mark.found("hooks on a module that was replaced or deleted were lost in silence")
def test_a_module_that_was_replaced_after_setup(x):
    plain = Torch((model := Twice()).first)
    model.first = nn.Linear(8, 8)
    model(x)
    assert plain.calls == 0
    root = Gated()
    root.add_hook("layers.1.hook_out", double)
    root.layers[1] = Layer()
    with pytest.warns(HooksLostWarning, match=r"replaced or deleted, and 1 hooks .*double .* at 'layers.1.hook_out'"):
        root(x)
    root.run_with_hooks(x, fwd_hooks=[("layers.1.hook_out", nothing)])


def test_a_module_that_was_replaced_inside_a_context(x):
    root = Gated()
    with pytest.warns(HookDidNotFireWarning, match="'layers.1.hook_out' never fired"):
        with root.hooks([("layers.1.hook_out", nothing)]):
            root.layers[1] = Layer()
            root(x)


def test_a_module_that_was_deleted_under_a_hook(x):
    root = Gated()
    root.add_hook("layers.1.hook_out", double)
    del root.layers[1]
    with pytest.warns(HooksLostWarning, match="'layers.1.hook_out'"):
        root.run_with_cache(x)
    root.run_with_cache(x)  # said once


def test_hooks_that_were_on_an_instrumented_module_follow_its_name_or_are_reported(x):
    class Wraps(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    hooked = hookframe.instrument(model := Twice())
    hooked.add_hook("first.hook_out", double)
    expected = hooked(x)
    model.first = Wraps(model.first)
    with pytest.raises(HookPointMoved, match="'first.hook_out' was replaced since the hook was attached"):
        model(x)
    assert torch.equal(hooked(x), expected)
    hooked.add_hook("first.inner.hook_out", double)
    model.first = model.first.inner
    with pytest.warns(HooksLostWarning, match="at 'first.inner.hook_out'"):
        hooked(x)


def test_a_state_dict_that_is_loaded_after_instrumenting(x):
    model, other = Twice(), Twice()
    for parameter in other.parameters():
        nn.init.constant_(parameter, 0.5)
    hooked = hookframe.instrument(model)
    hooked.add_hook("first.hook_out", double)
    assert list(hooked.state_dict()) == list(other.state_dict())
    for assign in (False, True):
        hooked.load_state_dict(other.state_dict(), assign=assign)
        with hooked.hooks([("last.hook_in", lambda tensor, hook: seen.append(tensor.clone()))]):
            seen = []
            hooked(x)
        assert torch.equal(seen[0], other.first(x) * 2)  # the hooks are there, on the new weights
    with pytest.raises(RuntimeError, match="Missing key"):
        hooked.load_state_dict({})


# ---- programs that are made of models --------------------------------------------------------------------------------


def test_a_hook_that_is_attached_after_compiling(x):
    model = Twice()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    before = compiled(x)
    hooked = hookframe.instrument(compiled)
    inside = next(name for name in hooked.hook_dict if name.endswith("first.hook_out"))
    with pytest.raises(HookPointClosed, match="inside of a compiled module .*attach before compiling"):
        hooked.add_hook(inside, double)
    root = Gated()
    fast = torch.compile(root, backend="eager", fullgraph=True)
    idle = fast(x)
    root.add_hook("layers.0.hook_out", double)
    assert not torch.equal(fast(x), idle)  # a point of hookframe's own takes part
    assert torch.equal(fast(x), root(x))
    assert torch.equal(compiled(x), before)
    torch._dynamo.reset()


@pytest.mark.found("hooks on a model whose compiled code passed them by never fired in silence")
def test_code_that_was_compiled_before_passes_hooks_by(x):
    model = Twice()
    hooked, compiled = hookframe.instrument(model), torch.compile(model, backend="eager")
    before = compiled(x)
    with pytest.warns(HookDidNotFireWarning, match=r"'first.hook_out' never fired: .*as code that was compiled before"):
        with hooked.hooks([("first.hook_out", double)]):
            assert torch.equal(compiled(x), before)  # the silence
    with hooked.hooks([("first.hook_out", double)]):
        assert not torch.equal(hooked(x), before)
    torch._dynamo.reset()


@pytest.mark.found("a caching hook stored placeholders during an export, and edits were baked in unsaid")
@pytest.mark.found("a strict export took hooks in, or left them out, with no word of hookframe's")
@pytest.mark.filterwarnings(
    "ignore:While compiling, we found certain side effects"
)  # torch says that much of a strict one
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_an_exported_program_keeps_edits_and_drops_all_else(x, make, strict):
    model = Gated() if make == "root" else Twice()
    hooked = model if make == "root" else hookframe.instrument(model)
    name = "hook_first" if make == "root" else "first.hook_out"
    calls, plain = [], model(x)

    def watch(tensor, hook):
        calls.append(hook.name)

    def export():
        return torch.export.export(model, (x,), strict=strict).module()

    handle = hooked.add_hook(name, watch)
    with pytest.warns(HooksExportedWarning, match=r"exported while 1 hooks .*watch .*once, now") as caught:
        program = export()
    assert [w.filename for w in caught if w.category is HooksExportedWarning] == [__file__]
    calls.clear()
    program(x)
    assert calls == []  # the silence
    handle.remove()
    hooked.add_caching_hooks(name)
    with pytest.raises(ExportError, match="would store placeholders"):
        export()
    hooked.reset_hooks()
    handle = hooked.add_hook(name, double)
    with pytest.warns(HooksExportedWarning, match="becomes a part of the program, for good"):
        program = export()
    edited = model(x)
    handle.remove()
    torch.testing.assert_close(program(x), edited)
    assert not torch.allclose(edited, plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        program = export()  # nothing is attached: nothing is said, by torch either
    torch.testing.assert_close(program(x), plain)


@pytest.mark.found("torch.fx traced an edit into a program unsaid")
def test_a_program_of_torch_fx_keeps_edits(x):
    model = Gated()
    model.add_hook("hook_first", double)
    with pytest.warns(HooksExportedWarning, match=r"traced by torch.fx while the hook .*double .* at 'hook_first'"):
        program = torch.fx.symbolic_trace(model)
    edited = model(x)
    model.reset_hooks()
    torch.testing.assert_close(program(x), edited)  # the silence
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), model(x))


@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects")
@pytest.mark.parametrize("strict", [False, True])
def test_backward_hooks_are_no_part_of_an_exported_program(x, strict):
    model = Gated()
    model.add_hook("hook_first", lambda gradient, hook: gradient * 2, "bwd")
    with pytest.warns(HooksExportedWarning, match=r"1 backward hooks .*are no part of the program, and its gradients"):
        program = torch.export.export(model, (x,), strict=strict).module()
    gradients = []
    for run in (model, program):
        leaf = x.clone().requires_grad_()
        run(leaf).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0], 2 * gradients[1])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # it traces the comparison of shapes
def test_a_traced_program_is_an_exported_one(x):
    model = Gated()
    model.add_hook("hook_first", double)
    with pytest.warns(HooksExportedWarning, match="becomes a part of the program, for good"):
        torch.jit.trace(model, (x,), check_trace=False)


# ---- backward passes -------------------------------------------------------------------------------------------------


@pytest.mark.found("hooks that activation checkpointing runs twice were counted twice in silence")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_activation_checkpointing_runs_hooks_twice(x, reentrant, make):
    def checkpointed(model):
        return torch.utils.checkpoint.checkpoint(model, x.requires_grad_(), use_reentrant=reentrant).sum()

    plain = Torch((bare := Twice()).first)
    checkpointed(bare).backward()
    assert plain.calls == 2  # and nobody says so
    model = Gated() if make == "root" else Twice()
    hooked = model if make == "root" else hookframe.instrument(model)
    name = "hook_first" if make == "root" else "first.hook_out"
    seen = []
    hooked.add_hook(name, lambda tensor, hook: seen.append(tensor))
    hooked.add_hook(name, double)  # an edit has to take part, and a cache may
    cache = hooked.add_caching_hooks(name)
    loss = checkpointed(model)
    with pytest.warns(HookRecomputedWarning, match=f"<lambda>.* at '{name}' ran again while a backward pass") as caught:
        loss.backward()
    assert len(caught) == 1
    assert len(seen) == 2
    assert torch.equal(cache[name], seen[0].detach() * 2)
    checkpointed(model).backward()  # said once
    model(x)


@pytest.mark.found(
    "an edit that was off when a checkpointed part was computed again was missing from the gradients in silence"
)
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_activation_checkpointing_computes_again_without_an_edit(x, reentrant, make):
    def checkpointed(model, x):
        return torch.utils.checkpoint.checkpoint(lambda x: model(x).exp(), x, use_reentrant=reentrant).sum()

    def gradient(run):
        x.grad = None
        run(x.requires_grad_())
        return x.grad

    def plain(x):
        handle = bare.first.register_forward_hook(lambda module, args, output: output * 2)
        loss = checkpointed(bare, x)
        if early:
            handle.remove()
        loss.backward()
        handle.remove()

    bare, early = Twice(), False
    expected, early = gradient(plain), True
    assert not torch.allclose(gradient(plain), expected)  # and nobody says so
    model = Gated() if make == "root" else Twice()
    hooked = model if make == "root" else hookframe.instrument(model)
    name = "hook_first" if make == "root" else "first.hook_out"
    with hooked.hooks([(name, double)]):
        loss = checkpointed(model, x)
    with pytest.warns(
        EditNotRecomputedWarning, match=rf"with the edits by .*double .* at '{name}', and the hooks were"
    ):
        loss.backward()


# ---- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_an_operation_in_place_after_capture(x, make):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 8)

        def forward(self, x):
            return self.first(x).relu_()

    kept = {}
    model = InPlace()
    model.first.register_forward_hook(lambda module, args, output: kept.update(out=output.detach()))
    with torch.no_grad():
        model(x)
        assert torch.equal(kept["out"], kept["out"].relu())  # the silence: no negative number is left
        hooked = Gated(in_place=True) if make == "root" else hookframe.instrument(InPlace())
        name = "hook_first" if make == "root" else "first.hook_out"
        with pytest.warns(StaleActivationWarning, match=f"{name}.*clone='auto'"):
            hooked.run_with_cache(x, names_filter=name)
        _, cache = hooked.run_with_cache(x, names_filter=name, clone="auto")
    if make == "root":
        assert torch.equal(cache[name], x + 1)


WRONG = {
    "shape": lambda t: t[:, :1],  # broadcasts in the next layer, silently
    "dtype": lambda t: t.double().float().half().float().double(),
    "device": lambda t: t.to("meta"),
    "numpy": lambda t: t.detach().numpy(),
    "tuple": lambda t: (t, t),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_a_hook_that_returns_what_is_no_activation(x, what, make):
    hooked = Gated() if make == "root" else hookframe.instrument(Twice())
    name = "layers.1.hook_out" if make == "root" else "last.hook_out"  # the last: torch lets everything through here
    wrong = WRONG[what]
    plain = Twice()
    plain.last.register_forward_hook(lambda module, args, output: wrong(output))
    with torch.no_grad():
        assert isinstance(plain(x), torch.Tensor | np.ndarray | tuple)
        with pytest.raises(HookReturnError, match="in place of \\[2, 3, 8\\] torch.float32 on cpu"):
            hooked.run_with_hooks(x, fwd_hooks=[(name, lambda tensor, hook: wrong(tensor))])


@pytest.mark.parametrize("make", ["root", "instrumented"])
def test_a_hook_that_makes_a_nan(x, make):
    hooked = Gated() if make == "root" else hookframe.instrument(Twice())
    name = "layers.1.hook_out" if make == "root" else "last.hook_out"

    @guarded(finite=True)
    def spoil(tensor, hook):
        return tensor / 0

    with pytest.raises(HookReturnError, match="values that are NaN or infinite"):
        hooked.run_with_hooks(x, fwd_hooks=[(name, spoil)])


# ---- options that go elsewhere --------------------------------------------------------------------------------------


@pytest.mark.found(
    "a misspelt option of run_with_cache was swallowed by models that take any keyword, and all was cached"
)
def test_an_option_with_a_typo_that_the_model_swallows(x):
    class Swallows(Twice):
        def forward(self, x, **kwargs):
            return super().forward(x)

    model = Swallows()
    model(x, name_filter="first.hook_out", max_bytes=1)
    with pytest.raises(TypeError, match="did you mean 'names_filter'"):
        hookframe.instrument(model).run_with_cache(x, name_filter="first.hook_out")
    with pytest.raises(TypeError, match="'max_bytes'.*an option of capture"):
        hookframe.instrument(model).run_with_cache(x, max_bytes=1)


# ---- models that are not where they seem to be -----------------------------------------------------------------------


def test_replicas_of_data_parallel_cannot_write_into_one_cache(x):
    model = Gated()
    cache = model.add_caching_hooks("layers.0.hook_out")
    replica = model._replicate_for_data_parallel()  # what DataParallel makes, one for each device
    replica.layers = nn.ModuleList([layer._replicate_for_data_parallel() for layer in model.layers])
    point = replica.layers[0].hook_out = model.layers[0].hook_out._replicate_for_data_parallel()
    with pytest.raises(ReplicaCacheError, match="replica"):
        point(x)
    assert dict(cache) == {}


@pytest.mark.found("a hook on a module that was quantised, so that nothing called it any more, never fired in silence")
def test_modules_that_were_quantised_after_instrumenting(x):
    model = Twice()
    hooked = hookframe.instrument(model)
    hooked.add_hook("first.hook_out", double)
    model.first = Quantised(model.first)
    with pytest.raises(HookPointMoved, match="'first.hook_out'"):
        model(x)
    once = model.first(x)
    with hooked.hooks([("last.hook_in", lambda tensor, hook: seen.append(tensor))]):
        seen = []
        hooked(x)
    assert torch.equal(seen[0], once * 2)
    assert "first.weight" not in dict(hooked.named_parameters())


class Quantised(nn.Module):
    """A layer of 8-bit weights."""

    def __init__(self, linear):
        super().__init__()
        scale = linear.weight.detach().abs().max() / 127
        self.register_buffer("scale", scale)
        self.register_buffer("whole", (linear.weight.detach() / scale).round().to(torch.int8))
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x):
        return nn.functional.linear(x, self.whole * self.scale, self.bias)


def test_a_model_without_weights_runs_no_hook_that_looks_at_values(x):
    with torch.device("meta"):
        model = Twice()
    hooked = hookframe.instrument(model)
    output, cache = hooked.run_with_cache(x.to("meta"))
    assert output.is_meta
    assert all(value.is_meta for value in cache.values())
    assert hookframe.check_noop(model, x.to("meta")).tensors == 1

    @guarded(finite=True)
    def edit(tensor, hook):
        return tensor * 2

    with pytest.raises((NotImplementedError, RuntimeError, HookReturnError), match="meta|Meta"):
        hooked.run_with_hooks(x.to("meta"), fwd_hooks=[("last.hook_out", edit)])
