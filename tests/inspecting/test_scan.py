"""Every hook on a model is found, with its place in a file and with what is remarkable about it."""

from __future__ import annotations

import copy
import json
import sys
import textwrap
from functools import partial

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import hookframe
from hookframe import HookPoint, Objection, hookimpl, use_plugins
from hookframe.cli.main import cli
from hookframe.core.hooks.torch_hook import admitted_ids
from hookframe.inspecting.report import Trait
from hookframe.testing.tiny_model import TinyModel

TOKENS = torch.tensor([[1, 2]])


def look(tensor, hook):
    """A hook that reads."""


def torch_hook(*arguments):
    """A torch hook."""


class Callable_:
    def __call__(self, *arguments):
        """Nothing."""


@pytest.fixture
def model():
    return TinyModel()


def traits(report):
    return {hook.place: set(map(str, hook.traits)) for hook in report.hooks}


def test_a_model_without_hooks_has_none(model):
    report = hookframe.scan(model)
    assert (report.model, report.points, report.hooks) == ("TinyModel", len(model.hook_dict), ())
    assert report.modules == len(list(model.modules()))
    assert report.describe().endswith("0 to look at")


def test_an_admitted_hook_that_fired_is_nothing_to_look_at(model):
    model.add_hook("hook_embed", look, is_permanent=True)
    model(TOKENS)
    (hook,) = hookframe.scan(model).hooks
    assert (hook.place, hook.kind, hook.direction, hook.permanent, hook.fired) == ("hook_embed", "hook", "fwd", True, 1)
    assert (hook.function.file, hook.function.line) == (__file__, look.__code__.co_firstlineno)
    assert hook.remarks == ()
    assert hookframe.scan(model).findings == ()


REGISTRATIONS = {
    "register_forward_pre_hook": "fwd",
    "register_forward_hook": "fwd",
    "register_full_backward_pre_hook": "bwd",
    "register_full_backward_hook": "bwd",
}


@pytest.mark.parametrize(
    "function", [torch_hook, partial(torch_hook, 1), Callable_()], ids=["function", "partial", "object"]
)
@pytest.mark.parametrize("method", REGISTRATIONS)
def test_unmanaged_torch_hooks_are_found_on_any_module(method, function, model):
    getattr(model.blocks[0].mlp, method)(function)
    (hook,) = hookframe.scan(model).findings
    assert (hook.place, hook.kind, hook.direction) == ("blocks.0.mlp", method, REGISTRATIONS[method])
    assert hook.traits == {Trait.UNMANAGED}
    assert hook.function.file == __file__
    assert hook.function.line


def test_the_model_itself_and_a_plain_module_are_looked_at_as_well(model):
    model.register_forward_hook(torch_hook)
    (hook,) = hookframe.scan(model).findings
    assert hook.place == ""
    assert "at the model" in str(hook)
    plain = nn.Sequential(nn.Linear(2, 2))
    plain[0].register_forward_hook(torch_hook)
    report = hookframe.scan(plain)
    assert (report.points, [found.place for found in report.findings]) == (0, ["0"])


def test_what_hookframe_registers_itself_is_no_finding(model):
    def managed(*arguments):
        """Registered by hookframe."""

    managed.hookframe_managed = True
    model.blocks[0].register_forward_hook(managed)
    model.blocks[0].forward = managed
    assert hookframe.scan(model).hooks == ()


@pytest.mark.parametrize("method", REGISTRATIONS)
def test_torch_hooks_on_a_point_are_admitted_unless_they_went_past_it(method, model):
    point = model.hook_dict["hook_embed"]
    handle = getattr(point, method)(torch_hook)
    (admitted,) = hookframe.scan(model).hooks
    assert (admitted.place, admitted.remarks) == ("hook_embed", ())
    handle.remove()
    assert hookframe.scan(model).hooks == ()
    getattr(nn.Module, method)(point, torch_hook)
    (past,) = hookframe.scan(model).findings
    assert past.traits == {Trait.UNMANAGED}
    assert "past the hook point's own methods" in past.remarks[0].message


