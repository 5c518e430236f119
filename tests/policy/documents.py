"""Policies as the tables of their files, and facts of requests to put to them, made up by Hypothesis."""

from __future__ import annotations

import random
from datetime import date, timedelta

import tomli_w
from hypothesis import strategies as st

from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.vocabulary import FACTS, OPERATORS, LayerKind, fact
from tests.policy.oracle import ACTIONS, LAYERS, MODES, POINT

TODAY = date(2026, 5, 4)
PLACES = ["add", "cache", "device", "reset", "run"]
NAMES = ["hook_embed", "blocks.0.hook_q", "blocks.1.hook_q", "blocks.1.hook_result", "blocks.12.mlp.hook_pre", "a.b"]
GLOBS = ["**", "hook_*", "blocks.*.hook_?", "blocks.1.**", "**.hook_result", "blocks.*.*", "**.b", "nothing"]
WORDS = {
    "request.point": NAMES,
    "request.points": NAMES,
    "request.never_fired": NAMES,
    "request.unmanaged": ["", "blocks.1", "head"],
    "request.direction": ["fwd", "bwd"],
    "request.effect": ["read", "edit"],
    "request.route": ["add_hook", "hooks", "run_with_cache", "to"],
    "request.function.name": ["acme.steer.push", "look", "other.f.<locals>.g"],
    "request.function.distribution": ["acme-steering", "hookframe"],
    "request.purpose": ["model", "cache"],
    "model.class": ["TinyModel", "GPT2"],
    "model.cfg.act": ["gelu", "relu"],
    "family": ["gpt2", "llama", "bert"],
    "device.type": ["cpu", "cuda", "mps"],
    "torch.version": ["2.6", "2.9.0", "2.9.1", "2.10"],
    "env.CI": ["true", "1"],
}
NUMBERS = ["request.layer", "request.level", "request.estimated_bytes", "request.permanent_hooks", "device.index"]
NUMBERS += ["request.owned_hooks", "request.bytes_cached", "request.never_fired_count", "model.cfg.n", "model.cfg.rate"]
FLAGS = ["request.permanent", "request.exact", "request.gradients", "model.training", "model.cfg.flag"]
PATHS = [*WORDS, *NUMBERS, *FLAGS]
_SELECTORS = {
    "families": "family",
    "routes": "request.route",
    "functions": "request.function.name",
    "distributions": "request.function.distribution",
    "devices": "device.type",
}
_ONE_OF = {"direction": ["fwd", "bwd"], "effect": ["read", "edit"], "permanent": [True, False]}
_GLOBS_OF = {"request.function.name": ["acme.**", "*", "**.g", "look"], "model.cfg.act": ["g*", "?elu"]}


def some(values, most=3):
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)


def values_of(path):
    if path in FLAGS:
        return [True, False]
    return WORDS.get(path) or [0, 1, 2, 12, 1.0, 0.5]


@st.composite
def comparison(draw, places):
    path = draw(st.sampled_from([path for path in PATHS if set(fact(path).places) & set(places)]))
    kind = fact(path).type
    values = [*values_of(path), *([0, 1, True] if kind == "any" else [])]
    operator = draw(st.sampled_from([op for op, types in OPERATORS.items() if kind in types]))
    if operator == "exists":
        return path, {operator: draw(st.booleans())}
    if operator == "glob":
        return path, {operator: draw(some(_GLOBS_OF.get(path, GLOBS)))}
    if operator in ("lt", "le", "gt", "ge"):
        numbers = [value for value in values if kind == "version" or not isinstance(value, (str, bool))]
        return path, {operator: draw(st.sampled_from(numbers or [0, 1, 0.5]))}
    if operator in ("in", "not_in"):
        wanted = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
        return path, draw(st.sampled_from([{operator: wanted}, wanted])) if operator == "in" else {operator: wanted}
    wanted = draw(st.sampled_from(values))
    return path, draw(st.sampled_from([{operator: wanted}, wanted])) if operator == "eq" else {operator: wanted}


def tables(places, depth=2):
    """A ``when`` table."""
    plain = st.lists(comparison(places), min_size=1, max_size=2, unique_by=lambda entry: entry[0]).map(dict)
    if depth == 0:
        return plain
    inner = tables(places, depth - 1)
    several = st.lists(inner, min_size=1, max_size=3)
    joints = [several.map(lambda t: {"any": t}), several.map(lambda t: {"all": t}), inner.map(lambda t: {"not": t})]
    return st.one_of(plain, *joints)


