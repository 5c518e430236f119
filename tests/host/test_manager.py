"""The plugin manager: registering, asking everybody, telling everybody."""

from __future__ import annotations

import pytest

import hookframe
from hookframe import HookedRootModule, HookPoint, HookRequest, Objection, PluginManager, PluginRejected, hookimpl
from hookframe.admission.request import FunctionInfo


def request(index=0, **facts):
    function = FunctionInfo(module="m", qualname="f")
    return HookRequest(index=index, point="blocks.0.hook_a", function=function, route="add_hook", **facts)


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_a(x)


def objector(name, action="deny"):
    class Plugin:
        __name__ = name

        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            make = getattr(Objection, action)
            return [make(requests[-1], rule=f"{name}-rule", message=f"{name} minds", remedy="none")]

    plugin = Plugin()
    plugin.__name__ = name
    return plugin


def test_no_plugin_can_swallow_anothers_objection():
    manager = PluginManager(objector("first"), objector("second"), objector("third"))
    decision = manager.review_hooks((request(),), None)
    assert [(o.source, o.rule) for o in decision.denials] == [
        ("first", "first-rule"), ("second", "second-rule"), ("third", "third-rule")
    ]  # fmt: skip


def test_the_decision_does_not_depend_on_the_order_of_registration():
    plugins = [objector("b"), objector("a", "warn"), objector("c", "audit")]
    forwards = PluginManager(*plugins).review_hooks((request(),), None)
    backwards = PluginManager(*reversed(plugins)).review_hooks((request(),), None)
    assert forwards == backwards


@pytest.mark.parametrize("options", [{"wrapper": True}, {"hookwrapper": True}])
def test_a_wrapper_around_a_validator_is_refused(options):
    class Wrapper:
        @hookimpl(**options)
        def hookframe_check_hooks_to_add(self, requests):
            yield

    manager = PluginManager()
    with pytest.raises(PluginRejected, match="no implementation may stand between others"):
        manager.register(Wrapper())
    assert manager.records == ()


def test_no_validator_spec_asks_for_the_first_result_alone():
    from hookframe import hookspecs

    for name in hookspecs.VALIDATORS:
        assert not getattr(hookspecs, f"hookframe_{name}").hookframe_spec["firstresult"]


def test_an_unknown_spec_is_refused_with_the_nearest_name():
    class Typo:
        @hookimpl
        def hookframe_check_hook_to_add(self, requests):
            return None

    with pytest.raises(PluginRejected, match="did you mean hookframe_check_hooks_to_add"):
        PluginManager(Typo())


def test_an_unknown_argument_is_refused_with_the_known_ones():
    class Typo:
        @hookimpl
        def hookframe_check_hooks_to_add(self, request):
            return None

    with pytest.raises(PluginRejected, match=r"takes \['requests', 'model'\].*asks for 'request'"):
        PluginManager(Typo())


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_plugin_that_fails_while_it_is_configured_is_left_out():
    class Broken:
        @hookimpl
        def hookframe_configure(self, config):
            raise OSError("no such file")

        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            pytest.fail("a plugin that was rejected is asked")

    manager = PluginManager()
    with pytest.raises(PluginRejected, match="no such file"):
        manager.register(Broken())
    assert manager.records == ()
    assert manager.review_hooks((request(),), None).allowed


def test_configure_gets_the_options_of_its_own_plugin():
    told = []

    class Plugin:
        @hookimpl
        def hookframe_configure(self, config):
            told.append((config.plugin, dict(config.options)))

    PluginManager(Plugin(), options={"Plugin": {"level": 3}, "another": {"level": 4}})
    assert told == [("Plugin", {"level": 3})]


class Switched:
    """Validates if it is told to, and is idle else."""

    @hookimpl
    def hookframe_configure(self, config):
        vars(self).pop("hookframe_check_hooks_to_add", None)
        if config.options.get("fails"):
            raise OSError("no disk")
        if config.options.get("on"):
            self.hookframe_check_hooks_to_add = hookimpl(lambda requests: None)


