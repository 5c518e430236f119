"""``hookframe policy``, ``explain`` and ``can``: what each verb shows, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from click.testing import CliRunner
from torch import nn

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, PolicyError
from hookframe.cli.main import cli
from hookframe.cli.policy.given import read_policy
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.governing import plugins_under
from hookframe.testing import fake_site

EXAMPLE = Path(__file__).parents[2] / "plugins" / "hookframe-policy-example" / "hookframe_policy_example"
POLICY = """schema = 1
name = "a small one"
locked = ["settings.scope"]

[settings]
scope = "context"

[[rules]]
id = "no-edits"
points = ["hook_a"]
effect = "edit"
delegates = ["project"]
reason = "hook_a may be read alone"
remedy = "use @read_only"

[[rules]]
id = "no-gradients"
direction = "bwd"
mode = "audit"
action = "deny"
reason = "gradients are recorded"
remedy = "none is needed"

[plugins.hookframe-log.options]
level = "info"
"""
POLICY_HEAD = 'schema = 1\n[[rules]]\nid = "r"\nreason = "it is so"\nremedy = "do otherwise"\n'
PROJECT = """schema = 1
[settings]
scope = "all"
[[exceptions]]
id = "study"
rule = "no-edits"
points = ["hook_a"]
owner = "jane"
reason = "the study of spring"
ticket = "ML-1"
until = 2026-06-30
"""


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a, self.hook_b, self.hook_c = HookPoint(), HookPoint(), HookPoint()
        self.setup()

    def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
        if hook_point_name == "hook_c":
            raise AssertionError("hook_c is gated")

    def forward(self, x):
        return self.hook_b(self.hook_a(x))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory, without the layers of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    monkeypatch.delenv("HOOKFRAME_POLICY", raising=False)
    monkeypatch.setattr("hookframe.policy.files.layers.machine_directory", lambda: tmp_path / "etc")
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "project.toml").write_text(PROJECT)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


def shown(*arguments, code=0):
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return result.output


def facts(here, text):
    file = here / "facts.toml"
    file.write_text(text)
    return file


# ---- check ---------------------------------------------------------------------------------------------------------


def test_a_sound_policy_is_counted():
    assert shown("policy", "check", "policy.toml") == (
        "needs hookframe-families: rule organisation:no-edits speaks of the canonical name 'hook_a' "
        "(organisation policy, policy.toml:8)\norganisation policy.toml: 2 rules, 0 exceptions, 0 findings\n"
    )


def test_mistakes_end_with_an_error_that_has_them_all(here):
    (here / "bad.toml").write_text("schema = 1\nrulez = 1\n[modes]\ndefault = 'enforced'\n")
    result = run("policy", "check", "bad.toml", "missing.toml")
    assert isinstance(result.exception, PolicyError)
    assert [str(mistake) for mistake in result.exception.mistakes] == [
        "bad.toml:2: rulez: there is no such key: did you mean 'rules'?",
        "bad.toml:4: modes.default: is 'enforced': did you mean 'enforce'?",
        "missing.toml: cannot be read: No such file or directory",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "hookframe", "policy", "check", "bad.toml"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("hookframe: bad.toml:2: rulez")
    assert "Traceback" not in done.stderr


def test_findings_end_with_1_and_are_data_as_well():
    arguments = ("policy", "check", "policy.toml", "project=project.toml", "--today", "2026-07-01")
    output = shown(*arguments, code=1)
    assert "project.toml:3: settings.scope: the organisation layer (policy.toml) has locked it" in output
    assert "project.toml:4: study: does not hold for organisation:no-edits: it ended on 2026-06-30" in output
    found = json.loads(shown(*arguments, "--json", code=1))
    assert [(note["file"], note["line"], note["where"]) for note in found] == [
        ("project.toml", 3, "settings.scope"),
        ("project.toml", 4, "study"),
    ]


def test_globs_are_compared_with_the_points_of_a_model_or_a_file(here, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (here / "policy.toml").write_text(POLICY.replace('"hook_a"', '"hook_z"'))
    (here / "my_model.py").write_text("from hookframe import HookedRootModule, HookPoint\nclass M(HookedRootModule):\n"
                                      "    def __init__(self):\n        super().__init__()\n        self.hook_a = HookPoint()\n        self.setup()\n")  # fmt: skip
    against = facts(here, 'request.points = ["hook_a", "hook_b"]')
    assert "'hook_z' matches none of the 2 points" in shown(
        "policy", "check", "policy.toml", "--against", against, code=1
    )
    assert "'hook_z' matches none of the 1 points" in shown(
        "policy", "check", "policy.toml", "--against", "my_model:M", code=1
    )


def test_without_a_policy_check_says_so():
    assert shown("policy", "check") == "no policy is in force: 0 rules, 0 exceptions, 0 findings\n"
    assert shown("policy", "show") == "No policy is in force: no layer has a file.\n"


def test_checking_imports_no_torch_and_no_plugin(here):
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom hookframe.cli.main import cli\n"
        "done = CliRunner().invoke(cli, ['policy', 'check', 'policy.toml'])\n"
        "print(done.exit_code, [name for name in ('torch', 'hookframe_mps', 'hookframe_log') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "0 []\n"


# ---- show, diff, schema --------------------------------------------------------------------------------------------


def test_show_says_where_each_value_comes_from_and_what_it_beat():
    output = shown("policy", "show", "--provenance", "policy.toml", "project=project.toml")
    assert (
        "organisation:no-edits: deny at add\n    when request.point glob ['hook_a'] and request.effect eq 'edit'"
        in output
    )
    assert "    project may except from it, for 90 days at most\n    from organisation policy, policy.toml:8" in output
    assert "organisation:no-gradients: deny at add (audit)" in output
    assert "exception project:study from no-edits: until 2026-06-30, jane (ML-1)" in output
    assert 'settings.scope = "context"\n    from organisation policy, policy.toml:6: it is locked' in output
    assert '    instead of "all" from project policy, project.toml:3' in output
    assert 'plugins.hookframe-log.options.level = "info"' in output


def test_show_is_data_as_well():
    data = json.loads(shown("policy", "show", "--json", "policy.toml", "project=project.toml"))
    assert [rule["rule"] for rule in data["rules"]] == ["organisation:no-edits", "organisation:no-gradients"]
    assert data["rules"][1]["at"] == {"add": "audit"}
    assert data["exceptions"][0]["ticket"] == "ML-1"
    assert data["values"]["settings.scope"]["beat"] == [{"value": "all", "from": "project policy, project.toml:3"}]
    assert data["digest"].startswith("sha256:")


def test_show_says_what_plugins_and_versions_are_asked_for(here):
    (here / "policy.toml").write_text(
        'schema = 1\n[loading]\nallow = ["a", "b"]\ndeny = ["c"]\nrequire = ["a"]\nstrict = true\n'
        '[plugins.a]\nversion = ">=1"\norigin = "index"\n[require]\ntorch = ">=2.9"\n'
    )
    output = shown("policy", "show", "policy.toml")
    assert "plugins that may load: a, b\nplugins that may not load: c\nplugins that have to be at work: a\n" in output
    assert "plugins load only from verified bytes (strict)\nplugin a is pinned to >=1 index\n" in output
    assert "requires torch>=2.9 (organisation policy, policy.toml:11)" in output


def test_the_layers_in_force_are_shown(here, monkeypatch):
    (here / "hookframe.toml").write_text(PROJECT)
    monkeypatch.setenv("HOOKFRAME_POLICY", str(here / "policy.toml"))
    output = shown("policy", "show")
    assert f"project       {here / 'hookframe.toml'}\nsession       {here / 'policy.toml'}  (a small one)\n" in output
    (here / "hookframe.toml").write_text("nonsense")
    assert "is no TOML" in str(run("policy", "show").exception)


def test_diff_shows_what_another_policy_changes(here):
    assert shown("policy", "diff", "policy.toml", "policy.toml") == "no difference\n"
    changed = POLICY.replace("use @read_only", "ask").replace('"info"', '"debug"').replace("no-gradients", "no-grads")
    (here / "other.toml").write_text(
        changed + '[loading]\ndeny = ["x"]\n[require]\ntorch = ">=2"\n[facts]\nenv = ["CI"]\n'
    )
    output = shown("policy", "diff", "policy.toml", "other.toml,project=project.toml", code=1)
    assert "rule organisation:no-edits, remedy\n  - use @read_only\n  + ask\n" in output
    assert (
        "rule organisation:no-gradients\n  - at: add (audit); action: deny; when: request.direction eq 'bwd'\n"
        in output
    )
    assert "rule organisation:no-grads\n  + at: add (audit)" in output
    assert "exception project:study\n  + rule: no-edits; when: " in output
    assert "value plugins.hookframe-log.options.level\n  - 'info'\n  + 'debug'\n" in output
    assert "loading deny\n  - none\n  + x\n" in output
    assert "requirement torch\n  + >=2\n" in output
    assert "fact env\n  - none\n  + CI\n" in output
    data = json.loads(shown("policy", "diff", "policy.toml", "in-force", "--json", code=1))
    assert {key: data[0][key] for key in ("kind", "name", "part", "after")} == {
        "kind": "rule",
        "name": "organisation:no-edits",
        "part": "",
        "after": None,
    }


def test_the_schema_takes_what_hookframe_takes_and_refuses_what_it_refuses():
    import tomllib

    schema = json.loads(shown("policy", "schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for text in (POLICY, (EXAMPLE / "policy.toml").read_text()):
        jsonschema.validate(tomllib.loads(text), schema)
    for bad in ("schema = 2", "schema = 1\nrulez = 1", 'schema = 1\n[[rules]]\nid = "x"'):
        with pytest.raises(jsonschema.ValidationError, match="."):
            jsonschema.validate(tomllib.loads(bad), schema)
    assert "every name of the place" in json.dumps(schema["$defs"]["RuleTable"])


# ---- test ----------------------------------------------------------------------------------------------------------


def test_the_example_policy_passes_its_own_tests_and_they_miss_nothing():
    output = shown("policy", "test", EXAMPLE / "cases.toml", "--coverage", "--mutate")
    assert "36 of 36 cases pass" in output
    (mutation,) = [line for line in output.splitlines() if "mutation" in line]
    seen, of, count = mutation.split()[1:4]
    assert of == "of"
    assert seen == count
    assert shown("policy", "check", EXAMPLE / "policy.toml").endswith("11 rules, 0 exceptions, 0 findings\n")


def test_a_failing_case_is_shown_with_its_line(here):
    (here / "cases.toml").write_text(
        'schema = 1\npolicy = ["policy.toml"]\n[[cases]]\nname = "edits are open"\n'
        'facts = { request.point = "hook_a", request.effect = "edit" }\nexpect = "allow"\n'
    )
    output = shown("policy", "test", "cases.toml", "--coverage", "--mutate", code=1)
    assert "cases.toml:3: edits are open\n  expected allow, and the policy says deny\n" in output
    assert "  matched: organisation:no-edits (deny)\ncases.toml: 0 of 1 cases pass\n" in output
    assert "organisation:no-gradients: no case has request.direction eq 'bwd' true" in output
    data = json.loads(shown("policy", "test", "cases.toml", "--policy", "policy.toml", "--mutate", "--json", code=1))
    assert data[0]["failed"][0]["wrong"] == ["expected allow, and the policy says deny"]
    assert data[0]["mutants"] > 5


# ---- explain and can -----------------------------------------------------------------------------------------------


def test_explain_names_the_rule_its_line_and_the_remedy(here):
    file = facts(here, 'request.point = "hook_a"\nrequest.effect = "edit"\nrequest.direction = "bwd"')
    output = shown("explain", file, "--policy", "policy.toml", code=1)
    assert output.startswith("deny at add: 2 of 2 rules match\n  organisation:no-edits decides: deny\n")
    assert "    written in organisation policy, policy.toml:8\n" in output
    assert "    because hook_a may be read alone\n    remedy: use @read_only\n" in output
    assert "  organisation:no-gradients matches with audit, and a stronger rule decides\n" in output
    assert "    its action is deny, its mode audit\n" in output


def test_explain_says_why_a_rule_does_not_match_and_why_an_exception_does_not_hold(here):
    file = facts(here, 'request.point = "hook_a"\nrequest.effect = "edit"')
    both = ("--policy", "policy.toml", "--policy", "project=project.toml")
    output = shown("explain", file, *both, "--today", "2026-07-01", "--all", code=1)
    assert "    exception project:study does not hold: it ended on 2026-06-30\n" in output
    assert "  organisation:no-gradients does not match\n" in output
    assert "    request.direction eq 'bwd': request.direction is absent\n" in output
    output = shown("explain", file, *both, "--today", "2026-06-30")
    assert output.startswith("warn at add: 1 of 2 rules match")
    assert "exception project:study of jane lets it through until 2026-06-30" in output
    data = json.loads(shown("explain", file, *both, "--today", "2026-06-30", "--json"))
    assert (data[0]["verdict"], data[0]["rules"][0]["exception"]) == ("warn", "project:study")


def test_can_asks_the_policy_about_points_in_a_file(here):
    file = facts(here, 'request.points = ["hook_a", "hook_b"]')
    output = shown("can", file, "--policy", "policy.toml", code=1)
    assert "hook_a  deny     [1]\nhook_b  allow\n" in output
    assert "[1] hook_a may be read alone\n    by organisation:no-edits (organisation policy, policy.toml:8)\n" in output
    assert output.endswith("1 allow, 1 deny\n")
    assert shown("can", file, "--policy", "policy.toml", "--effect", "read").endswith("2 allow\n")
    assert "matches none of the 2 points" in run("can", file, "--points", "x").output


def test_can_asks_the_model_itself_as_well_and_attaches_nothing(here):
    target = f"{__name__}:Model"
    data = json.loads(shown("can", target, "--policy", "policy.toml", "--json", code=1))
    assert [(answer["point"], answer["verdict"]) for answer in data] == [
        ("hook_a", "deny"), ("hook_b", "allow"), ("hook_c", "deny")
    ]  # fmt: skip
    assert data[2]["reasons"] == [["Model.check_hooks_to_add", "AssertionError: hook_c is gated"]]
    function = shown("can", target, "--policy", "policy.toml", "--function", "json:dumps", "--points", "hook_b")
    assert "hook_b  allow" in function


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing", "names no object: write it as module:object"),
        ("no_such_module:x", "no_such_module cannot be imported"),
        ("json:nothing", "has no attribute 'nothing'"),
        ("json:dumps.__name__", "is a str without hook points"),
    ],
)
def test_a_target_that_is_no_model_is_refused(target, message):
    result = run("can", target)
    assert result.exit_code == 2
    assert message in result.output


# ---- run -----------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
import hookframe
from hookframe import HookedRootModule, HookPoint
class Model(HookedRootModule):
    def __init__(self):
        super().__init__(); self.hook_a = HookPoint(); self.hook_b = HookPoint(); self.hook_c = HookPoint(); self.setup()
    def forward(self, x): return self.hook_b(self.hook_a(x))
model = Model()
print(sys.argv[1:])
import torch, warnings
warnings.simplefilter("ignore")
model.run_with_cache(torch.ones(2))
model.run_with_hooks(torch.ones(2), fwd_hooks=[("hook_c", print)])
model.add_hook("hook_b", lambda tensor, hook: None, dir="bwd")
{more}
"""


