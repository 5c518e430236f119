"""A policy's own tests: read with every mistake, run, and tried on small changes of the policy."""

from __future__ import annotations

from datetime import date

import pytest

from hookframe import PolicyError
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.vocabulary import LayerKind
from hookframe.policy.tools.cases import read_cases, read_facts, run_cases
from hookframe.policy.tools.mutants import mutants, survivors, uncovered

TODAY = date(2026, 6, 1)
POLICY = b"""
schema = 1
[[rules]]
id = "no-edits"
effect = "edit"
when = { any = [{ "request.layer".gt = 5 }, { model.cfg.tied = true }] }
reason = "r"
remedy = "m"
[[rules]]
id = "no-gradients"
direction = "bwd"
action = "warn"
reason = "r"
remedy = "m"
[[exceptions]]
id = "study"
rule = "no-edits"
points = ["a.*", "b.*"]
owner = "jane"
reason = "r"
until = 2026-06-30
"""
CASES = """
schema = 1
policy = ["policy.toml"]
facts = { request.effect = "edit" }
[[cases]]
name = "late"
facts = { request.layer = 6 }
expect = "deny"
rules = ["no-edits"]
[[cases]]
name = "the study"
facts = { request.layer = 6, request.point = "a.1" }
today = 2026-06-30
expect = "warn"
"""


@pytest.fixture
def policy():
    return merge([read_layer(POLICY, LayerKind.ORGANISATION, "policy.toml")])


@pytest.fixture
def read(tmp_path):
    def write(text):
        file = tmp_path / "cases.toml"
        file.write_text(text)
        return read_cases(file)

    return write


def test_cases_pass_where_the_policy_says_what_they_expect(policy, read, tmp_path):
    cases = read(CASES)
    assert [outcome.wrong for outcome in run_cases(policy, cases.cases, TODAY)] == [(), ()]
    assert cases.policies == (tmp_path / "policy.toml",)
    assert [case.line for case in cases.cases] == [5, 10]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (('expect = "deny"', 'expect = "allow"'), "expected allow, and the policy says deny"),
        (('rules = ["no-edits"]', 'rules = ["no-gradients"]'), "rule no-gradients does not match"),
        (('rules = ["no-edits"]', "rules = []"), "rule organisation:no-edits matches as well"),
        (("2026-06-30", "2026-07-01"), "expected warn, and the policy says deny"),
    ],
)  # fmt: skip
def test_a_case_that_fails_says_how(change, wrong, policy, read):
    outcomes = run_cases(policy, read(CASES.replace(*change)).cases, TODAY)
    assert wrong in [line for outcome in outcomes for line in outcome.wrong]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("schema = 1", ["cases.toml: has no 'cases': add it"]),
        ("schema = 2\ncases = 1\nother = 3", ["cases.toml:1: schema", "cases.toml:2: cases", "cases.toml:3: other"]),
        (
            'schema = 1\n[[cases]]\nname = "x"\nexpect = "refuse"\nplace = "ad"',
            [
                "cases.toml:4: cases[0].expect: is 'refuse'",
                "cases.toml:5: cases[0].place: is 'ad': did you mean 'add'?",
            ],
        ),
        (
            'schema = 1\n[[cases]]\nname = "x"\nexpect = "deny"\nfacts = { request.layr = 1, request.layer = "1", family = 3 }',
            [
                "no fact is called 'request.layr': did you mean 'request.layer'",
                "is '1': request.layer is a number",
                "is 3: family is a names",
            ],
        ),
        ("= 1", ["is no TOML"]),
        ("#" * 1100000, ["is larger than"]),
    ],
)
def test_every_mistake_in_a_file_of_cases_is_told_at_once(text, messages, read):
    with pytest.raises(PolicyError) as error:
        read(text)
    for message in messages:
        assert message.removeprefix("cases.toml") in str(error.value)
    assert len(error.value.mistakes) == len(messages)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PolicyError, match=r"nowhere\.toml: cannot be read: No such file"):
        read_facts(tmp_path / "nowhere.toml")


def test_facts_are_read_from_tables_and_from_dotted_paths(tmp_path):
    file = tmp_path / "facts.toml"
    file.write_text('family = "gpt2"\n"model.cfg.n" = 3\n[request]\npoints = ["a", "b"]\nfunction.module = "m"\n')
    assert read_facts(file) == {
        "family": ("gpt2",), "model.cfg.n": 3, "request.points": ("a", "b"), "request.function.module": "m"
    }  # fmt: skip
    file.write_text("nonsense = 1")
    with pytest.raises(PolicyError, match="no fact is called 'nonsense'"):
        read_facts(file)


def test_coverage_names_the_sides_that_no_case_saw(policy, read):
    sides, missing = uncovered(policy, read(CASES).cases)
    assert sides == 10
    assert {(side.thing.id, str(side.condition), side.missing) for side in missing} == {
        ("no-edits", "request.effect eq 'edit'", "false"),
        ("no-edits", "request.layer gt 5", "false"),
        ("no-edits", "model.cfg.tied eq true", "true"),
        ("no-gradients", "request.direction eq 'bwd'", "true"),
    }


def test_changes_that_no_case_notices_are_named(policy, read):
    count, unnoticed = survivors(policy, read(CASES).cases, TODAY)
    assert count == len(list(mutants(policy)))
    said = {(mutant.thing.id, mutant.change) for mutant in unnoticed}
    assert ("no-edits", "asks for request.layer ge 5 instead of request.layer gt 5") in said
    assert ("no-edits", "asks no more for: model.cfg.tied eq true") in said
    assert ("no-gradients", "is left out") in said
    assert ("study", "knows no more of 'b.*' in request.point") in said
    assert ("no-edits", "is left out") not in said
    assert ("study", "is left out") not in said


def test_each_mutant_is_another_policy(policy):
    described = {repr((mutant.policy.rules, mutant.policy.exemptions)) for mutant in mutants(policy)}
    assert len(described) == len(list(mutants(policy)))
    assert repr((policy.rules, policy.exemptions)) not in described


def test_a_rule_that_only_records_has_no_weaker_action():
    text = POLICY.replace(b'effect = "edit"\n', b'effect = "edit"\nmode = "audit"\n')
    policy = merge([read_layer(text, LayerKind.ORGANISATION, "policy.toml")])
    changes = {(mutant.thing.id, mutant.change) for mutant in mutants(policy)}
    assert ("no-edits", "only records (action audit)") not in changes
    assert ("no-gradients", "only records (action audit)") in changes


def test_opposites_are_turned_round():
    text = POLICY.replace(b'direction = "bwd"', b'when = { not = { all = [{ request.direction = "fwd" }] } }')
    policy = merge([read_layer(text, LayerKind.ORGANISATION, "policy.toml")])
    changes = {mutant.change for mutant in mutants(policy) if mutant.thing.id == "no-gradients"}
    assert "asks for what it excludes: request.direction eq 'fwd'" in changes


def test_a_case_that_fails_anyway_notices_no_change(policy, read):
    failing = CASES.replace('expect = "deny"', 'expect = "allow"')
    count, unnoticed = survivors(policy, read(failing).cases, TODAY)
    assert 0 < len(unnoticed) < count