def test_the_ledger_does_not_travel_with_a_copy(model):
    point = model.hook_dict["hook_embed"]
    point.register_forward_hook(torch_hook)
    copied = copy.deepcopy(model)
    (hook,) = hookframe.scan(copied).hooks
    assert hook.remarks == ()  # admitted anew
    assert not admitted_ids(point) & admitted_ids(copied.hook_dict["hook_embed"])


@pytest.mark.parametrize(
    "method",
    [
        "register_module_forward_pre_hook",
        "register_module_forward_hook",
        "register_module_full_backward_pre_hook",
        "register_module_full_backward_hook",
    ],
)
def test_global_hooks_are_found(method, model):
    handle = getattr(nn.modules.module, method)(torch_hook)
    try:
        (hook,) = hookframe.scan(model).findings
    finally:
        handle.remove()
    assert (hook.place, hook.kind, hook.traits) == ("*", method, {Trait.GLOBAL})
    assert "at every module" in str(hook)
    assert hookframe.scan(model).hooks == ()


def test_gradient_hooks_on_parameters_and_replaced_forwards_are_found(model):
    model.blocks[0].mlp.W_in.register_hook(torch_hook)
    model.blocks[0].mlp.W_in.register_post_accumulate_grad_hook(torch_hook)
    model.blocks[1].forward = torch_hook
    found = hookframe.scan(model).findings
    assert [(hook.place, hook.kind, set(hook.traits)) for hook in found] == [
        ("blocks.0.mlp.W_in", "register_hook", {Trait.UNMANAGED}),
        ("blocks.0.mlp.W_in", "register_post_accumulate_grad_hook", {Trait.UNMANAGED}),
        ("blocks.1", "forward", {Trait.REPLACED}),
    ]


def test_hooks_that_never_fired_say_what_is_known(model):
    model.add_hook("blocks.0.attn.hook_result", look)
    model.add_hook("hook_embed", look)
    model(TOKENS)
    report = hookframe.scan(model)
    assert traits(report) == {"blocks.0.attn.hook_result": {"never-fired"}, "hook_embed": set()}
    assert "cfg.use_attn_result is off" in report.findings[0].remarks[0].message
    assert report.with_trait("never-fired") == report.findings


def test_a_hook_that_outlives_its_context_is_orphaned(model):
    with model.hooks(fwd_hooks=[("hook_embed", look)], reset_hooks_end=False):
        model(TOKENS)
        assert hookframe.scan(model).findings == ()
    (hook,) = hookframe.scan(model).findings
    assert hook.traits == {Trait.ORPHANED}
    assert "reset_hooks()" in hook.remarks[0].message


def test_a_hook_on_a_point_that_was_replaced_is_orphaned(model):
    model.add_hook("hook_embed", look)
    model(TOKENS)
    model.hook_embed = HookPoint()
    (hook,) = hookframe.scan(model).with_trait("orphaned")
    assert "no longer in the model" in hook.remarks[0].message


class Refuses:
    """Refuses edits, once it is told to."""

    refusing = False
    asked = 0

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.asked += 1
        if self.refusing:
            return [
                Objection.deny(r, rule="no", message="not any more", remedy="read")
                for r in requests
                if r.effect == "edit"
            ]
        return [
            Objection(request=r, rule="no", message="let through", remedy="read", action="warn", exception="project:x")
            for r in requests
            if r.effect == "edit"
        ]


def test_a_hook_that_would_be_refused_now_is_expired_and_nobody_is_told(model):
    rule, told = Refuses(), []

    class Hears:
        @hookimpl
        def hookframe_decision_made(self, decision):
            told.append(decision)

    with use_plugins(rule, Hears()):
        with pytest.warns(hookframe.HookObjectionWarning, match="let through"):
            model.add_hook("hook_embed", look)
        model.add_hook("blocks.0.hook_resid_pre", hookframe.read_only(look))
        with pytest.warns(hookframe.HookObjectionWarning, match="let through"):
            model.hook_dict["blocks.0.hook_resid_mid"].register_forward_hook(torch_hook)
        model(TOKENS)
        report = hookframe.scan(model)
        assert traits(report) == {
            "hook_embed": {"excepted"},
            "blocks.0.hook_resid_pre": set(),
            "blocks.0.hook_resid_mid": {"excepted"},
        }
        assert report.findings == ()
        rule.refusing = True
        before = len(told)
        report = hookframe.scan(model)
        assert [hook.place for hook in report.with_trait("expired")] == ["hook_embed", "blocks.0.hook_resid_mid"]
        assert "not any more [Refuses: no]; read" in report.findings[0].remarks[0].message
        assert len(told) == before