def script(here, more=""):
    file = here / "study.py"
    file.write_text(SCRIPT.format(more=more))
    return file


def command(here, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "hookframe", "run", *map(str, arguments)], cwd=here, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_a_script_runs_under_the_policy_and_a_report_follows(here):
    code, out, err = command(here, "--policy", "policy.toml", "--report", "report.json", script(here), "--x", "1")
    assert (code, out) == (0, "['--x', '1']\n")
    assert "hookframe: 3 decisions: 2 allowed, 1 with objections; 2 runs, 16 bytes cached" in err
    assert "  audit (1x) gradients are recorded\n    by policy: session:no-gradients (session policy, " in err
    assert "  never fired (2x) hook_c\n" in err
    assert "  left attached (1x) hook_b" in err
    report = json.loads((here / "report.json").read_text())
    assert (report["exit_code"], report["left_attached"]) == (0, {"hook_b": 1})


def test_a_refusal_ends_the_script_without_a_traceback(here):
    more = "model.add_hook('hook_a', lambda tensor, hook: tensor)"
    code, _, err = command(here, "--policy", "policy.toml", script(here, more))
    assert code == 1
    assert "add_hook refused (1 of 1 requests)" in err
    assert "Traceback" not in err
    assert "deny (1x) hook_a may be read alone" in err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit('no data')", 1, "no data"),
        ("sys.exit()", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_the_exit_code_is_the_scripts(more, code, said, here):
    result, _, err = command(here, script(here, more))
    assert result == code
    assert said in err
    assert "left attached (1x) hook_b" in err


def test_the_model_of_these_tests_is_refused_where_it_should_be():
    with pytest.raises(AssertionError, match="gated"):
        Model().add_hook("hook_c", print)
    assert issubclass(HookDenied, PermissionError)


NAMED = """
from hookframe import hookimpl
from hookframe.families import Family, out


@hookimpl
def hookframe_model_families():
    return [Family(name="toy", model_types=("toy",), names={"blocks.{i}.hook_resid_post": out("layers.{i}")})]
"""


def instrumented():
    model = nn.Module()
    model.config = SimpleNamespace(model_type="toy")
    model.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])
    return hookframe.instrument(model)


