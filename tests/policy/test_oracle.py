"""Decisions are those of an oracle that knows the tables of the files alone."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookframe.policy.in_force.decide import decide
from hookframe.policy.language.facts import RecordedFacts
from tests.policy.documents import PLACES, TODAY, chance_of, facts_at, merged, stacks
from tests.policy.oracle import verdict

POLICIES, REQUESTS = 200, 50
_seen = {"pairs": 0, "verdicts": set(), "exceptions": 0}


@settings(max_examples=POLICIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(stack=stacks(), seed=st.integers(0, 2**32))
def agrees(stack, seed):
    policy, chance = merged(stack), chance_of(seed)
    for number in range(REQUESTS):
        place = PLACES[number % 5] if number % 2 else "add"
        facts = facts_at(place, chance)
        ruling = decide(policy, place, RecordedFacts(facts), TODAY)
        matches = {(m.rule.name, str(m.action), m.exemption and m.exemption.name) for m in ruling.matches}
        assert (ruling.verdict, matches) == verdict(stack, place, facts, TODAY), (place, facts)
        _seen["pairs"] += 1
        _seen["verdicts"].add(ruling.verdict)
        _seen["exceptions"] += any(match.exemption for match in ruling.matches)


def test_ten_thousand_decisions_are_those_of_the_oracle():
    agrees()
    assert _seen["pairs"] >= POLICIES * REQUESTS == 10_000
    assert _seen["verdicts"] == {"allow", "deny", "skip", "warn", "audit"}
    assert _seen["exceptions"] > 5
