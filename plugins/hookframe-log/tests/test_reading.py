"""Every kind of event as a line: what it says, and what it leaves out."""

import json

import pytest
from hookframe_log.json_lines import fields_of, json_line
from hookframe_log.reading import entry_of
from hookframe_log.selector import Selector
from hookframe_log.text import text_line

from hookframe import (
    Action,
    CacheRequest,
    Decision,
    DeviceRequest,
    FunctionInfo,
    HookRequest,
    Objection,
    ResetRequest,
    hookspecs,
)
from hookframe.admission import events

FUNCTION = FunctionInfo(module="study", qualname="ablate", file="study.py", line=3)
Z0, Z1 = "blocks.0.hook_z", "blocks.1.hook_z"


def hook(point=Z0, index=0, **options):
    return HookRequest(index=index, point=point, function=FUNCTION, route="add_hook", **options)


def objecting(request, action=Action.DENY, device=None):
    return Objection(
        request=request, rule="no-edit", message="secret", remedy="secret", action=action, source="acme", device=device
    )


def run(counts, **facts):
    about = {"model": "GPT", "operation": 7, "route": "run_with_cache"} | facts
    return events.RunFinished(counts=counts, **about)


def removed(*points):
    return events.HooksRemoved(model="GPT", route="handle", points=points)


DEVICE = DeviceRequest(device="mps", purpose="model", route="to")
CACHE = CacheRequest(points=(Z0, Z1), device="cpu", route="run_with_cache")
SWEPT = hook(exact=False)
ABOUT = {"model": "GPT", "operation": 7, "route": "hooks"}

CASES = [
    (Decision([hook()]), "add_hook: admitted 1 hook"),
    (
        Decision([hook(), hook(Z1, 1)], (objecting(hook()),)),
        "add_hook: refused 2 hooks; deny by acme (no-edit) at blocks.0.hook_z",
    ),
    (
        Decision([SWEPT, hook(Z1, 1)], (objecting(SWEPT, Action.SKIP),)),
        "add_hook: admitted 2 hooks, 1 left out (blocks.0.hook_z); skip by acme (no-edit) at blocks.0.hook_z",
    ),
    (
        Decision((DEVICE,), (objecting(DEVICE, Action.WARN, "cpu"),)),
        "to: admitted using device 'mps' for the model, on device 'cpu' instead; warn by acme (no-edit)",
    ),
    (Decision((CACHE,)), "run_with_cache: admitted caching 2 points on device 'cpu'"),
    (
        Decision((ResetRequest(points=(Z0,), permanent=1, route="reset_hooks"),)),
        "reset_hooks: admitted removing 1 permanent and 0 context hooks",
    ),
    (Decision(()), "hooks: admitted 0 hooks"),
    (
        events.HooksAdded(**ABOUT, requests=(hook(), hook(Z1, 1)), skipped=("blocks.2.hook_z",)),
        "hooks on GPT: 2 hooks added at blocks.0.hook_z, blocks.1.hook_z: study.ablate, 1 left out (blocks.2.hook_z)",
    ),
    (
        events.HooksAdded(**ABOUT, requests=(hook(caches=True, permanent=True), hook(None, 1, caches=True))),
        "hooks on GPT: 2 hooks added (2 caching, 1 permanent) at blocks.0.hook_z, ?",
    ),
    (removed(Z0, Z0, Z1), "handle on GPT: 3 hooks removed at blocks.0.hook_z, blocks.1.hook_z"),
    (
        events.HooksReset(model="GPT", route="reset_hooks", removed=1, including_permanent=False, direction="bwd"),
        "reset_hooks on GPT: 1 hook removed (bwd, permanent ones kept)",
    ),
    (
        events.HooksReset(model="GPT", route="reset_hooks", removed=2, including_permanent=True, direction="both"),
        "reset_hooks on GPT: 2 hooks removed (both, permanent ones too)",
    ),
    (events.ContextEntered(**ABOUT, level=1, hooks=2), "hooks on GPT: context entered with 2 hooks, level 1"),
    (events.ContextExited(**ABOUT, level=1, removed=2), "hooks on GPT: context left, 2 hooks removed, level 1"),
    (
        events.ContextExited(**ABOUT, level=2, removed=0, error="ValueError"),
        "hooks on GPT: context left, 0 hooks removed, level 2, ended by ValueError",
    ),
    (
        events.CacheStarted(**ABOUT, points=(Z0, Z1), gradients=True, device="cuda:0"),
        "hooks on GPT: caching 2 points and their gradients on cuda:0",
    ),
    (
        events.CacheStarted(**ABOUT, points=(Z0,), gradients=False, device=None),
        "hooks on GPT: caching 1 point",
    ),
    (
        events.CacheFinished(
            model="GPT", operation=7, stored=(Z0, Z0 + "_grad"), skipped={Z1: "secret"}, bytes_cached=1500, stale=(Z0,)
        ),
        "GPT: 2 values cached, 1.5 kB, 1 changed in place since (blocks.0.hook_z), 1 left out (blocks.1.hook_z)",
    ),
    (
        run({(Z0, "fwd"): 1, (Z0, "bwd"): 2, (Z1, "fwd"): 0}, bytes_cached=1_200_000),
        "run_with_cache on GPT: 1 point fired, 1 never (blocks.1.hook_z), 1.2 MB cached",
    ),
    (run({}, error="ValueError"), "run_with_cache on GPT: 0 points fired, ended by ValueError"),
    (
        events.HookFailed(
            model="GPT", point=Z0, direction="bwd", function=FUNCTION, error="ValueError", message="secret"
        ),
        "GPT: bwd hook study.ablate at blocks.0.hook_z raised ValueError",
    ),
]
EVENTS = [event for event, _ in CASES]


