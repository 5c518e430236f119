"""Reading a policy file: what is understood, and every mistake at once with its line and the nearest that is known."""

from __future__ import annotations

import pickle
import time
from datetime import date

import pytest

from hookframe import Action, PolicyError
from hookframe.policy.files.reading import LARGEST, read_layer, read_layer_file
from hookframe.policy.language.conditions import All, Comparison, Not, OneOf
from hookframe.policy.language.vocabulary import LayerKind, Mode
from tests.policy.conftest import BARE


def mistakes(text, kind=LayerKind.PROJECT, table=None):
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyError) as caught:
        read_layer(data, kind, "p.toml", table=table)
    assert str(caught.value).splitlines() == list(map(str, caught.value.mistakes))
    return list(map(str, caught.value.mistakes))


def test_a_whole_file(layer):
    read = layer(
        """
        schema = 1
        name = "acme"
        modes = { default = "warn", run = "audit" }

        [[rules]]
        id = "no-edits"
        where = ["add", "run", "add"]
        points = ["blocks.**"]
        reason = " because "
        remedy = "read"
        delegates = ["user"]

        [[rules]]
        id = "gone"
        where = "device"
        action = "skip"
        mode = "off"
        reason = "r"
        remedy = "m"

        [[exceptions]]
        id = "study"
        rule = "no-edits"
        points = ["blocks.1.**"]
        owner = "ann"
        reason = "a study"
        ticket = "T-1"
        until = 2026-12-31
        on_end = "remove"
        """,
        "organisation",
        "acme.toml",
    )
    first, second = read.rules
    assert (read.name, read.kind, first.name) == ("acme", LayerKind.ORGANISATION, "organisation:no-edits")
    assert first.places == ("add", "run")
    assert first.modes == (("add", Mode.WARN), ("run", Mode.AUDIT))
    assert (first.action, first.reason, first.max_days) == (Action.DENY, "because", 90)
    assert first.delegates == (LayerKind.USER,)
    assert (second.action_at("device"), second.mode_at("device")) == (Action.SKIP, Mode.OFF)
    assert second.mode_at("add") is Mode.OFF
    assert str(first.origin) == "organisation policy, acme.toml:6"
    assert (second.origin.line, read.origin(("modes", "run")).line) == (14, 4)
    (exemption,) = read.exemptions
    assert (exemption.until, exemption.removes, exemption.ticket) == (date(2026, 12, 31), True, "T-1")
    assert (exemption.name, exemption.origin.line) == ("organisation:study", 22)


def test_a_file_without_a_name_is_called_by_its_path(layer):
    assert layer("schema = 1", file="x.toml").name == "x.toml"


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ('families = ["gpt2"]', Comparison("family", "in", ("gpt2",))),
        ('direction = "bwd"', Comparison("request.direction", "eq", "bwd")),
        ("permanent = false", Comparison("request.permanent", "eq", False)),
        ('functions = ["acme.**"]', Comparison("request.function.name", "glob", ("acme.**",))),
        ('distributions = ["Acme_Tools"]', Comparison("request.function.distribution", "in", ("acme-tools",))),
        ('points = ["**"]', Comparison("request.point", "glob", ("**",))),
        ("when = { model.cfg.n_layers = 3 }", Comparison("model.cfg.n_layers", "eq", 3)),
        ('when = { "model.cfg.n" = [1, 2] }', Comparison("model.cfg.n", "in", (1, 2))),
        ("when.model.training.ne = true", Comparison("model.training", "ne", True)),
        ('when = { "request.layer" = { lt = 3 } }', Comparison("request.layer", "lt", 3)),
        ("when = { model.cfg.eq = 3 }", Comparison("model.cfg.eq", "eq", 3)),
        ("when = { model.cfg.deep.eq = { ge = 3 } }", Comparison("model.cfg.deep.eq", "ge", 3)),
        ('when = { not = { family = "a" } }', Not(Comparison("family", "eq", "a"))),
        (
            "when = { any = [{ model.training = true }, { all = [{ model.cfg.a = 1 }] }] }",
            OneOf((Comparison("model.training", "eq", True), Comparison("model.cfg.a", "eq", 1))),
        ),
        (
            "when = { request.layer = { gt = 1, lt = 3 } }",
            All((Comparison("request.layer", "gt", 1), Comparison("request.layer", "lt", 3))),
        ),
    ],
)
def test_what_selectors_and_conditions_mean(rule, written, condition):
    assert rule(written).condition == All((condition,))


