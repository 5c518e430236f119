"""Rules for loading: what they block, what they require, and what is refused when they cannot be fulfilled."""

from __future__ import annotations

import pickle

import pytest

import hookframe
from hookframe import HookDenied, HookPoint, InvalidLoadingRules, PluginManager
from hookframe.admission.request import CacheRequest, DeviceRequest, ResetRequest
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.rules import LoadingRules, PluginPin
from hookframe.testing.fake_installations import ABSTAINS


def digest_of(name):
    return next(check_files(d).digest for d in take_inventory().distributions if d.name == name)


def load(rules, name, **options):
    manager = PluginManager.installed(rules=rules, **options)
    (record,) = [record for record in manager.records if record.distribution == name]
    return manager, record


def refusal(manager):
    with hookframe.use_plugins(manager), pytest.raises(HookDenied, match="required plugin") as caught:
        HookPoint().add_hook(print)
    return caught.value.decision


# ---- what blocks ---------------------------------------------------------------------------------------------------


def test_without_rules_everything_may_load(site):
    site.normal("acme-rules", ABSTAINS)
    assert load(None, "acme-rules")[1].state == "loaded"


@pytest.mark.parametrize(
    ("rules", "step"),
    [
        (LoadingRules(deny={"ACME.Rules"}), "deny"),
        (LoadingRules(allow={"something-else", "hookframe-log"}), "allow"),
        (LoadingRules(allow={"acme-rules"}, deny={"acme_rules"}), "deny"),
        (LoadingRules(pins=(PluginPin(plugin="Acme_Rules", version=">=2"),)), "version"),
        (LoadingRules(pins=(PluginPin(plugin="acme-rules", origins={"editable", "vcs"}),)), "origin"),
        (LoadingRules(pins=(PluginPin(plugin="acme-rules"), PluginPin(plugin="acme-rules", version="<1"))), "version"),
    ],
)
def test_a_rule_blocks_a_plugin_before_it_is_imported(rules, step, site):
    site.normal("acme-rules", "raise SystemExit('imported')")
    _, record = load(rules, "acme-rules")
    assert (record.state, record.step) == ("blocked", step)
    assert record.repair


@pytest.mark.parametrize(
    "rules",
    [
        LoadingRules(allow={"Acme_Rules"}),
        LoadingRules(pins=(PluginPin(plugin="acme-rules", version="~=1.0", origins={"index"}),)),
    ],
)
def test_a_rule_that_is_fulfilled_lets_the_plugin_load(rules, site):
    site.normal("acme-rules", ABSTAINS)
    assert load(rules, "acme-rules")[1].state == "loaded"


def test_a_plugin_with_other_files_than_the_pinned_is_tampered_with(site):
    fake = site.normal("acme-rules", ABSTAINS)
    rules = LoadingRules(pins=(PluginPin(plugin="acme-rules", digest=digest_of("acme-rules")),))
    assert load(rules, "acme-rules")[1].state == "loaded"
    site.normal("acme-rules", ABSTAINS + "# another build, with a RECORD of its own\n")
    _, record = load(rules, "acme-rules")
    assert (record.state, record.step) == ("tampered", "digest")
    assert fake.package


@pytest.mark.parametrize("rules", [LoadingRules(strict=True), LoadingRules(require={"acme-rules"})])
def test_a_changed_file_is_found_where_rules_need_digests(rules, site):
    site.tampered("acme-rules", "raise SystemExit('imported')")
    _, record = load(rules, "acme-rules")
    assert (record.state, record.step) == ("tampered", "integrity")
    assert "changed: fake_acme_rules/plugin.py" in record.reason


@pytest.mark.parametrize("kind", ["editable", "without_record"])
def test_what_cannot_be_verified_is_blocked_where_it_has_to_be(kind, site):
    getattr(site, kind)("acme-rules", ABSTAINS)
    pinned = LoadingRules(pins=(PluginPin(plugin="acme-rules", digest="sha256:00"),))
    for rules in (LoadingRules(strict=True), pinned):
        assert load(rules, "acme-rules")[1].state == "blocked"
    assert load(LoadingRules(require={"acme-rules"}), "acme-rules")[1].state == "loaded"


