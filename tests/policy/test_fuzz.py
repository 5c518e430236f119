"""Whatever is given: a policy with a message or a valid layer, and never another exception."""

from __future__ import annotations

import re
import time
from datetime import date
from functools import cache

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hookframe import PolicyError
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.files.reading import LARGEST, read_layer
from hookframe.policy.files.toml import parse
from hookframe.policy.in_force.decide import decide
from hookframe.policy.in_force.found import read_layers
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.facts import ModelFacts, RecordedFacts
from hookframe.policy.language.vocabulary import FACTS, LayerKind, fact
from hookframe.policy.tools.analysis import analyse
from hookframe.policy.tools.cases import read_facts
from tests.policy.documents import PATHS, PLACES, TODAY, chance_of, document, facts_at

thorough = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def told(error, lines):
    assert error.mistakes
    for mistake in error.mistakes:
        assert mistake.message
        assert 0 <= mistake.line <= lines
        assert str(mistake).startswith(mistake.file)


def outcome(data: bytes, table=None):
    """A policy that decides, or mistakes that can be read."""
    try:
        layer = read_layer(data, LayerKind.PROJECT, "p.toml", table=table)
    except PolicyError as error:
        return told(error, data.count(b"\n") + data.count(b"\r") + 1)
    policy = merge([layer])
    for place in PLACES:
        for facts in (RecordedFacts(facts_at(place, chance_of(0))), ModelFacts(None, (), policy.environment)):
            assert decide(policy, place, facts, TODAY).verdict in ("allow", "audit", "warn", "skip", "deny")
    assert all(str(rule.condition) for rule in policy.rules)
    if len(policy.rules) < 50:  # it compares each rule with each other one
        analyse(policy, TODAY, ["hook_embed"])
    return policy


@thorough
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(b"")
@example(b"schema=1")
@example(b"\xef\xbb\xbfschema = 1")
@example(b"schema = 1\r\n[[rules]]\r\nid = 3")
@example(b"schema = 1\n'' = 1\n[''.'']\n")
@example(b"schema = 1\n[[rules]]\nwhen = {'' = {'' = 1}}\nid='a'\nreason='r'\nremedy='m'")
@example(b"schema = 1\nrules = [[[]]]")
@example(b"schema = 1\n[[rules]]\nwhere = {}\nid = ['a']\npoints = {a = 1}\nmax_days = 1e400")
@example(b"schema = 1\nname = '\\ud800'")
@example(b"schema = true")
@example(b"schema = 1.0")
@example(b"schema = 2026-01-01")
def test_any_bytes(data):
    outcome(data)


scalars = (
    st.none().map(lambda _: date(2026, 1, 1))
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*PATHS, "r", "all", "not", "eq", "glob", "**", "2.9", "deny", "add", "project:r"])
)
WORDS = """
schema rules id when points where action mode modes default locked settings exceptions rule until plugins options
require loading facts env tighten journal reason remedy owner delegates any all not eq in glob exists
"""
words = st.text(max_size=4) | st.sampled_from([*WORDS.split(), *FACTS])
tables = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@thorough
@given(st.dictionaries(words, tables, max_size=5), st.booleans())
def test_any_tables(found, shared):
    table = {"schema": 1, **found}
    outcome(
        tomli_w.dumps({"tool": {"hookframe": table}} if shared else table).encode(),
        "tool.hookframe" if shared else None,
    )


@thorough
@given(st.dictionaries(st.sampled_from(["tool", "x"]), tables, max_size=2))
def test_any_shared_file(found):
    outcome(tomli_w.dumps(found).encode(), "tool.hookframe")


@thorough
@given(found=st.dictionaries(words, tables, max_size=3))
def test_any_condition(found):
    rule = {"id": "r", "reason": "r", "remedy": "m", "when": found}
    outcome(tomli_w.dumps({"schema": 1, "rules": [rule]}).encode())


@st.composite
def mutated(draw):
    """A valid policy, with some of its bytes taken out, doubled, or changed for others."""
    data = tomli_w.dumps(draw(document("project"))).encode()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        chunk = draw(
            st.sampled_from([b"", data[start:end] * 2, b"\n", b"=", b"[[", b"]", b'"', b"{", b"}", b".", b"\x00"])
        )
        data = data[:start] + chunk + data[end:]
    return data


@thorough
@given(mutated())
def test_valid_policies_with_some_bytes_changed(data):
    outcome(data)


@thorough
@given(document("project"), st.data())
def test_valid_policies_with_some_values_changed(written, data):
    text = tomli_w.dumps(written)
    values = list(re.finditer(r"= (.+)$", text, re.MULTILINE))
    chosen = data.draw(st.sampled_from(values))
    other = data.draw(
        st.sampled_from(["1", "-1", "true", '""', "[]", "{}", "1e999", "nan", '"deny"', "2026-01-01", "[1]"])
    )
    outcome((text[: chosen.start(1)] + other + text[chosen.end(1) :]).encode())


