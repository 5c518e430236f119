"""The conformance run: by option, by function, for distributions and for objects; and its card."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import click
import pytest
from rich.console import Console

from hookframe import Objection, PluginError, hookimpl
from hookframe.testing import Card, CheckResult, Verdict, check_plugin
from hookframe.testing.conformance import items
from hookframe.testing.conformance.card import merged
from hookframe.testing.conformance.catalogue import CHECKS, NAMES
from hookframe.testing.fake_installations import ABSTAINS

PLUGINS = Path(__file__).parents[2] / "plugins"
FIRST_PARTY = sorted(
    file.parent.name for file in PLUGINS.glob("*/pyproject.toml") if "hookframe.plugins" in file.read_text()
)


def pytest_in(directory, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)


def test_the_first_party_plugins_conform_in_an_empty_directory(tmp_path):
    options = [option for name in FIRST_PARTY for option in ("--hookframe-conformance", name)]
    done = pytest_in(tmp_path, *options, "--hookframe-card", "card.json")
    assert done.returncode == 0, done.stdout
    cards = json.loads((tmp_path / "card.json").read_text())["cards"]
    assert [(card["plugin"], card["passed"]) for card in cards] == [(name, True) for name in FIRST_PARTY]
    for card in cards:
        assert [result["name"] for result in card["results"]] == list(NAMES)
        assert f"conformance of {card['plugin']}" in done.stdout
    assert "pass     requires-hookframe           hookframe>=0.1" in done.stdout
    assert "\x1b" not in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["card.json"]


def test_a_failed_check_fails_the_run_and_says_why(tmp_path, fake_install):
    fake_install.wrong_api("acme-rules")
    (tmp_path / "empty").mkdir()
    script = f"import sys, pytest\nsys.path.insert(0, {str(fake_install.root)!r})\nsys.exit(pytest.main(sys.argv[1:]))"
    arguments = ["-q", "-p", "no:cacheprovider", "--hookframe-conformance", "acme-rules", "-k", "api-range or metadata"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path / "empty",
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED conformance::acme-rules::api-range-stated" in done.stdout
    assert "found: it supports plugin API <3,>=2, and this hookframe has 1.0" in done.stdout.replace(">=2,<3", "<3,>=2")
    assert "1 failed, 1 passed" in done.stdout


def test_an_unknown_distribution_is_an_error_of_usage(tmp_path):
    done = pytest_in(tmp_path, "--hookframe-conformance", "acme-nowhere")
    assert done.returncode == 4
    assert "no distribution 'acme-nowhere' with hookframe plugins is installed" in done.stderr + done.stdout
    with pytest.raises(PluginError, match="those with plugins are .*hookframe-mps"):
        check_plugin("acme-nowhere")


def test_the_checks_can_be_listed_without_running_any(tmp_path):
    done = pytest_in(tmp_path, "--hookframe-conformance", "hookframe-log", "--collect-only", "-q")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if "::" in line] == [
        f"conformance::hookframe-log::{name}" for name in NAMES
    ]


class Rules:
    """An object, as an author's own tests have it."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests, model):
        return [
            Objection.deny(r, rule="no-permanent", message="permanent hooks are off", remedy="use a context")
            for r in requests
            if r.permanent
        ]


@pytest.mark.parametrize("plugin", [Rules(), Rules], ids=["object", "class"])
def test_objects_are_checked_in_this_process(plugin):
    card = check_plugin(plugin)
    assert card.passed
    assert (card.plugin, card.version) == ("Rules", None)
    assert card.result("generated-requests").verdict is Verdict.PASS
    assert card.result("model-unchanged").verdict is Verdict.PASS
    assert card.result("metadata-complete").verdict is Verdict.NOT_APPLICABLE
    assert card.microseconds["check_hooks_to_add"] > 0


def test_an_object_that_raises_is_a_result_and_no_error():
    class Broken(Rules):
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            raise SystemExit(3)

    card = check_plugin(Broken())
    assert [(r.name, "raised SystemExit: 3" in r.reason) for r in card.failures] == [("ordinary-requests", True)]
    assert card.result("generated-requests").reason == "ordinary-requests failed"


def test_a_class_that_cannot_be_made_is_not_registered():
    class Demanding(Rules):
        def __init__(self, path):
            self.path = path

    assert [result.name for result in check_plugin(Demanding).failures] == ["registers"]


def test_several_plugins_of_one_distribution_share_a_card(fake_install):
    sound = "from hookframe import hookimpl\n@hookimpl\ndef hookframe_check_reset(request): return None\n"
    fake_install.normal(
        "acme-two",
        sound,
        files={"other.py": sound.replace("return None", "return 7")},
        entry_points={"good": "fake_acme_two.plugin", "odd": "fake_acme_two.other"},
    )
    card = check_plugin("Acme_Two")
    assert [(r.name, r.reason) for r in card.failures] == [
        ("answers-are-objections", "odd: check_reset returned a int, not objections")
    ]