def test_a_name_in_a_rule_that_matches_nothing_is_reported(site, caplog):
    site.normal("acme-rules", ABSTAINS)
    pins = (PluginPin(plugin="acme-pinned", version="==1.0"),)
    rules = LoadingRules(allow={"acme-rules", "acme-rulez"}, deny={"acme-denied"}, pins=pins)
    missing = {r.name: r.reason for r in PluginManager.installed(rules=rules).records if r.state == "missing"}
    assert set(missing) == {"acme-rulez", "acme-denied", "acme-pinned"}
    assert missing["acme-rulez"] == "is named in the rules (allow), and is not installed; did you mean acme-rules?"
    assert "plugin acme-denied is missing" in caplog.text


# ---- what is required ----------------------------------------------------------------------------------------------


def missing(site):
    return "missing", "installed", "pip install acme-rules"


def broken(site):
    site.normal("acme-rules", "raise ImportError('a library is missing')")
    return "broken", "import", "reinstall"


def unregistered(site):
    text = "from hookframe import hookimpl\n@hookimpl\ndef hookframe_check_hook(requests): pass\n"
    site.normal("acme-rules", text)
    return "incompatible", "registration", "repair acme-rules"


def incompatible(site):
    site.wrong_api("acme-rules")
    return "incompatible", "plugin-api", "that supports plugin API 1.0"


def tampered(site):
    site.tampered("acme-rules")
    return "tampered", "integrity", "pip install --force-reinstall --no-deps acme-rules"


def nameless(site):
    site.without_name("acme-rules")
    return "broken", "metadata", "reinstall acme-rules"


def only_a_left_over(site):
    site.empty_dist_info("acme-rules")
    return "missing", "installed", "pip install acme-rules"


@pytest.mark.parametrize(
    "fault",
    [missing, broken, unregistered, incompatible, tampered, nameless, only_a_left_over],
    ids=lambda f: f.__name__,
)
def test_a_required_plugin_that_is_not_at_work_refuses_every_hook(fault, site):
    state, step, repair = fault(site)
    manager = PluginManager.installed(rules=LoadingRules(require={"Acme.Rules"}))
    (denial,) = refusal(manager).denials
    assert (denial.source, denial.rule) == ("hookframe", "required-plugin")
    assert f"the required plugin 'acme-rules' is {state}: " in denial.message
    assert f"(step '{step}')" in denial.message
    assert repair in denial.remedy


def test_a_person_cannot_lift_what_the_rules_require(site, monkeypatch):
    site.normal("acme-rules", ABSTAINS)
    rules = LoadingRules(require={"acme-rules"})
    denied = refusal(PluginManager.installed(rules=rules, without=["acme-rules"]))
    assert "run without --no-plugin" in denied.denials[0].remedy
    for value in ("none", "hookframe-log"):
        monkeypatch.setenv("HOOKFRAME_PLUGINS", value)
        manager, record = load(rules, "acme-rules")
        assert record.state == "disabled"
        assert "HOOKFRAME_PLUGINS" in refusal(manager).denials[0].message


def test_each_request_and_each_kind_of_review_is_refused(monkeypatch):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    manager = PluginManager.installed(rules=LoadingRules(require={"acme-one", "acme-two"}))
    device = DeviceRequest(device="cpu", purpose="model", route="to")
    cache = CacheRequest(points=("a",), route="run_with_cache")
    reset = ResetRequest(points=("a",), permanent=1, route="reset_hooks")
    for decision in (
        manager.review_device(device, None),
        manager.review_cache(cache, None),
        manager.review_reset(reset, None),
        manager.review_hooks((device, cache), None),
    ):
        assert len(decision.denials) == 2 * len(decision.requests)
    for spec in ("check_hooks_to_add", "check_cache", "check_device", "check_reset"):
        assert manager.wants(spec)
    assert not manager.wants("hooks_added")


def test_a_required_plugin_that_works_refuses_nothing(site):
    site.normal("acme-rules", ABSTAINS)
    manager, record = load(LoadingRules(require={"acme-rules"}), "acme-rules")
    assert record.state == "loaded"
    assert manager.unfulfilled == ()
    with hookframe.use_plugins(manager):
        HookPoint().add_hook(print)