RULE = b"\n[[rules]]\nid = 'r%d'\nreason = 'r'\nremedy = 'm'\npoints = ['a.%d.**']\n"


@pytest.mark.parametrize(
    "data",
    [
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a=" * 100_000,
        b"a = " + b"[" * 300 + b"]" * 300,
        b"a = " + b"{a=" * 300 + b"1" + b"}" * 300,
        b"schema = 1\n[[rules]]\nwhen = " + b"{not=" * 20 + b"{family='a'}" + b"}" * 20,
        b"schema = 1\n[[rules]]\nwhen = {any=[" + b"{all=[" * 12 + b"{family='a'}" + b"]}" * 12 + b"]}",
        b"schema = 1\n[" + b".".join([b"a"] * 300_000) + b"]",
        b"schema = 1\n" + b".".join([b"'a'"] * 200_000) + b" = 1",
        b"schema = 1\n" + b"".join(RULE % (number, number) for number in range(5000)),
        b"schema = 1\n" + b"".join(RULE % (number, number) for number in range(900)),
        b"schema = 1\n" + b"".join(b"k%d = 1\n" % number for number in range(30_000)),
        b"schema = 1\nx = [" + b"1," * 200_000 + b"]",
        b"schema = 1\nname = '" + b"x" * 1_000_000 + b"'",
        b"schema = 1\n" + b"# comment\n" * 100_000,
        b"\n" * LARGEST,
        b"schema = 1" + b" " * LARGEST,
        b"schema = 1\n[plugins]\n" + b"".join(b"p%d.failure = 'deny'\n" % number for number in range(20_000)),
    ],
    ids=lambda data: f"{data[11:40]!r}".strip("b'"),
)
def test_huge_and_deep_files(data):
    start = time.process_time()
    outcome(data)
    assert time.process_time() - start < 20  # what took quadratic time would take minutes


@thorough
@given(
    st.binary(max_size=120)
    | mutated()
    | st.dictionaries(words, tables, max_size=4).map(lambda t: tomli_w.dumps(t).encode())
)
def test_toml_is_read_or_refused_with_a_phrase(data):
    try:
        found = parse(data)
    except ValueError as error:
        found = str(error)
    assert isinstance(found, dict) or found.startswith(("is ", "has "))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | st.dictionaries(words, tables, max_size=4).map(lambda t: tomli_w.dumps(t).encode()))
@example(b"tool = 3")
@example(b"tool = 'hookframe'")
@example(b"[tool.hookframe]\nx = " + b"1" * 5000)
@example(b"[tool.hookframe]\n" + b"a." * 40 + b"b = 1")
def test_any_file_where_layers_are_looked_for(places, data):
    for name in ("work/pyproject.toml", "work/hookframe.toml", "etc/policy.toml"):
        path = places.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        found = read_layers(LayerPlaces.standard())
        assert len(found.layers) + len(found.unreadable) <= 1
        path.unlink()


@thorough
@given(st.binary(max_size=60) | st.dictionaries(words, tables, max_size=4).map(lambda t: tomli_w.dumps(t).encode()))
@example(b".".join([b"a"] * 5000) + b" = 1")
@example(b"model.cfg.n = 0x" + b"f" * 5000)
@example(b"model.cfg.n = " + b"1" * 5000)
def test_any_file_of_facts(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "facts.toml"
    path.write_bytes(data)
    try:
        facts = read_facts(path)
    except PolicyError as error:
        told(error, data.count(b"\n") + data.count(b"\r") + 1)
    else:
        assert all(path in FACTS or path.startswith(("model.c", "env.")) for path in facts)


@thorough
@given(facts=st.dictionaries(st.sampled_from(PATHS), st.none() | scalars | st.lists(st.text(max_size=4)), max_size=6))
def test_facts_of_any_type_are_decided_on(facts):
    for place in PLACES:
        assert decide(everything(), place, RecordedFacts(facts), TODAY).place == place


def _rule(number, path):
    kind = fact(path)
    value = {"text": '"a"', "names": '"a"', "flag": "true", "version": '"2.9"'}.get(kind.type, "3")
    value = {"direction": '"bwd"', "effect": '"edit"', "route": '"hooks"', "purpose": '"cache"'}.get(
        path.removeprefix("request."), value
    )
    ordering = f"lt = {value}" if kind.type in ("number", "version", "any") else f"ne = {value}"
    return (
        f"[[rules]]\nid = 'r{number}'\nwhere = {list(kind.places)}\nreason = 'r'\nremedy = 'm'\n"
        f"when = {{ any = [{{ '{path}' = {{ eq = {value} }} }}, {{ '{path}' = {{ {ordering} }} }}] }}\n"
    )


@cache
def everything():
    text = "schema = 1\nfacts.env = ['CI']\n" + "".join(_rule(*item) for item in enumerate(PATHS))
    return merge([read_layer(text.encode(), LayerKind.MACHINE, "p.toml")])
