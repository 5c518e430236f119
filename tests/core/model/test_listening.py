"""What a subclass of the hook point can build on: it hears when it has something to run."""

from __future__ import annotations

import pytest
from torch import nn, ones

from hookframe import HookedRootModule, HookPoint, hookimpl


class Listening(HookPoint):
    def __init__(self):
        super().__init__()
        self.heard = []

    def becomes(self, state):
        if state in self.ctx.get("refuse", ()):
            raise RuntimeError(f"not {state}")
        self.heard.append((state, len(self.fwd_hooks), len(self.bwd_hooks)))


def keep(tensor, hook):
    return None


def test_only_the_first_and_the_last_function_are_heard_of():
    point = Listening()
    handles = [point.add_hook(keep), point.add_hook(keep, dir="bwd"), point.add_hook(keep)]
    assert point.heard == [("active", 0, 0)]
    for handle in handles:
        handle.remove()
    assert point.heard == [("active", 0, 0), ("idle", 0, 0)]


def test_torchs_own_hooks_are_heard_of():
    point = Listening()
    handle = point.register_forward_hook(lambda module, args, output: None)
    assert point.heard == [("active", 0, 0)]
    handle.remove()
    point(ones(1))  # a torch handle tells nobody: its absence is noticed at the next call
    assert point.heard[-1][0] == "idle"


def test_a_point_that_cannot_become_active_takes_the_batch_down_with_it():
    class Model(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.first, self.second = Listening(), Listening()
            self.setup()

    model = Model()
    model.second.ctx["refuse"] = ("active",)
    with pytest.raises(RuntimeError, match="not active"):
        model.hooks(fwd_hooks=[(lambda name: True, keep)]).__enter__()
    assert not model.list_hooks()
    assert model.first.heard == [("active", 0, 0), ("idle", 0, 0)]


def test_requests_say_which_names_a_user_gave(manager):
    seen = []

    class Recorder:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            seen.extend((request.names, request.aliases, request.certain) for request in requests)

    manager.register(Recorder())
    point = Listening()
    nn.Module.__setattr__(point, "name", "one")
    point.add_hook(keep)
    point.add_hook(keep, alias_names=["x"])
    assert seen == [((), ("one",), False), ((), ("x", "one"), False)]
