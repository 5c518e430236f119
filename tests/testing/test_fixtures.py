"""The fixtures, used as a plugin author uses them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import hookframe
from hookframe import HookDenied, Objection, hookimpl
from hookframe.admission.controller import source
from hookframe.admission.decision import Decision


class NoEdits:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return [
            Objection.deny(r, rule="no-edits", message="edits are off", remedy="mark it read_only")
            for r in requests
            if r.effect == "edit"
        ]


def double(tensor, hook):
    return tensor * 2


def test_importing_the_pytest_plugin_costs_nothing():
    script = "import sys, pytest\nbefore = set(sys.modules)\nimport hookframe.testing.plugin\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hookframe.testing.plugin" in loaded
    assert not {"torch", "numpy", "hypothesis", "rich", "importlib_metadata", "hookframe.hookspecs"} & loaded
    assert not [
        name for name in loaded if name.startswith(("hookframe.host", "hookframe.core", "hookframe.testing.conf"))
    ]


def test_the_manager_is_empty_and_in_force(hookframe_manager, tiny_model):
    assert hookframe_manager.records == ()
    assert source.current() is hookframe_manager
    hookframe_manager.register(NoEdits())
    with pytest.raises(HookDenied, match="edits are off"):
        tiny_model.add_hook("hook_embed", double)


def test_managers_are_made_with_plugins_and_options(make_hookframe_manager, tiny_model):
    class Configured:
        __name__ = "configured"

        @hookimpl
        def hookframe_configure(self, config):
            self.options = config.options

    plugin = Configured()
    aside = make_hookframe_manager(plugin, options={"configured": {"a": 1}}, in_force=False)
    assert plugin.options == {"a": 1}
    assert source.current() is not aside
    assert source.current() is not (last := make_hookframe_manager(NoEdits())) or last
    assert source.current() is last
    with pytest.raises(HookDenied, match="no-edits"):
        tiny_model.add_hook("hook_embed", double)


def test_the_tiny_model_has_blocks_gates_and_gradients(hookframe_manager, tiny_model):
    state = torch.random.get_rng_state()
    twin = type(tiny_model)()
    assert torch.equal(torch.random.get_rng_state(), state)
    logits, cache = tiny_model.run_with_cache(tiny_model.tokens)
    assert logits.shape == (1, 5, 16)
    assert torch.equal(logits, twin(twin.tokens))
    assert "blocks.1.attn.hook_pattern" in cache
    assert not [name for name in cache if name.endswith(("hook_result", "hook_mlp_in"))]
    tiny_model.cfg.use_attn_result = tiny_model.cfg.use_hook_mlp_in = True
    logits, cache = tiny_model.run_with_cache(tiny_model.tokens)
    assert set(cache) == set(tiny_model.hook_dict)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in tiny_model.parameters())


def test_the_tiny_model_has_the_names_that_generated_requests_use(tiny_model):
    from hookframe.testing.conformance.samples import POINTS

    assert set(POINTS) == set(tiny_model.hook_dict)


def test_events_are_recorded(hook_events, tiny_model):
    with tiny_model.hooks(fwd_hooks=[("hook_embed", double)]):
        tiny_model(tiny_model.tokens)
    tiny_model.run_with_cache(tiny_model.tokens, names_filter="hook_embed")
    specs = [spec for spec, _ in hook_events]
    assert specs[:3] == ["decision_made", "hooks_added", "context_entered"]
    assert {"hooks_removed", "context_exited", "cache_started", "cache_finished", "run_finished"} <= set(specs)
    assert hook_events[1][1].requests[0].function.qualname == "double"


def test_every_observer_is_recorded():
    from hookframe.hookspecs import OBSERVERS
    from hookframe.testing import EventRecorder
    from hookframe.testing.conformance import samples
    from hookframe.testing.conformance.bystanders import tell
    from hookframe.testing.conformance.implementations import impls_of

    recorder = EventRecorder()
    assert tell(impls_of(recorder)) == dict.fromkeys(sorted(OBSERVERS))
    assert recorder.events == [(spec, *facts.values()) for spec, facts in samples.told()]


def test_decisions_are_asserted(hookframe_manager, hook_request, assert_decision):
    hookframe_manager.register(NoEdits())
    batch = hook_request.batch("hook_embed", "blocks.0.hook_mlp_out")
    decision = hookframe_manager.review_hooks(batch, None)
    assert_decision.denied(decision, by="NoEdits", rules={"no-edits"}, points=["hook_embed", "blocks.0.hook_mlp_out"])
    assert_decision.allowed(hookframe_manager.review_hooks(hook_request.batch(effect="read"), None), rules=())
    with pytest.raises(HookDenied, match="edits") as refusal:
        hookframe.HookPoint().add_hook(double)
    assert_decision.denied(refusal, rules="no-edits", points=())
    assert assert_decision.denied(refusal.value) is refusal.value.decision


@pytest.mark.parametrize(
    ("verb", "expected", "text"),
    [
        (
            "allowed",
            {},
            "expected an admission, and it was refused; the decision:\n  denied, 1 requests\n  - deny by me",
        ),
        ("denied", {"by": "you"}, "expected by 'you', found 'me'"),
        ("denied", {"rules": ()}, "expected rules none, found 'r'"),
        ("denied", {"points": ["a", "b"], "by": "me"}, "expected points 'a', 'b', found 'blocks.0.hook_resid_pre'"),
    ],
)
def test_a_decision_that_is_another_is_shown(verb, expected, text, hook_request, assert_decision):
    request = hook_request()
    decision = Decision((request,), (Objection(request=request, rule="r", message="m", remedy="do", source="me"),))
    with pytest.raises(AssertionError, match="; the decision:") as failure:
        getattr(assert_decision, verb)(decision, **expected)
    assert text in str(failure.value)


def test_an_admission_that_should_be_a_refusal_is_shown(hook_request, assert_decision):
    with pytest.raises(AssertionError, match="expected a refusal, and it was admitted"):
        assert_decision.denied(Decision(hook_request.batch()))
    with pytest.raises(TypeError, match="is no decision and carries none"):
        assert_decision.allowed("yes")


def test_requests_are_built_with_defaults_and_from_functions(hook_request):
    request = hook_request("hook_embed", double, direction="bwd", permanent=True)
    assert (request.function.module, request.function.qualname) == (__name__, "double")
    assert (request.point, request.direction, request.permanent, request.effect) == ("hook_embed", "bwd", True, "edit")
    assert [r.index for r in hook_request.batch("a", "b", None, route="hooks")] == [0, 1, 2]
    assert hook_request.cache("a", "b", device="cuda:0").subject == "caching 2 points on device 'cuda:0'"
    assert (hook_request.device("mps").route, hook_request.device("mps", purpose="cache").route) == (
        "to",
        "run_with_cache",
    )
    assert hook_request.reset(["a"], owned=2).subject == "removing 1 permanent and 2 context hooks"
