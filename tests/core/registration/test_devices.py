"""Devices and caches are reviewed before the first tensor moves, and an objection may name another device."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HookDenied, HookObjectionWarning, Objection, hookimpl


class NoMeta:
    """Minds the device ``meta``, which every torch has: refuses it, or sends it to the CPU."""

    def __init__(self, device=None):
        self.device = device
        self.asked = []

    @hookimpl
    def hookframe_check_device(self, request):
        self.asked.append(request)
        if request.device != "meta":
            return None
        make = Objection.deny if self.device is None else Objection.warn
        options = {} if self.device is None else {"device": self.device}
        return make(request, rule="no-meta", message="meta holds no values", remedy="use the cpu", **options)


@pytest.mark.parametrize(
    "move",
    [
        lambda m: m.to("meta"),
        lambda m: m.to(torch.device("meta")),
        lambda m: m.to(device="meta", dtype=torch.float64),
        lambda m: m.to(torch.empty(1, device="meta")),
        lambda m: m.to_empty(device="meta"),
    ],
)
def test_a_refused_device_moves_nothing(move, model):
    before = {name: (p.device, p.dtype) for name, p in model.named_parameters()}
    with hookframe.use_plugins(NoMeta()), pytest.raises(HookDenied, match="meta holds no values"):
        move(model)
    assert {name: (p.device, p.dtype) for name, p in model.named_parameters()} == before


def test_an_objection_can_send_a_model_elsewhere(model):
    with hookframe.use_plugins(NoMeta("cpu")), pytest.warns(HookObjectionWarning, match="meta holds no values"):
        assert model.to("meta", torch.float64) is model
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("cpu", torch.float64)}


def test_moves_that_choose_no_device_are_not_asked_about(model):
    watcher = NoMeta()
    with hookframe.use_plugins(watcher):
        model.to(torch.float64)
        model.double()
    assert watcher.asked == []


def test_cpu_and_cuda_are_asked_about(model):
    watcher = NoMeta()
    with hookframe.use_plugins(watcher):
        model.cpu()
        for device in (None, 1, torch.device("cuda", 0)):
            with contextlib.suppress(RuntimeError, AssertionError):  # a machine without that device
                model.cuda(device)
    assert [request.device for request in watcher.asked] == ["cpu", "cuda", "cuda:1", "cuda:0"]
    assert {(request.purpose, request.route) for request in watcher.asked} == {("model", "to")}


@pytest.mark.parametrize("cache", ["run_with_cache", "add_caching_hooks", "get_caching_hooks"])
def test_a_cache_on_a_refused_device_is_not_made(cache, model, x, tables):
    before = tables(model)
    arguments = (x,) if cache == "run_with_cache" else ()
    with hookframe.use_plugins(NoMeta()), pytest.raises(HookDenied, match="for the cache"):
        getattr(model, cache)(*arguments, device="meta")
    assert tables(model) == before


def test_a_cache_can_be_sent_elsewhere(model, x):
    with hookframe.use_plugins(NoMeta("cpu")), pytest.warns(HookObjectionWarning, match="meta holds no values"):
        _, cache = model.run_with_cache(x, device="meta")
    assert {value.device.type for value in cache.values()} == {"cpu"}


def test_without_a_device_the_models_own_is_asked_about(model, x):
    watcher = NoMeta()
    with hookframe.use_plugins(watcher):
        model.run_with_cache(x)
    assert [(request.device, request.purpose, request.route) for request in watcher.asked] == [
        ("cpu", "cache", "run_with_cache")
    ]


def test_check_cache_sees_what_is_about_to_be_cached(model, x):
    asked = []

    class Small:
        @hookimpl
        def hookframe_check_cache(self, request, model):
            asked.append((request, model))
            if len(request.points) > 2:
                return Objection.deny(request, rule="small", message="too many points", remedy="name fewer")

    with hookframe.use_plugins(Small()):
        model.run_with_cache(x, names_filter=["hook_embed"])
        with pytest.raises(HookDenied, match=r"caching 13 points on device 'cpu': too many points"):
            model.run_with_cache(x)
    (small, owner), (large, _) = asked
    assert (small.points, small.device, small.gradients, small.route) == (
        ("hook_embed",),
        "cpu",
        False,
        "run_with_cache",
    )
    assert owner is model
    assert len(large.points) == 13


def test_check_cache_can_send_the_values_elsewhere(model, x):
    class Elsewhere:
        @hookimpl
        def hookframe_check_cache(self, request):
            return Objection.warn(request, rule="r", message="shapes are enough", remedy="none", device="meta")

    with hookframe.use_plugins(Elsewhere()), pytest.warns(HookObjectionWarning, match="shapes are enough"):
        _, cache = model.run_with_cache(x)
    assert {value.device.type for value in cache.values()} == {"meta"}


def test_a_model_without_parameters_has_no_device_to_ask_about(x):
    class Bare(hookframe.HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a = hookframe.HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_a(x)

    asked = []

    class Look:
        @hookimpl
        def hookframe_check_cache(self, request):
            asked.append(request.device)

    with hookframe.use_plugins(Look(), NoMeta()):
        Bare().run_with_cache(x)
    assert asked == [None]


def test_buffers_tell_the_device_where_there_are_no_parameters(x):
    class Buffered(hookframe.HookedRootModule):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(5, affine=False)
            self.hook_a = hookframe.HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_a(self.norm(x))

    watcher = NoMeta()
    with hookframe.use_plugins(watcher):
        Buffered().run_with_cache(x)
    assert [request.device for request in watcher.asked] == ["cpu"]


def test_a_device_that_check_cache_names_is_put_to_check_device(model, x):
    class Elsewhere:
        @hookimpl
        def hookframe_check_cache(self, request):
            return Objection.audit(request, rule="r", message="m", remedy="r")

    class ToMeta:
        @hookimpl
        def hookframe_check_cache(self, request):
            return Objection.warn(request, rule="r", message="shapes are enough", remedy="none", device="meta")

    with hookframe.use_plugins(Elsewhere(), ToMeta(), NoMeta()), pytest.warns(HookObjectionWarning, match="enough"):
        with pytest.raises(HookDenied, match="meta holds no values"):
            model.run_with_cache(x)


def test_devices_that_this_machine_lacks_are_asked_about_first(model):
    watcher = NoMeta()
    with hookframe.use_plugins(watcher):
        for kind in ("xpu", "mtia", "ipu"):
            with pytest.raises((RuntimeError, AssertionError, NotImplementedError)):  # torch's own words
                getattr(model, kind)()
    assert [request.device for request in watcher.asked] == ["xpu", "mtia", "ipu"]


def test_a_device_that_torch_does_not_know_is_blamed_on_its_plugin(model, x):
    with hookframe.use_plugins(NoMeta("nonsense")), pytest.warns(HookObjectionWarning, match="meta holds"):
        with pytest.raises(hookframe.PluginError, match="plugin 'NoMeta' names device 'nonsense'"):
            model.to("meta")


def test_to_empty_goes_where_an_objection_sends_it(model):
    with hookframe.use_plugins(NoMeta("cpu")), pytest.warns(HookObjectionWarning, match="meta holds"):
        model.to_empty(device="meta")
    assert {p.device.type for p in model.parameters()} == {"cpu"}