@pytest.mark.parametrize(("event", "line"), CASES)
def test_each_event_is_one_short_line(event, line):
    assert text_line(entry_of(event, Selector())) == line


def test_every_observer_is_covered():
    assert {entry_of(event, Selector()).event for event in EVENTS} == set(hookspecs.OBSERVERS)


@pytest.mark.parametrize("event", EVENTS)
def test_texts_that_others_wrote_are_left_out(event):
    entry = entry_of(event, Selector())
    assert "secret" not in text_line(entry) + json.dumps(fields_of(entry))


# ---- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS)
def test_json_is_one_line_with_sorted_keys_and_a_time_in_utc(event):
    line = json_line(fields_of(entry_of(event, Selector())), "INFO", 1_700_000_000.25)
    parsed = json.loads(line)
    assert "\n" not in line
    assert list(parsed) == sorted(parsed)
    assert (parsed["time"], parsed["severity"]) == ("2023-11-14T22:13:20.250000+00:00", "INFO")


def test_events_of_one_kind_have_the_same_keys():
    keys = {}
    for event in EVENTS:
        entry = entry_of(event, Selector())
        keys.setdefault(entry.event, set()).add(frozenset(fields_of(entry)))
    assert {event: len(found) for event, found in keys.items()} == dict.fromkeys(hookspecs.OBSERVERS, 1)


def test_every_event_says_the_common_keys():
    common = {"event", "model", "operation", "route", "points", "points_total"}
    assert all(common <= fields_of(entry_of(event, Selector())).keys() for event in EVENTS)


def test_a_key_has_one_type_in_all_events():
    types = {}
    for event in EVENTS:
        for key, value in fields_of(entry_of(event, Selector())).items():
            if value is not None:
                types.setdefault(key, set()).add(type(value))
    assert {key: found for key, found in types.items() if len(found) > 1} == {}


def test_a_decision_tells_rule_source_action_and_point():
    fields = fields_of(entry_of(Decision([hook()], (objecting(hook()),)), Selector()))
    assert fields["allowed"] is False
    assert fields["objections"] == [{"action": "deny", "rule": "no-edit", "source": "acme", "point": Z0}]