def test_the_requests_put_again_are_those_of_the_hooks(model):
    seen = []

    class Sees:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            seen.append(list(requests))

    with use_plugins(Sees()):
        model.add_hook("hook_embed", look, dir="bwd", is_permanent=True, prepend=True)
        with model.hooks(fwd_hooks=[("hook_embed", look)]):
            model.add_caching_hooks("blocks.0.hook_resid_pre")
            seen.clear()
            hookframe.scan(model)
    ((inside, first, caching),) = seen
    assert (first.direction, first.permanent, first.prepend, first.route, first.level) == (
        "bwd",
        True,
        True,
        "add_hook",
        None,
    )
    assert (inside.route, inside.level, inside.function.file) == ("hooks", 1, __file__)
    assert (caching.caches, caching.effect, caching.route) == (True, "read", "run_with_cache")


def test_points_outside_of_a_hooked_model_are_found():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.point = HookPoint()

    plain = Plain()
    plain.point.add_hook(look)
    (hook,) = hookframe.scan(plain).hooks
    assert (hook.place, set(hook.traits)) == ("point", {Trait.NEVER_FIRED})
    assert "was not run" in hook.remarks[0].message


def test_of_an_instrumented_model_the_modules_inside_are_looked_at():
    body = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with hookframe.instrument(body) as model:
        point = next(name for name in model.hook_dict if name.startswith("0"))
        model.add_hook(point, look)
        model(torch.ones(1, 2))
        report = hookframe.scan(model)
        assert [(hook.place, hook.fired, hook.remarks) for hook in report.hooks] == [(point, 1, ())]
        assert report.modules == 3
        body[1].register_forward_hook(torch_hook)
        (hook,) = hookframe.scan(model).findings
        assert (hook.place, hook.traits) == ("1", {Trait.UNMANAGED})
        assert hookframe.scan(body).findings == (hook,)


def test_a_controller_that_is_no_plugin_manager_is_not_asked(model, manager):
    class Own:
        def __getattr__(self, name):
            return getattr(manager, name)

    model.add_hook("hook_embed", look)
    model(TOKENS)
    model.admission_controller = Own()
    assert hookframe.scan(model).findings == ()


# ---- the verb ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "scanned.py").write_text(
        textwrap.dedent("""
        from torch import nn
        from hookframe.testing.tiny_model import TinyModel

        def on_mlp(module, arguments, output):
            pass

        def make():
            model = TinyModel()
            model.blocks[0].mlp.register_forward_hook(on_mlp)
            model.add_hook("hook_embed", lambda tensor, hook: None)
            model.hook_dict["hook_embed"].register_forward_hook(on_mlp)
            return model

        clean = TinyModel()
        number = 3
        """)
    )
    yield lambda *arguments: CliRunner().invoke(cli, ["scan", *arguments])
    sys.modules.pop("scanned", None)


def test_the_verb_shows_findings_with_file_and_line(run, tmp_path):
    result = run("scanned:make")
    assert result.exit_code == 1
    assert f"fwd register_forward_hook scanned.on_mlp ({tmp_path}/scanned.py:5) at 'blocks.0.mlp'" in result.output
    assert "  unmanaged: no admission has seen it" in result.output
    assert "  never-fired: " in result.output
    assert result.output.count("register_forward_hook") == 1
    assert run("scanned:make", "--all").output.count("register_forward_hook") == 2


def test_the_verb_prints_json_and_is_fine_with_a_clean_model(run):
    result = run("scanned:clean", "--json")
    assert result.exit_code == 0
    facts = json.loads(result.output)
    assert (facts["model"], facts["hooks"], facts["findings"]) == ("TinyModel", [], 0)
    facts = json.loads(run("scanned:make", "--json").output)
    assert [remark["trait"] for hook in facts["hooks"] for remark in hook["remarks"]] == ["never-fired", "unmanaged"]


def test_something_that_is_no_model_is_a_usage_error(run):
    result = run("scanned:number")
    assert result.exit_code == 2
    assert "is a int: name a torch module" in result.output