def test_can_agrees_with_the_real_call_at_every_name_of_a_place(here, tmp_path):
    stream = POLICY_HEAD + 'points = ["blocks.1.hook_resid_post"]\n[families]\nrequire = ["acme-families"]\n'
    (here / "stream.toml").write_text(stream)
    with fake_site(tmp_path / "site") as site:
        site.normal("acme-families", NAMED)
        target = f"{__name__}:instrumented"
        data = json.loads(shown("can", target, "--policy", "stream.toml", "--json", code=1))
        can = {answer["point"]: answer["verdict"] for answer in data}
        manager = plugins_under(Found(layers=read_policy(["stream.toml"]).layers))
        with hookframe.use_plugins(manager), instrumented() as model:
            for point in model.hook_dict:
                try:
                    model.add_hook(point, lambda tensor, hook: None)
                except HookDenied:
                    assert can[point] == "deny", point
                else:
                    assert can[point] == "allow", point
    assert {point for point, verdict in can.items() if verdict == "deny"} == {
        "layers.1.hook_out",
        "blocks.1.hook_resid_post",
    }


def test_facts_in_a_file_follow_from_each_other_as_those_of_a_live_request_do(here):
    (here / "late.toml").write_text(POLICY_HEAD + "when = { request.layer.gt = 0, request.lasting = true }\n")
    file = facts(here, 'request.points = ["blocks.0.mlp", "blocks.1.mlp", "0.blocks.1.mlp", "norm"]')
    data = json.loads(shown("can", file, "--policy", "late.toml", "--json", code=1))
    assert [answer["verdict"] for answer in data] == ["allow", "deny", "allow", "allow"]
    one = facts(here, 'request.point = "blocks.1.mlp"\nrequest.route = "add_hook"')
    assert shown("explain", one, "--policy", "late.toml", code=1).startswith("deny at add: 1 of 1 rules match")