def test_points_mean_what_is_known_of_them_where_the_rule_is_asked(rule):
    parts = rule('where = ["add", "cache", "reset", "run"]\npoints = ["a"]').condition.parts
    assert [part.path for part in parts[0].parts] == ["request.point", "request.points", "request.never_fired"]


def test_every_mistake_is_told_at_once_with_its_line_and_near_misses():
    found = mistakes(
        """schema = 1
[[rules]]
id = "No Spaces"
reason = "r"
remedy = "m"
acton = "deny"
mode = "enforced"

[[rules]]
id = "b"
reason = ""
where = ["ad"]

[settings]
scope = "al"
"""
    )
    assert found == [
        "p.toml:3: rules[0].id: is 'No Spaces': string should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$'",
        "p.toml:6: rules[0].acton: there is no such key: did you mean 'action'?",
        "p.toml:7: rules[0].mode: is 'enforced': did you mean 'enforce'?",
        "p.toml:9: rules[1]: has no 'remedy': add it (what a person can do about it)",
        "p.toml:11: rules[1].reason: is '': string should have at least 1 character",
        "p.toml:12: rules[1].where[0]: is 'ad': did you mean 'add'?",
        "p.toml:15: settings.scope: is 'al': did you mean 'all'?",
    ]


@pytest.mark.parametrize(
    ("written", "line", "text"),
    [
        (
            "when = { request.pont = 'a' }",
            6,
            "rules[0].when.request.pont: no fact is called 'request.pont': did you mean",
        ),
        ("when = { x = 1 }", 6, "no fact is called 'x'"),
        ("when = { family = { eqq = 'a' } }", 6, "no operator is called 'eqq': did you mean 'eq'?"),
        ("when = { family = { lt = 'a' } }", 6, "'lt' does not go with family, a names: use one of ['eq', 'ne',"),
        ("when = { family = { eq = ['a'] } }", 6, "'eq' takes a single value: use 'in' for a list"),
        ("when = { family = [] }", 6, "'in' of an empty list never holds: give at least one value"),
        ("when = { family = 3 }", 6, "3 does not fit: a names is compared here"),
        ("when = { family = { exists = 1 } }", 6, "1 does not fit: a flag is compared here"),
        ("when = { family = { glob = [1] } }", 6, "1 does not fit: a text is compared here"),
        ("when = { model.training = 1 }", 6, "1 does not fit: a flag is compared here"),
        ("when = { request.layer = true }", 6, "True does not fit: a number is compared here"),
        ("when = { model.cfg.n = { lt = 'a' } }", 6, "'a' does not fit: a number is compared here"),
        ("when = { torch.version = 'new' }", 6, "'new' is no version: write it as '2.9'"),
        ("when = { torch.version.lt = '2.9+cpu' }", 6, "names a build, and builds are not compared: write '2.9'"),
        ("when = { model.cfg.n = 2026-01-01 }", 6, "is no string, number or flag that can be compared"),
        ("when = { model.cfg.n = [[1]] }", 6, "[1] is no string, number or flag that can be compared"),
        (f"when = {{ model.cfg.n = '{'x' * 501}' }}", 6, "x… is no string, number or flag"),
        ("when = {}", 6, "rules[0].when: is empty, and would always hold"),
        ("when = { family = {} }", 6, "is an empty table: give a value, or a table of operators"),
        ("when = { not = 3 }", 6, "rules[0].when.not: takes a table of conditions"),
        ("when = { any = [] }", 6, "takes a list of tables with conditions, and at least one"),
        ("when = { all = { family = 'a' } }", 6, "takes a list of tables with conditions, and at least one"),
        ("when = " + "{ not = " * 10 + "{ family = 'a' }" + " }" * 10, 6, "is nested more than 8 deep: split the rule"),
        (
            "when = { request.purpose = 'model' }",
            6,
            "request.purpose is known at 'device', and the rule is asked at 'add'",
        ),
        ("where = 'device'\ndirection = 'fwd'", 7, "request.direction is known at 'add', and the rule is asked at"),
        ("where = ['add', 'device']\npoints = ['a']", 7, "no point is known at 'device': leave points out"),
        ("where = []", 6, "rules[0].where: is empty: name some of ['add', 'cache', 'device', 'reset', 'run']"),
        ("points = [\n  'a',\n  'a..b']", 8, "rules[0].points[1]: 'a..b' has an empty part: no name has one"),
        ("points = []", 6, "list should have at least 1 item"),
        ("when = { request.effect = 'reed' }", 6, "request.effect is never 'reed': did you mean 'read'"),
        (
            "when = { request.direction.in = ['fwd', 'up'] }",
            6,
            "request.direction is never 'up': use one of ['bwd', 'fwd']",
        ),
        ("routes = ['add_hooks']", 6, "no route is called 'add_hooks': did you mean 'add_hook'"),
        ("[[rules]]\nid = 'r'\nreason='r'\nremedy='m'", 7, "rules[1].id: 'r' is the id of another one in this file"),
        (
            "when = { env.HOME = { ne = 'x' } }",
            6,
            "rules[0].when: looks at env.HOME: list 'HOME' in facts.env of this file",
        ),
        ("[[rules]]", 6, "rules[1]: has no 'id'"),
        ("[facts]\nenv = ['A-B']", 7, "facts.env[0]: is 'A-B'"),
        ("[rules.when]\nfamly = 'a'", 7, "rules[0].when.famly: no fact is called 'famly': did you mean 'family'?"),
    ],
)
def test_mistakes_in_rules(written, line, text):
    found = mistakes(BARE + written)
    assert any(mistake.startswith(f"p.toml:{line}: ") and text in mistake for mistake in found), found


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("", "p.toml:1: schema: has no 'schema': add it (the version of this format: 1)"),
        ("schema = 2", "p.toml:1: schema: is 2: use one of ['1']"),
        ("schema = 1\nrulez = []", "p.toml:2: rulez: there is no such key: did you mean 'rules'"),
        ("schema = 1\nrules = 3", "p.toml:2: rules: is 3: input should be a valid list"),
        ("schema = 1\nrules = [\n  3]", "p.toml:3: rules[0]: is 3: write a table"),
        ("schema = 1\nmodes = 3", "p.toml:2: modes: is 3: write a table"),
        ("schema = 1\nrequire = 3", "p.toml:2: require: is 3: write a table"),
        (
            "schema = 1\n[plugins.acme]\nvesion = '1'",
            "p.toml:3: plugins.acme.vesion: there is no such key: did you mean",
        ),
        ("schema = 1\n[tighten]\nr = 'of'", "p.toml:3: tighten.r: is 'of': did you mean 'off'?"),
        ("schema = 0x" + "f" * 5000, "p.toml: has an integer of more than 64 bits"),
        ("schema = " + "1" * 5000, "p.toml: is no TOML: Exceeds the limit"),
        ("schema = '" + "x" * 5000 + "'", "p.toml:1: schema: is 'xxx"),
        ("schema = ", "p.toml: is no TOML: Invalid value (at end of document)"),
        (b"\xff", "p.toml: is no TOML: 'utf-8' codec can't decode"),
        ("a = " + "[" * 40 + "]" * 40, "p.toml: is nested more than 32 deep"),
        ("a = " + "[" * 5000, "p.toml: is no TOML: maximum recursion depth exceeded"),
        (".".join("ab" * 200) + " = 1", "p.toml: is nested more than 32 deep"),
        ("['a'.\"b\" . " + ".".join("ab" * 200) + "]", "p.toml: is nested more than 32 deep"),
        ("#" * (LARGEST + 1), f"p.toml: is larger than {LARGEST} bytes: split it, or shorten it"),
    ],
)
def test_mistakes_in_files(written, text):
    (found,) = mistakes(written)
    assert found.startswith(text)
    assert len(found) < 300


