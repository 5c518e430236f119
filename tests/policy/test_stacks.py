"""No weaker layer can turn a denial into an admission, or loosen anything else that a stronger one says."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookframe.policy.in_force.decide import decide
from hookframe.policy.language.facts import RecordedFacts
from hookframe.policy.language.vocabulary import LayerKind
from tests.policy.documents import PLACES, TODAY, chance_of, facts_at, merged, stacks
from tests.policy.oracle import ACTIONS, LAYERS

STRONG = stacks(layers=["machine", "organisation"], delegates=False)
DELEGATING = stacks(layers=["machine", "organisation"])
WEAK = stacks(layers=["project", "user", "session"])
quick = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))

many = settings(quick, max_examples=250)


def decided(policy, seed):
    chance = chance_of(seed)
    for number in range(40):
        place = PLACES[number % 5] if number % 2 else "add"
        yield decide(policy, place, RecordedFacts(facts_at(place, chance)), TODAY)


@quick
@given(strong=STRONG, weak=WEAK, seed=st.integers(0, 2**32))
def test_a_weaker_layer_never_loosens_a_decision(strong, weak, seed):
    alone, together = merged(strong), merged({**strong, **weak})
    for before, after in zip(decided(alone, seed), decided(together, seed), strict=True):
        assert ACTIONS.index(after.verdict) <= ACTIONS.index(before.verdict)
        stays = {(match.rule.name, match.action) for match in before.matches if match.action == "deny"}
        assert stays <= {(match.rule.name, match.action) for match in after.matches}


@quick
@given(strong=DELEGATING, weak=WEAK, seed=st.integers(0, 2**32))
def test_what_a_delegated_exception_lets_through_is_warned_of_under_its_name(strong, weak, seed):
    alone, together = merged(strong), merged({**strong, **weak})
    for before, after in zip(decided(alone, seed), decided(together, seed), strict=True):
        now = {match.rule.name: match for match in after.matches}
        for match in before.matches:
            found = now[match.rule.name]
            if ACTIONS.index(found.action) > ACTIONS.index(match.action):
                exemption, rule = found.exemption, found.rule
                assert found.action == "warn"
                assert exemption.origin.layer in rule.delegates
                assert 0 <= (exemption.until - TODAY).days <= rule.max_days


@quick
@given(strong=STRONG, weak=WEAK)
def test_rules_of_a_stronger_layer_stay_and_their_modes_never_fall(strong, weak):
    alone, together = merged(strong), merged({**strong, **weak})
    now = {rule.name: rule for rule in together.rules}
    for rule in alone.rules:
        found = now[rule.name]
        assert (found.condition, found.action, found.delegates) == (rule.condition, rule.action, rule.delegates)
        assert all(found.mode_at(p).strictness >= rule.mode_at(p).strictness for p in rule.places)


treatments = st.fixed_dictionaries(
    {},
    optional={
        "failure": st.sampled_from(["deny", "warn"]),
        "isolation": st.sampled_from(["none", "process"]),
        "time_limit": st.sampled_from([0.5, 1.0, 600.0]),
        "options": st.dictionaries(st.sampled_from(["failure", "x"]), st.integers(0, 3), max_size=2),
        "version": st.sampled_from([">=1", "<9"]),
    },
)
names = st.sampled_from(["acme-guard", "options", "Acme.Guard"])
documents = st.fixed_dictionaries(
    {"schema": st.just(1)},
    optional={
        "plugins": st.dictionaries(names, treatments, max_size=2),
        "journal": st.fixed_dictionaries({}, optional={"required": st.booleans(), "directory": st.sampled_from("ab")}),
        "settings": st.fixed_dictionaries({}, optional={"scope": st.sampled_from(["all", "context"])}),
        "locked": st.lists(st.sampled_from(["settings", "settings.scope", "plugins", "plugins.options"]), max_size=2),
        "require": st.dictionaries(names, st.sampled_from([">=1", "<9"]), max_size=2),
        "loading": st.fixed_dictionaries(
            {},
            optional={
                "allow": st.lists(names, unique=True),
                "deny": st.lists(names, unique=True),
                "require": st.lists(names, unique=True),
                "strict": st.booleans(),
            },
        ),
    },
)


@many
@given(written=st.dictionaries(st.sampled_from(LAYERS), documents, min_size=1), cut=st.integers(1, 4))
def test_values_that_tighten_never_loosen_and_locked_ones_stay(written, cut):
    strong = {layer: document for layer, document in written.items() if LAYERS.index(layer) < cut}
    before, after = merged(strong), merged(written)
    for path, effective in before.values.items():
        now, key = after.value(path), path.rpartition(".")[2]
        if path.startswith("journal.") and key != "required":
            assert now == effective.value
        elif path.count(".") == 2 and key in ("failure", "isolation", "time_limit"):
            strictest = {"failure": "deny", "isolation": "process"}.get(key)
            assert now in (effective.value, strictest) or (key == "time_limit" and now < effective.value)
        elif path == "journal.required":
            assert now or not effective.value
        elif effective.locked_by is not None:
            assert now == effective.value
    assert {r.distribution for r in before.requirements} <= {r.distribution for r in after.requirements}
    one, other = before.loading, after.loading
    assert one.deny <= other.deny
    assert one.require <= other.require
    assert set(one.pins) <= set(other.pins)
    assert other.strict or not one.strict
    assert one.allow is None or (other.allow is not None and other.allow <= one.allow)


@many
@given(written=st.dictionaries(st.sampled_from(LAYERS), documents, min_size=1))
def test_no_value_of_a_weaker_layer_is_in_force_behind_a_lock(written):
    policy = merged(written)
    for path, effective in policy.values.items():
        if path.startswith("journal.") or (path.count(".") == 2 and not path.startswith("settings")):
            continue
        holders = [
            layer
            for layer in LAYERS
            for lock in written.get(layer, {}).get("locked", [])
            if path == lock or path.startswith(lock + ".")
        ]
        if holders:
            strongest = min(LayerKind[layer.upper()] for layer in holders)
            assert effective.origin.layer <= strongest
            assert effective.locked_by.layer == strongest
