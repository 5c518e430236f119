"""What the README shows is what happens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hookframe_log.json_lines import fields_of
from hookframe_log.options import VARIABLES, LogOptions
from hookframe_log.reading import entry_of
from hookframe_log.selector import Selector

from hookframe import hookspecs
from hookframe.admission import events

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
STAMP = re.compile(r"^\S+Z ", re.MULTILINE)


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)[1]


def row(first):
    return re.search(rf"^\| `{first}` \|(.*)\|$", README, re.MULTILINE)[1]


def test_the_example_prints_what_it_says():
    path = [place for place in sys.path if place]
    code = f"import sys; sys.path[:0] = {path!r}\n{block('python')}"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )  # this interpreter, our code
    assert STAMP.sub("", run.stderr) == STAMP.sub("", block("text"))


@pytest.mark.parametrize("option", LogOptions.__slots__)
def test_every_option_is_documented_with_its_variable(option):
    assert VARIABLES.get(option, "") in row(option)


ABOUT = {"model": "GPT", "operation": 1, "route": "hooks"}


@pytest.mark.parametrize(
    "event",
    [
        events.HooksAdded(**ABOUT, requests=()),
        events.HooksReset(model="GPT", route="reset_hooks", removed=0, including_permanent=False, direction="fwd"),
        events.CacheFinished(model="GPT", operation=1, stored=(), skipped={}, bytes_cached=0),
        events.RunFinished(**ABOUT, counts={}),
        events.ContextExited(**ABOUT, level=1, removed=0),
    ],
)
def test_the_keys_of_an_event_are_documented(event):
    entry = entry_of(event, Selector())
    documented = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row(entry.event)))
    common = {"event", "model", "operation", "route", "points"}
    assert set(documented) == {key for key in fields_of(entry) if not key.endswith("_total")} - common


def test_every_event_is_documented():
    assert all(f"| `{event}` |" in README for event in hookspecs.OBSERVERS)