def test_a_card_without_the_word_pass_for_a_failure():
    results = tuple(CheckResult(name=check.name, verdict=Verdict.PASS, reason="fine") for check in CHECKS[:2])
    failed = CheckResult(name="threads", verdict=Verdict.FAIL, reason="[red]odd[/]", warnings=("slow",))
    card = Card(plugin="p", version="1", hookframe="0", api="1.0", python="3", results=(*results, failed))
    output = StringIO()
    Console(file=output, width=120, no_color=True).print(card.table())
    assert "FAIL     threads" in output.getvalue()
    assert "[red]odd[/]; WARNING: slow" in output.getvalue()
    assert (
        card.summary.removesuffix(", 0 not applicable")
        == "p 1 does not conform to plugin API 1.0 (hookframe 0): 2 passed, 1 failed"
    )
    assert json.loads(json.dumps(card.to_json()))["passed"] is False
    with pytest.raises(KeyError, match="there is no check 'thread'"):
        card.result("thread")


def test_the_worst_of_several_results_counts():
    good, bad = (CheckResult(name="c", verdict=v, reason=v, warnings=(f"w-{v}",)) for v in (Verdict.PASS, Verdict.FAIL))
    assert merged({"a": good, "b": bad}) == CheckResult(
        name="c", verdict=Verdict.FAIL, reason="b: fail", warnings=("a: w-pass", "b: w-fail")
    )
    assert merged({"a": good}) == good


def test_names_of_checks_are_kebab_case_and_their_conditions_come_first():
    assert len(set(NAMES)) == len(NAMES)
    for place, check in enumerate(CHECKS):
        assert check.name == check.name.lower().replace("_", "-")
        assert set(check.after) <= set(NAMES[:place]) | {"same-answer-twice"}


class Provider:
    @hookimpl
    def hookframe_model_families(self):
        return [{"name": "tiny"}]

    @hookimpl
    def hookframe_add_commands(self, registry):
        registry.add_command(click.Command("tiny"))

    @hookimpl
    def hookframe_wrap_hook(self, request, hook):
        return None if request.caches else lambda tensor, hook, inner=hook: inner(tensor, hook=hook)


def test_providers_are_called():
    assert (
        check_plugin(Provider()).result("providers-answer").reason == "add_commands, model_families, wrap_hook answered"
    )


@pytest.mark.parametrize(
    ("spec", "answer", "text"),
    [
        ("hookframe_model_families", lambda self: "tiny", "model_families returned a str, not families"),
        ("hookframe_model_families", lambda self: 1 / 0, "model_families raised ZeroDivisionError: division by zero"),
        (
            "hookframe_add_commands",
            lambda self, registry: registry.commands.update(x="y"),
            "add_commands added 'x', which is no click command",
        ),
    ],
)
def test_providers_that_give_something_else_fail(spec, answer, text):
    plugin = type("Junk", (Provider,), {spec: hookimpl(answer)})()
    assert [(r.name, r.reason) for r in check_plugin(plugin).failures] == [("providers-answer", text)]


class Everything(Rules):
    @hookimpl
    def hookframe_check_cache(self, request):
        return []

    @hookimpl
    def hookframe_check_device(self, request):
        return Objection.warn(request, rule="slow-device", message="it is slow", remedy="use another", device="cpu")

    @hookimpl
    def hookframe_check_reset(self, request):
        return iter(())


def test_all_kinds_of_requests_are_generated():
    card = check_plugin(Everything())
    assert card.passed
    assert (
        "each of check_cache, check_device, check_hooks_to_add, check_reset" in card.result("generated-requests").reason
    )


def test_items_pass_fail_and_are_skipped(request, fake_install):
    fake_install.wrong_api("acme-rules", source=ABSTAINS)
    found = items.items_for(request.session, ["acme-rules", "acme-rules"])
    by_name = {item.name: item for item in found}
    assert list(by_name) == list(NAMES)
    by_name["metadata-complete"].runtest()
    with pytest.raises(pytest.skip.Exception, match="it has no implementation of that kind"):
        by_name["providers-answer"].runtest()
    with pytest.raises(Exception, match="supports plugin API") as failure:
        by_name["api-range-stated"].runtest()
    text = by_name["api-range-stated"].repr_failure(failure)
    assert text.startswith("acme-rules: api-range-stated\n  asked: the keyword hookframe-plugin-api states a range")
    assert by_name["api-range-stated"].reportinfo()[2] == "conformance::acme-rules::api-range-stated"
    with pytest.raises(pytest.UsageError, match="no distribution 'acme-nowhere'"):
        items.items_for(request.session, ["acme-nowhere"])
