"""From layers to the policy in force: what wins, why, and what it beat."""

from __future__ import annotations

import itertools

import pytest

from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.vocabulary import LayerKind, Mode
from tests.policy.conftest import BARE


def plain(scope, *more):
    return "\n".join(["schema = 1", *more, "[settings]", f'scope = "{scope}"'])


def test_the_nearest_layer_holds_and_what_it_beat_is_kept(policy):
    made = policy(machine=plain("all"), user=plain("context"))
    effective = made.values["settings.scope"]
    assert made.value("settings.scope") == "context"
    assert (str(effective.origin), effective.why) == ("user policy, user.toml:3", "the nearest layer holds")
    assert [(value, str(origin)) for value, origin in effective.beat] == [("all", "machine policy, machine.toml:3")]
    assert effective.locked_by is None
    assert made.notes == ()


def test_a_locked_value_stays_and_the_vain_one_is_noted(policy):
    made = policy(
        machine=plain("all", 'locked = ["settings"]'), project=plain("context"), user=plain("context", "# no", "# no")
    )
    effective = made.values["settings.scope"]
    assert (effective.value, effective.why) == ("all", "it is locked")
    assert str(effective.locked_by) == "machine policy, machine.toml:2"
    assert len(effective.beat) == 2
    assert [str(note) for note in made.notes] == [
        "project.toml:3: settings.scope: the machine layer (machine.toml) has locked it: this value is not in force",
        "user.toml:5: settings.scope: the machine layer (machine.toml) has locked it: this value is not in force",
    ]


def test_a_lock_holds_within_and_above_the_layer_that_set_it(policy):
    made = policy(machine=plain("all"), organisation=plain("context", 'locked = ["settings.scope"]'), user=plain("all"))
    assert made.value("settings.scope") == "context"


def test_a_lock_on_what_only_weaker_layers_say_keeps_it_out(policy):
    made = policy(machine='schema = 1\nlocked = ["settings.scope"]', user=plain("context"))
    assert made.value("settings.scope", "default") == "default"
    assert [str(note) for note in made.notes] == [
        "user.toml:3: settings.scope: the machine layer (machine.toml) has locked it: this value is not in force"
    ]


def test_a_lock_on_nothing_is_noted_with_the_nearest_name(policy):
    (note,) = policy(plain("all", 'locked = ["settings.scop"]')).notes
    assert "no layer says 'settings.scop', so there is nothing to lock: did you mean 'settings.scope'?" in str(note)
    assert note.line == 2


def test_a_lock_on_a_part_of_a_name_locks_nothing_else(policy):
    text = 'schema = 1\nlocked = ["plugins.acme"]\n[plugins.acme.options]\na = 1\n[plugins.acme-two.options]\na = 1'
    made = policy(
        machine=text, user="schema = 1\n[plugins.Acme_Two.options]\na = 2\n[plugins.acme.options]\na = 2\nb = 3"
    )
    assert made.below("plugins.") == {"acme.options.a": 1, "acme-two.options.a": 2}


@pytest.mark.parametrize(
    ("key", "values", "holds"),
    [
        ("failure", ['"deny"', '"warn"'], "deny"),
        ("isolation", ['"none"', '"process"'], "process"),
        ("time_limit", ["2.0", "5"], 2.0),
    ],
)
def test_the_strictest_of_all_layers_holds_for_how_a_plugin_is_treated(policy, key, values, holds):
    for name in ("acme", "options"):  # whatever the plugin is called
        for one, two in (values, values[::-1]):
            locked = f'schema = 1\nlocked = ["plugins"]\n[plugins.{name}]\n{key} = {one}'
            made = policy(machine=locked, user=f"schema = 1\n[plugins.{name}]\n{key} = {two}")
            effective = made.values[f"plugins.{name}.{key}"]
            assert effective.value == holds
            assert "of all layers holds" in effective.why


def test_options_with_the_names_of_treatments_are_plain_values(policy):
    text = 'schema = 1\n[plugins.acme.options]\nfailure = "{}"\nrequired = 1'
    made = policy(machine=text.format("deny"), user=text.format("warn"))
    assert made.value("plugins.acme.options.failure") == "warn"


def test_the_journal_is_the_strongest_layers_and_required_if_any_says_so(policy):
    text = 'schema = 1\n[journal]\ndirectory = "{}"\nrequired = {}'
    made = policy(machine=text.format("a", "false"), user=text.format("b", "true"))
    assert made.below("journal.") == {"directory": "a", "required": True}


def test_the_order_in_which_layers_are_given_does_not_matter(layer):
    layers = [layer(BARE, kind) for kind in ("user", "machine", "project")]
    policies = [merge(order) for order in itertools.permutations(layers)]
    assert len({made.digest for made in policies}) == 1
    assert all([rule.name for rule in made.rules] == ["machine:r", "project:r", "user:r"] for made in policies)