def test_versions_that_cannot_be_read_are_mistakes_like_others():
    assert mistakes("schema = 1\nplugins.acme.version = 'new'\n[require]\nacme = '1.x'\nother = '>=1'\nx = ''") == [
        "p.toml:6: require.x: is '': string should have at least 1 character"
    ]
    assert mistakes("schema = 1\nplugins.acme.version = 'new'\n[require]\nacme = '1.x'\nother = '>=1'") == [
        "p.toml:2: plugins.acme.version: 'new' is no range of versions: write it as '>=1.0,<2'",
        "p.toml:4: require.acme: '1.x' is no range of versions: write it as '>=1.0,<2'",
    ]


EXCEPTION = "schema = 1\n[[exceptions]]\nid = 'e'\nrule = 'r'\nowner = 'o'\nreason = 'x'\n"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("points = ['a']", "p.toml:2: exceptions[0]: has no 'until': add it (the last day on which it holds)"),
        ("until = 2026-01-01", "p.toml:2: exceptions[0]: says not what it is about, and would lift the whole rule"),
        ("until = 'soon'\npoints = ['a']", "p.toml:7: exceptions[0].until: is 'soon': input should be a valid date"),
        ("until = 2026-01-01\nwhen = { env.A = 'x' }", "p.toml:8: exceptions[0].when: looks at env.A"),
        ("until = 2026-01-01\npoints = ['a.']", "p.toml:8: exceptions[0].points[0]: 'a.' has an empty part"),
    ],
)
def test_mistakes_in_exceptions(written, text):
    assert mistakes(EXCEPTION + written)[0].startswith(text)


