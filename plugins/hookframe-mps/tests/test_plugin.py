"""The plugin on the bus, and real models."""

import tomllib
import warnings
from importlib import import_module
from pathlib import Path

import hookframe_mps
import pytest
from hookframe_mps.device_policy import DENIED, FALLBACK, LINEAR_DEFECT, UNTRUSTED, VARIABLE
from hookframe_mps.plugin import MpsPlugin, plugin

from hookframe import (
    DeviceRequest,
    HookDenied,
    HookObjectionWarning,
    Objection,
    PluginManager,
    PluginRejected,
    hookimpl,
    use_plugins,
)
from hookframe.host.installed.record import PluginRecord, PluginState

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))


def make(on_mps="warn", torch="2.9.0"):
    return MpsPlugin(lambda: torch), {"hookframe-mps": {"on_mps": on_mps}}


def manager_with(on_mps="warn", torch="2.9.0"):
    mps, options = make(on_mps, torch)
    return PluginManager(mps, options=options)


def review(manager, model=None, device="mps"):
    return manager.review_device(DeviceRequest(device=device, purpose="cache", route="run_with_cache"), model)


def rules(decision):
    return [objection.rule for objection in decision.objections]


# ---- once -----------------------------------------------------------------------------------------------------------


def test_only_the_first_of_many_requests_is_warned_of():
    manager = manager_with(torch="2.8.0")
    assert rules(review(manager)) == [LINEAR_DEFECT, UNTRUSTED]
    assert [rules(review(manager)) for _ in range(3)] == [[], [], []]


def test_another_instance_warns_again():
    review(manager_with())
    assert rules(review(manager_with())) == [UNTRUSTED]


def test_a_new_configuration_forgets_what_was_said():
    mps, options = make()
    review(PluginManager(mps, options=options))
    assert rules(review(PluginManager(mps, options=options))) == [UNTRUSTED]


def test_a_warning_that_was_lost_in_a_refusal_is_given_next_time():
    class DenyOnce:
        asked = 0

        @hookimpl
        def hookframe_check_device(self, request):
            self.asked += 1
            if self.asked == 1:
                return Objection.deny(request, rule="first", message="not yet", remedy="ask again")
            return None

    mps, options = make()
    manager = PluginManager(mps, DenyOnce(), options=options)
    assert not review(manager).allowed
    assert rules(review(manager)) == [UNTRUSTED]
    assert rules(review(manager)) == []


def test_it_knows_its_own_warnings_under_another_name():
    manager = PluginManager()
    manager.register(MpsPlugin(), PluginRecord(name="mirror", state=PluginState.LOADED, reason="a test"))
    assert [rules(review(manager)) for _ in range(2)] == [[UNTRUSTED], []]


def test_another_plugins_rule_of_the_same_name_silences_nothing():
    class Namesake:
        @hookimpl
        def hookframe_check_device(self, request):
            return Objection.warn(request, rule=UNTRUSTED, message="about something else", remedy="none")

    mps, options = make()
    manager = PluginManager(mps, Namesake(), options=options)
    review(manager, device="cuda:0")
    assert sorted(o.source for o in review(manager).objections) == ["Namesake", "hookframe-mps"]


@pytest.mark.parametrize(("value", "expected"), [("1", []), ("0", [UNTRUSTED]), ("", [UNTRUSTED])])
def test_the_environment_variable_allows_mps(monkeypatch, value, expected):
    monkeypatch.setenv(VARIABLE, value)
    assert rules(review(manager_with())) == expected


def test_the_environment_variable_works_after_the_plugin_is_loaded(monkeypatch):
    manager = manager_with()
    monkeypatch.setenv(VARIABLE, "1")
    assert rules(review(manager)) == []


def test_the_environment_variable_lifts_neither_a_refusal_nor_the_warning_of_torch_2_8(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    assert rules(review(manager_with("deny"))) == [DENIED]
    assert rules(review(manager_with("warn", torch="2.8.0"))) == [LINEAR_DEFECT]


# ---- real models ----------------------------------------------------------------------------------------------------


def test_a_move_to_mps_is_refused_before_torch_is_asked(model):
    mps, options = make("deny")
    with use_plugins(mps, options=options):
        for _ in range(2):
            with pytest.raises(HookDenied, match=r"using device 'mps' for the model(?s:.*)rule 'mps-denied'"):
                model.to("mps")
    assert model.linear.weight.device.type == "cpu"


def test_a_cache_on_mps_is_refused_and_the_model_does_not_run(model, batch):
    mps, options = make("deny")
    ran = []
    model.linear.register_forward_hook(lambda *_: ran.append(1))
    with use_plugins(mps, options=options), pytest.raises(HookDenied, match="MPS is denied here"):
        model.run_with_cache(batch, device="mps")
    assert ran == []


def test_a_cache_for_mps_is_kept_on_the_cpu_every_time_and_warned_of_once(model, batch):
    mps, options = make("cpu")
    with use_plugins(mps, options=options):
        with pytest.warns(
            HookObjectionWarning, match=r"the CPU is used instead.*\[hookframe-mps: mps-fallback\]"
        ) as seen:
            _, first = model.run_with_cache(batch, device="mps")
        _, second = model.run_with_cache(batch, device="mps")  # a warning would be an error here
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert [cache["hook_out"].device.type for cache in (first, second)] == ["cpu", "cpu"]


def test_a_model_for_mps_stays_on_the_cpu(model):
    mps, options = make("cpu")
    with use_plugins(mps, options=options), pytest.warns(HookObjectionWarning, match=FALLBACK):
        model.to("mps")
    assert model.linear.weight.device.type == "cpu"


def test_nothing_is_said_on_the_cpu(model, batch):
    with use_plugins(MpsPlugin(lambda: "2.8.0")), warnings.catch_warnings():
        warnings.simplefilter("error")
        model.to("cpu").run_with_cache(batch)


# ---- the distribution -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"on_mps": "dney"}, {"on_mp": "deny"}])
def test_wrong_options_leave_the_plugin_out_with_the_reason(options):
    with pytest.raises(PluginRejected, match=r"'hookframe-mps' failed while it was registered: .*on_mp"):
        PluginManager(MpsPlugin(), options={"hookframe-mps": options})


def test_the_entry_point_names_the_plugin():
    (place,) = PYPROJECT["project"]["entry-points"]["hookframe.plugins"].values()
    module, _, attribute = place.partition(":")
    assert getattr(import_module(module), attribute) is plugin
    record = PluginManager(plugin).records[0]
    assert record.name == PYPROJECT["project"]["name"]
    assert record.specs == ("check_device", "decision_made", "configure")


def test_every_dependency_is_declared():
    names = {dependency.partition(">")[0] for dependency in PYPROJECT["project"]["dependencies"]}
    assert names == {"hookframe", "packaging"}
    assert PYPROJECT["project"]["license"] == "MIT"


def test_the_version_has_one_place():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hookframe_mps.__version__"}
    assert hookframe_mps.__version__