def test_what_a_plugin_implements_is_read_after_it_was_configured():
    manager = PluginManager(Switched())
    (record,) = manager.records
    assert record.specs == ("configure",)
    assert record.reason == "registered by hand; idle: as it is configured, it has nothing to do with hooks"
    assert not manager.wants("check_hooks_to_add")
    manager.configure("Switched", {"on": True})
    (record,) = manager.records
    assert (record.reason, manager.options_of("Switched")) == ("registered by hand", {"on": True})
    assert manager.wants("check_hooks_to_add")
    manager.configure("Switched", {})
    assert not manager.wants("check_hooks_to_add")


def test_a_plugin_that_refuses_new_options_is_left_out():
    manager = PluginManager(Switched(), options={"switched": {"on": True}})
    manager.configure("Switched", {"fails": True})
    (record,) = manager.records
    assert (str(record.state), record.step) == ("broken", "configuration")
    assert "no disk" in record.reason
    assert not manager.wants("check_hooks_to_add")
    with pytest.raises(KeyError):
        manager.configure("Nobody", {})


def test_a_name_is_registered_once():
    manager = PluginManager(objector("one"))
    with pytest.raises(PluginRejected, match="registered already"):
        manager.register(objector("one"))


def test_unregister_takes_a_plugin_away():
    manager = PluginManager(objector("one"))
    manager.unregister("one")
    assert manager.review_hooks((request(),), None).allowed
    assert manager.records == ()
    with pytest.raises(KeyError, match="no plugin 'one' is registered"):
        manager.unregister("one")


def test_a_record_lists_the_specs_of_its_plugin():
    (record,) = PluginManager(objector("one")).records
    assert (record.name, record.state, record.specs) == ("one", "loaded", ("check_hooks_to_add",))


def test_a_module_is_a_plugin(tmp_path, monkeypatch):
    (tmp_path / "tiny_validator.py").write_text(
        "from hookframe import Objection, hookimpl\n"
        "@hookimpl\n"
        "def hookframe_check_hooks_to_add(requests):\n"
        "    return [Objection.deny(r, rule='no', message='no hooks today', remedy='wait') for r in requests]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import tiny_validator

    with (
        hookframe.use_plugins(tiny_validator),
        pytest.raises(hookframe.HookDenied, match="by tiny_validator, rule 'no'"),
    ):
        Model().add_hook("hook_a", print)


def test_skip_leaves_out_what_was_swept_up_and_refuses_what_was_named():
    model = Model()
    with hookframe.use_plugins(objector("gate", "skip")):
        assert model.add_hook(lambda name: True, print) == []
        assert model.add_caching_hooks().skipped == {"hook_a": "gate: gate minds"}
        with pytest.raises(hookframe.HookDenied, match="gate minds"):
            model.add_hook("hook_a", print)


def test_a_warning_objection_admits_and_points_at_the_users_line():
    model = Model()
    with hookframe.use_plugins(objector("careful", "warn")):
        with pytest.warns(hookframe.HookObjectionWarning, match="careful minds") as caught:
            model.add_hook("hook_a", print)
    assert caught[0].filename == __file__
    assert len(model.hook_a.fwd_hooks) == 1


def test_an_audit_objection_says_nothing_and_is_in_the_decision():
    decisions = []

    class Observer:
        @hookimpl
        def hookframe_decision_made(self, decision):
            decisions.append(decision)

    with hookframe.use_plugins(objector("quiet", "audit"), Observer()):
        Model().add_hook("hook_a", print)
    assert [o.rule for o in decisions[0].objections] == ["quiet-rule"]
    assert decisions[0].allowed


def test_wrap_hook_puts_something_around_the_function_and_leaves_the_users_own_on_the_handle():
    class Doubler:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            return lambda tensor, hook_=hook, **kwargs: hook_(tensor, **kwargs) * 2

    def add_one(tensor, hook):
        return tensor + 1

    model = Model()
    with hookframe.use_plugins(Doubler()):
        handle = model.add_hook("hook_a", add_one)
    assert model(3) == 8
    assert handle.user_hook is add_one


def test_families_are_collected_from_all_plugins():
    class Family:
        @hookimpl
        def hookframe_model_families(self):
            return ["gpt2"]

    class Broken:
        @hookimpl
        def hookframe_model_families(self):
            raise RuntimeError("no families today")

    assert PluginManager(Family(), Broken()).families() == ["gpt2"]


def test_use_plugins_nests_and_ends_in_any_order():
    outer, inner = hookframe.use_plugins(objector("outer")), hookframe.use_plugins(objector("inner"))
    outer.close()
    with pytest.raises(hookframe.HookDenied, match="inner minds"):
        Model().add_hook("hook_a", print)
    inner.close()
    inner.close()
    Model().add_hook("hook_a", print)


def test_a_model_with_a_controller_of_its_own_keeps_it():
    model = Model()
    model.admission_controller = PluginManager(objector("own"))
    with hookframe.use_plugins(), pytest.raises(hookframe.HookDenied, match="own minds"):
        model.add_hook("hook_a", print)
    with pytest.raises(hookframe.HookDenied, match="own minds"):
        model.hook_a.add_hook(print)


def test_a_validator_cannot_attach_hooks_of_its_own():
    class Recursive:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests, model):
            model.add_hook("hook_a", print)

    model = Model()
    with hookframe.use_plugins(Recursive()), pytest.raises(hookframe.HookDenied, match="NestedAdmission"):
        model.add_hook("hook_a", print)
    assert not model.hook_a.fwd_hooks