def test_an_exception_from_a_rule_of_the_same_file_is_about_where_that_is_asked():
    device = BARE + "where = 'device'\n" + EXCEPTION.partition("\n")[2] + "until = 2026-01-01\npoints = ['a']"
    assert "no point is known at 'device'" in mistakes(device)[0]
    add = BARE + EXCEPTION.partition("\n")[2] + "until = 2026-01-01\nwhen = { request.purpose = 'model' }"
    assert "request.purpose is known at 'device', and the rule is asked at 'add'" in mistakes(add)[0]


def test_an_exception_from_another_layers_rule_may_name_points_and_any_fact(layer):
    written = EXCEPTION + "until = 2026-01-01\n"
    (exemption,) = layer(written + "points = ['a']\nwhen = { request.effect = 'edit' }").exemptions
    paths = ["request.point", "request.points", "request.never_fired", "request.effect"]
    assert list(exemption.condition.paths()) == paths
    (exemption,) = layer(written + "when = { request.purpose = 'model' }").exemptions
    assert list(exemption.condition.paths()) == ["request.purpose"]


def test_a_long_file_of_mistakes_tells_the_first_hundred_in_order():
    found = mistakes("schema = 1\n" + "".join(f"k{number} = 1\n" for number in range(300)))
    assert len(found) == 100
    assert found[0].startswith("p.toml:2: k0: ")


def test_a_key_of_any_length_is_refused_at_once():
    start = time.process_time()
    for key in (b"a." * 500_000 + b"a = 1", b"'a'. " * 200_000 + b"a = 1", b"[" + b"a." * 500_000 + b"a]"):
        with pytest.raises(PolicyError, match="nested more than 32 deep"):
            read_layer(key, LayerKind.USER, "p.toml")
    for other in (b"a" * LARGEST, b'"' * LARGEST, b"a = '" + b"x " * 500_000 + b"'", b"'a' \t" * 200_000):
        with pytest.raises(PolicyError):
            read_layer(other, LayerKind.USER, "p.toml")
    assert time.process_time() - start < 5


def test_the_policy_in_a_table_of_a_shared_file():
    data = b"[project]\nname = 'x'\n[tool.hookframe]\nschema = 1\n[[tool.hookframe.rules]]\nid = 'r'\nreason='r'\nremedy='m'"
    layer = read_layer(data, LayerKind.PROJECT, "pyproject.toml", table="tool.hookframe")
    assert [(rule.id, rule.origin.line) for rule in layer.rules] == [("r", 5)]
    assert layer.origin(("schema",)).line == 4
    (found,) = mistakes(data + b"\nactin = 1", table="tool.hookframe")
    assert found.startswith("p.toml:9: tool.hookframe.rules[0].actin: there is no such key: did you mean 'action'")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("tool = 3", "p.toml:1: tool: is 3: write a table"),
        ("x = 1\n[tool]\nhookframe = 'x'", "p.toml:3: tool.hookframe: is 'x': write a table"),
        ("x = 1", "p.toml:1: tool.hookframe: has no 'schema'"),
    ],
)
def test_a_table_that_is_none(data, text):
    (found,) = mistakes(data, table="tool.hookframe")
    assert found.startswith(text)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(PolicyError, match=r"none.toml: cannot be read: No such file"):
        read_layer_file(tmp_path / "none.toml", LayerKind.USER)
    with pytest.raises(PolicyError, match="cannot be read: Is a directory"):
        read_layer_file(tmp_path, LayerKind.USER)


def test_the_digest_is_of_the_bytes(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("schema = 1")
    one = read_layer_file(path, LayerKind.USER)
    path.write_text("schema = 1 ")
    two = read_layer_file(path, LayerKind.USER)
    assert one.document == two.document
    assert one.digest != two.digest
    assert one.file == str(path)


def test_the_error_travels_between_processes():
    with pytest.raises(PolicyError) as caught:
        read_layer(b"", LayerKind.USER, "p.toml")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.mistakes, copy.code) == (str(caught.value), caught.value.mistakes, "policy")