def test_a_required_plugin_that_is_unregistered_refuses_from_then_on(site):
    site.normal("acme-rules", ABSTAINS)
    manager, _ = load(LoadingRules(require={"acme-rules"}), "acme-rules")
    manager.unregister("acme-rules")
    assert "no longer registered" in refusal(manager).denials[0].message


def test_one_broken_plugin_of_a_required_distribution_is_enough_to_refuse(site):
    points = {"good": "fake_acme_rules.plugin", "bad": "fake_acme_rules.bad"}
    site.normal("acme-rules", ABSTAINS, entry_points=points, files={"bad.py": "raise ImportError('no')"})
    manager = PluginManager.installed(rules=LoadingRules(require={"acme-rules"}))
    assert "'acme-rules:bad' is broken" in refusal(manager).denials[0].message


def test_left_overs_and_copies_of_a_required_plugin_refuse_nothing(site):
    site.empty_dist_info("acme-rules")
    site.normal("acme-rules", ABSTAINS)
    assert PluginManager.installed(rules=LoadingRules(require={"acme-rules"})).unfulfilled == ()


# ---- rules as values and as files ----------------------------------------------------------------------------------


def test_rules_from_a_file_are_the_rules_that_were_written(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(
        'strict = true\nallow = ["Acme.Rules", "other"]\ndeny = ["bad"]\nrequire = ["acme_rules"]\n'
        '[plugins.acme-rules]\nversion = ">=1,<2"\ndigest = "sha256:00"\norigin = ["index", "vcs"]\n'
        '[plugins.other]\norigin = "local"\n'
    )
    pin = PluginPin(plugin="acme-rules", version=">=1,<2", digest="sha256:00", origins=frozenset({"index", "vcs"}))
    assert LoadingRules.from_toml(file) == LoadingRules(
        strict=True,
        allow=frozenset({"acme-rules", "other"}),
        deny=frozenset({"bad"}),
        require=frozenset({"acme-rules"}),
        pins=(pin, PluginPin(plugin="other", origins=frozenset({"local"}))),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("requires = ['a']", "has no key 'requires': did you mean 'require'"),
        ("zzz = 1", "has no key 'zzz': use some of"),
        ("deny = 'a'", "deny is 'a': write a list of names"),
        ("deny = [1]", "write a list of names"),
        ("strict = 'yes'", "write true or false"),
        ("plugins = 1", "plugins is 1: write a table"),
        ("plugins.a = 1", "plugins.a is 1: write a table"),
        ("[plugins.a]\nversions = '1'", "plugins.a has no key 'versions': did you mean 'version'"),
        ("[plugins.a]\nversion = 'one'", "'one' is no range of versions"),
        ("[plugins.a]\nversion = 1", "plugins.a.version is 1: write it as a string"),
        ("[plugins.a]\ndigest = 'md5:0'", "does not start with 'sha256:'"),
        ("[plugins.a]\norigin = 'moon'", "unknown origin 'moon'"),
        ("strict = ", "cannot be read"),
        (b"\xff", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_rules_is_refused_whole(text, message, tmp_path):
    file = tmp_path / "rules.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidLoadingRules, match=message):
        LoadingRules.from_toml(file)


def test_a_single_string_is_no_collection_of_names():
    with pytest.raises(InvalidLoadingRules, match="deny is 'acme', a single string"):
        LoadingRules(deny="acme")


def test_two_sets_of_rules_together_are_never_looser_than_one():
    one = LoadingRules(allow={"a", "b"}, deny={"c"}, require={"a"}, pins=(PluginPin(plugin="a", version="<2"),))
    two = LoadingRules(allow={"b"}, deny={"d"}, strict=True, pins=(PluginPin(plugin="a", version=">1"),))
    both = one & two
    assert (both.allow, both.deny, both.require, both.strict) == ({"b"}, {"c", "d"}, {"a"}, True)
    assert [pin.version for pin in both.pins_for("a")] == ["<2", ">1"]
    assert (one & LoadingRules()) == one == (LoadingRules() & one)


def test_rules_travel_and_can_be_compared():
    rules = LoadingRules(allow={"a"}, pins=(PluginPin(plugin="a", origins={"index"}),))
    assert pickle.loads(pickle.dumps(rules)) == rules
    assert hash(rules) == hash(pickle.loads(pickle.dumps(rules)))