def test_a_class_is_made_into_an_object_for_each_manager():
    class Counting:
        def __init__(self):
            self.asked = 0

        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            self.asked += 1
            if self.asked > 1:
                return Objection.deny(requests[0], rule="once", message="once is enough", remedy="none")

    for _ in range(2):
        manager = PluginManager(Counting)
        assert manager.records[0].name == "Counting"
        assert manager.review_hooks((request(),), None).allowed
        assert not manager.review_hooks((request(),), None).allowed


def test_a_class_that_needs_arguments_is_rejected():
    class Needy:
        def __init__(self, database):
            self.database = database

    with pytest.raises(PluginRejected, match="'Needy' cannot be made without arguments"):
        PluginManager(Needy)


def test_a_forgotten_marker_is_noticed():
    class Forgot:
        def hookframe_check_hooks_to_add(self, requests):
            return None

    with pytest.raises(PluginRejected, match="without @hookimpl, which would never be called"):
        PluginManager(Forgot())


def test_several_objects_of_one_class_are_numbered():
    names = [record.name for record in PluginManager(objector("one"), objector("one"), objector("one")).records]
    assert names == ["one", "one#2", "one#3"]


def test_arguments_with_defaults_and_by_keyword_alone_are_given():
    seen = []

    class Plugin:
        @hookimpl
        def hookframe_check_hooks_to_add(this, *, requests, model=None):  # noqa: N805  # not self, on purpose
            seen.append((len(requests), model))

    model = Model()
    with hookframe.use_plugins(Plugin()):
        model.add_hook("hook_a", print)
    assert seen == [(1, model)]


def test_a_closed_use_of_plugins_can_be_entered_again():
    use = hookframe.use_plugins(objector("one"))
    use.close()
    Model().add_hook("hook_a", print)
    with use, pytest.raises(hookframe.HookDenied, match="one minds"):
        Model().add_hook("hook_a", print)
    Model().add_hook("hook_a", print)


def test_of_two_uses_of_one_manager_the_innermost_ends_first():
    manager = PluginManager(objector("one"))
    outer, between, inner = hookframe.use_plugins(manager), hookframe.use_plugins(), hookframe.use_plugins(manager)
    inner.close()
    Model().add_hook("hook_a", print)
    between.close()
    with pytest.raises(hookframe.HookDenied, match="one minds"):
        Model().add_hook("hook_a", print)
    outer.close()