@st.composite
def selectors(draw, places):
    """What a rule or an exception is about."""
    table = {}
    known = [name for name, path in _SELECTORS.items() if set(FACTS[path].places) & set(places)]
    chosen = draw(st.sets(st.sampled_from(["points", "when", "when", *known, *_ONE_OF]), max_size=2))
    if "points" in chosen and set(places) <= POINT.keys():
        table["points"] = draw(some(GLOBS))
    for name in sorted(chosen & _SELECTORS.keys()):
        table[name] = draw(some(_GLOBS_OF["request.function.name"] if name == "functions" else WORDS[_SELECTORS[name]]))
    for name in sorted(chosen & _ONE_OF.keys()):
        if "add" in places:
            table[name] = draw(st.sampled_from(_ONE_OF[name]))
    if "when" in chosen:
        table["when"] = draw(tables(places))
    return table


@st.composite
def rules(draw, layer, delegates):
    places = draw(
        st.sampled_from(
            [["add"], ["add"], ["cache"], ["run"], ["reset"], ["device"], ["add", "cache"], sorted(POINT), PLACES]
        )
    )
    table = {"where": places, "action": draw(st.sampled_from(ACTIONS[:-1])), "reason": "so", "remedy": "do"}
    table |= draw(selectors(places))
    if draw(st.booleans()):
        table["mode"] = draw(st.sampled_from(MODES))
    weaker = LAYERS[LAYERS.index(layer) + 1 :]
    if delegates and weaker and draw(st.booleans()):
        table["delegates"] = draw(some(weaker))
        table["max_days"] = draw(st.sampled_from([1, 30]))
    return table


@st.composite
def exceptions(draw, layer, own):
    """An exception from any layer's rule; ``own`` are the rules of this file."""
    name = draw(st.sampled_from(["r0", "r1", "r2", "machine:r0", "organisation:r0", "project:r1", "user:r0"]))
    days = draw(st.sampled_from([-1, 0, 1, 30, 31, 400]))
    places = next((rule["where"] for rule in own if name in (rule["id"], f"{layer}:{rule['id']}")), ["add"])
    table = draw(selectors(places)) or {"when": {"model.class": {"exists": draw(st.booleans())}}}
    return {"rule": name, "owner": "me", "reason": "so", "until": TODAY + timedelta(days), **table}


@st.composite
def document(draw, layer, *, delegates=True, most=3):
    """One file."""
    drawn = draw(st.lists(rules(layer, delegates), max_size=most))
    found = [{"id": f"r{number}", **rule} for number, rule in enumerate(drawn)]
    excepted = draw(st.lists(exceptions(layer, found), max_size=2))
    modes = st.dictionaries(st.sampled_from(["default", *PLACES]), st.sampled_from(MODES), max_size=2)
    names = st.sampled_from(["r0", "r1", "machine:r0", "organisation:r1"])
    return {
        "schema": 1,
        "facts": {"env": ["CI"]},
        "rules": found,
        "exceptions": [{"id": f"e{number}", **exception} for number, exception in enumerate(excepted)],
        "modes": draw(modes),
        "tighten": draw(st.dictionaries(names, st.sampled_from(MODES), max_size=2)),
    }


@st.composite
def stacks(draw, layers=LAYERS, **options):
    """Layer → document, for some of the layers."""
    present = draw(st.lists(st.sampled_from(layers), min_size=1, max_size=3, unique=True))
    return {layer: draw(document(layer, **options)) for layer in sorted(present, key=LAYERS.index)}


def merged(stack):
    """The policy, read from the text of the files."""
    layers = [
        read_layer(tomli_w.dumps(document).encode(), LayerKind[name.upper()], f"{name}.toml")
        for name, document in stack.items()
    ]
    return merge(layers)


def chance_of(seed):
    """What makes up facts; the same for the same seed."""
    return random.Random(seed)  # nothing here is secret


def facts_at(place, chance):
    """Facts of a made-up request; some are absent."""
    found = {}
    for path in PATHS:
        kind = fact(path)
        if place in kind.places and chance.random() < 0.8:
            values = [*values_of(path), *([0, 1, True] if kind.type == "any" else [])]
            if kind.type == "names":
                most = 2 if path != "request.points" else 3
                found[path] = tuple(chance.sample(values, chance.randint(0, most)))
            else:
                found[path] = chance.choice(values)
    derived = ("request.layer", "request.never_fired_count")
    return {
        **dict.fromkeys(path for path in derived if place in fact(path).places),
        **found,
    }  # none follows from others