def test_counts_are_told_for_each_point_and_direction():
    fields = fields_of(entry_of(run({(Z0, "fwd"): 3, (Z0, "bwd"): 0}), Selector()))
    assert fields["counts"] == [
        {"point": Z0, "direction": "fwd", "fired": 3},
        {"point": Z0, "direction": "bwd", "fired": 0},
    ]


# ---- bounds ---------------------------------------------------------------------------------------------------------


def many(number):
    return [f"blocks.{i}.hook_z" for i in range(number)]


def test_text_shows_three_names_and_says_how_many_more():
    line = text_line(entry_of(removed(*many(199)), Selector()))
    assert line == "handle on GPT: 199 hooks removed at blocks.0.hook_z, blocks.1.hook_z, blocks.2.hook_z and 196 more"


def test_text_of_three_names_says_nothing_of_more():
    assert "more" not in text_line(entry_of(removed(*many(3)), Selector()))


def test_json_shows_twenty_of_each_list_and_the_total():
    counts = {(point, "fwd"): 0 for point in many(500)}
    fields = fields_of(entry_of(run(counts), Selector()))
    for key in ("points", "counts", "never_fired"):
        assert (len(fields[key]), fields[f"{key}_total"]) == (20, 500)


def test_objections_are_bounded_as_well():
    requests = [hook(point, index) for index, point in enumerate(many(100))]
    entry = entry_of(Decision(requests, tuple(map(objecting, requests))), Selector())
    assert text_line(entry).endswith("at blocks.2.hook_z and 97 more")
    assert fields_of(entry)["objections_total"] == 100


@pytest.mark.parametrize("bad", ["a\nb", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\x85b"])
def test_names_cannot_break_the_line_or_drive_the_terminal(bad):
    entry = entry_of(removed(bad), Selector())
    text = text_line(entry)
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert len(json_line(fields_of(entry), "INFO", 0.0).splitlines()) == 1


# ---- selection ------------------------------------------------------------------------------------------------------

FIRST = Selector(("blocks.0.*",))


@pytest.mark.parametrize(
    "event",
    [
        removed(Z1),
        Decision([hook(Z1)]),
        Decision((DEVICE,)),
        events.HooksAdded(**ABOUT, requests=(hook(Z1),)),
        run({(Z1, "fwd"): 1}),
        events.ContextEntered(**ABOUT, level=1, hooks=2),
        events.HooksReset(model="GPT", route="reset_hooks", removed=1, including_permanent=False, direction="fwd"),
    ],
)
def test_events_about_no_selected_point_are_left_out(event):
    assert entry_of(event, FIRST) is None


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (removed(Z0, Z1), "handle on GPT: 1 hook removed at blocks.0.hook_z"),
        (Decision([hook(), hook(Z1, 1)]), "add_hook: admitted 1 hook"),
        (
            events.HooksAdded(**ABOUT, requests=(hook(Z1), hook(index=1))),
            "hooks on GPT: 1 hook added at blocks.0.hook_z: study.ablate",
        ),
        (run({(Z0, "fwd"): 1, (Z1, "fwd"): 5}), "run_with_cache on GPT: 1 point fired"),
        (run({(Z0, "fwd"): 1, (Z1, "fwd"): 0}), "run_with_cache on GPT: 1 point fired"),
        (
            events.HooksAdded(**ABOUT, requests=(hook(Z1),), skipped=(Z0,)),
            "hooks on GPT: 0 hooks added, 1 left out (blocks.0.hook_z)",
        ),
        (
            events.CacheFinished(model="GPT", operation=7, stored=(Z0 + "_grad", Z1), skipped={}, bytes_cached=8),
            "GPT: 1 value cached, 8 bytes",
        ),
    ],
)
def test_a_line_counts_the_selected_points(event, line):
    assert text_line(entry_of(event, FIRST)) == line