def test_another_text_or_layer_is_another_digest(policy):
    digests = {policy(BARE).digest, policy(user=BARE).digest, policy(BARE + "# x").digest, merge([]).digest}
    assert len(digests) == 4
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)


def test_a_weaker_layer_tightens_a_rule_wherever_it_is_asked(policy):
    weak = BARE + 'where = ["add", "run"]\nmode = "audit"'
    made = policy(machine=weak, user='schema = 1\ntighten = { r = "warn" }')
    assert made.rules[0].modes == (("add", Mode.WARN), ("run", Mode.WARN))
    assert str(made.rules[0].origin) == "machine policy, machine.toml:2"
    assert made.notes == ()


@pytest.mark.parametrize("name", ["r", "machine:r"])
def test_a_weaker_layer_cannot_loosen_and_is_told_so(policy, name):
    made = policy(machine=BARE, user=f'schema = 1\ntighten = {{ "{name}" = "off" }}')
    assert made.rules[0].mode_at("add") is Mode.ENFORCE
    assert str(made.notes[0]).endswith("machine:r is at least as strict as off already")


def test_only_rules_of_stronger_layers_are_tightened(policy):
    made = policy(machine="schema = 1\ntighten = { r = 'enforce' }", user=BARE + "mode = 'audit'")
    assert made.rules[0].mode_at("add") is Mode.AUDIT
    assert "no stronger layer has a rule 'r'" in str(made.notes[0])
    own = policy(BARE.replace("schema = 1", "schema = 1\ntighten = { rr = 'enforce' }"))
    assert "no stronger layer has a rule 'rr'" in str(own.notes[0])


def test_rules_of_all_layers_add_up_also_under_one_id(policy):
    made = policy(machine=BARE, user=BARE + "action = 'audit'")
    assert [(rule.name, str(rule.action)) for rule in made.rules] == [("machine:r", "deny"), ("user:r", "audit")]


def test_loading_rules_and_requirements_add_up(policy):
    strong = """
        schema = 1
        require = { Acme_Guard = ">=1" }
        plugins.acme = { version = ">=2", origin = "index" }
        [loading]
        allow = ["a", "b"]
        deny = ["x"]
        require = ["a"]
        """
    weak = 'schema = 1\n[loading]\nallow = ["b", "c"]\ndeny = ["y"]\nrequire = ["b"]\nstrict = true'
    made = policy(machine=strong, user=weak)
    loading = made.loading
    assert (loading.allow, loading.deny) == ({"b"}, {"x", "y"})
    assert (loading.require, loading.strict) == ({"a", "b"}, True)
    assert [(pin.plugin, pin.version, set(pin.origins)) for pin in loading.pins] == [("acme", ">=2", {"index"})]
    (requirement,) = made.requirements
    assert (requirement.distribution, requirement.versions, requirement.origin.line) == ("acme-guard", ">=1", 3)


def test_who_is_managed_and_what_is_looked_at(policy):
    assert policy(organisation=BARE).managed
    assert not policy(project=BARE, user=BARE, session=BARE).managed
    made = policy(machine=BARE + "when = { model.training = true, request.layer = 1 }\n[facts]\nenv = ['A']", user=BARE)
    assert made.paths_at("add") == ("model.training", "request.layer")
    assert made.paths_at("run") == ()
    assert made.environment == {"A"}
    assert [rule.origin.layer for rule in made.rules_at("add")] == [LayerKind.MACHINE, LayerKind.USER]


def test_one_layer_keeps_the_journal_and_others_can_only_require_it(policy):
    merged = policy(
        machine='schema = 1\n[journal]\ndirectory = "/var/log/h"\n',
        user='schema = 1\n[journal]\ndirectory = "/tmp/mine"\nfacts = ["nothing"]\nsealed_to = "k"\nrequired = true\n',
    )
    assert merged.value("journal.directory") == "/var/log/h"
    assert merged.value("journal.facts") is None
    assert merged.value("journal.sealed_to") is None
    assert merged.value("journal.required") is True
    assert {note.where for note in merged.notes} == {"journal.directory", "journal.facts", "journal.sealed_to"}
    assert all("keeps the journal: this value is not in force" in note.message for note in merged.notes)


def test_a_lock_holds_between_files_of_one_layer(layer):
    one = layer('schema = 1\nlocked = ["settings.scope"]\n[settings]\nscope = "all"\n', "organisation", "a.toml")
    two = layer('schema = 1\n[settings]\nscope = "context"\n', "organisation", "b.toml")
    merged = merge([one, two])
    assert merged.value("settings.scope") == "all"
    assert [(note.file, note.where) for note in merged.notes] == [("b.toml", "settings.scope")]
