"""What a policy should say, worked out the long way from the tables of its files, and not by the code under test.

Conditions become leaves: a fact, how it is compared, and whether the opposite is meant. A rule asks of a list of different
things (families, points of a cache) whether some of them fit, an exception whether all do. What is absent fits opposites
alone.
"""

from __future__ import annotations

from datetime import timedelta

LAYERS = ["machine", "organisation", "project", "user", "session"]
ACTIONS = ["deny", "skip", "warn", "audit", "allow"]
MODES = ["enforce", "warn", "audit", "off"]
EACH = ("family", "request.points", "request.never_fired", "request.unmanaged")
POINT = {"add": "request.point", "cache": "request.points", "reset": "request.points", "run": "request.never_fired"}
SELECTORS = {
    "families": "family",
    "routes": "request.route",
    "direction": "request.direction",
    "effect": "request.effect",
    "permanent": "request.permanent",
    "functions": "request.function.name",
    "distributions": "request.function.distribution",
    "devices": "device.type",
}


def glob_fits(pattern: str, name: str) -> bool:
    return _parts_fit(pattern.split("."), name.split("."))


def _parts_fit(pattern: list[str], parts: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_parts_fit(pattern[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
    return bool(parts) and _letters_fit(pattern[0], parts[0]) and _parts_fit(pattern[1:], parts[1:])


def _letters_fit(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_letters_fit(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _letters_fit(pattern[1:], text[1:])


def verdict(documents: dict[str, dict], place: str, facts: dict, today) -> tuple[str, set]:
    """The strongest action, and ``(rule, action, exception)`` of each rule that matches."""
    found = set()
    for layer in LAYERS:
        for rule in documents.get(layer, {}).get("rules", []):
            mode = _mode(documents, layer, rule, place)
            if place in rule["where"] and mode != "off" and _about(rule, place, facts, every=False):
                action = rule["action"] if mode == "enforce" else max(rule["action"], mode, key=ACTIONS.index)
                exception = _exception(documents, layer, rule, place, facts, today)
                if action in ("deny", "skip") and exception:
                    found.add((f"{layer}:{rule['id']}", "warn", exception))
                else:
                    found.add((f"{layer}:{rule['id']}", action, None))
    return min((action for _, action, _ in found), key=ACTIONS.index, default="allow"), found


def _names(layer: str, rule: dict) -> tuple[str, str]:
    return rule["id"], f"{layer}:{rule['id']}"


def _mode(documents, layer, rule, place) -> str:
    modes = documents[layer].get("modes", {})
    said = [rule.get("mode") or modes.get(place) or modes.get("default") or "enforce"]
    for weaker in LAYERS[LAYERS.index(layer) + 1 :]:
        tighten = documents.get(weaker, {}).get("tighten", {})
        said += [mode for name, mode in tighten.items() if name in _names(layer, rule)]
    return min(said, key=MODES.index)


def _exception(documents, layer, rule, place, facts, today) -> str | None:
    for own in LAYERS:
        for exception in documents.get(own, {}).get("exceptions", []):
            if exception["rule"] not in _names(layer, rule) or today > exception["until"]:
                continue
            if LAYERS.index(own) > LAYERS.index(layer):
                last = today + timedelta(days=rule.get("max_days", 90))
                if own not in rule.get("delegates", []) or exception["until"] > last:
                    continue
            if _knows_points(documents[own], own, exception, place) and _about(exception, place, facts, every=True):
                return f"{own}:{exception['id']}"
    return None


def _knows_points(document, own, exception, place) -> bool:
    """An exception from a rule of its own file means the points that are known where that rule is asked."""
    asked = [rule["where"] for rule in document.get("rules", []) if exception["rule"] in _names(own, rule)]
    return "points" not in exception or not asked or POINT.get(place) in [POINT.get(known) for known in asked[0]]


def _about(table, place, facts, *, every) -> bool:
    parts = []
    if "points" in table:
        parts.append(_leaf(POINT.get(place, "nothing"), "glob", table["points"], facts, every, opposite=False))
    for name, path in SELECTORS.items():
        if name in table:
            operator = "glob" if name == "functions" else "in"
            values = table[name] if isinstance(table[name], list) else [table[name]]
            parts.append(_leaf(path, operator, values, facts, every, opposite=False))
    if "when" in table:
        parts.append(_table(table["when"], facts, every, opposite=False))
    return all(parts)


def _table(table, facts, every, *, opposite) -> bool:
    parts = []
    for key, value in table.items():
        if key == "not":
            parts.append(_table(value, facts, every, opposite=not opposite))
        elif key in ("all", "any"):
            inner = [_table(item, facts, every, opposite=opposite) for item in value]
            parts.append(all(inner) if (key == "all") != opposite else any(inner))
        elif isinstance(value, dict):
            inner = [
                _leaf(key, operator, wanted, facts, every, opposite=opposite) for operator, wanted in value.items()
            ]
            parts.append(any(inner) if opposite else all(inner))
        else:
            parts.append(_leaf(key, "in" if isinstance(value, list) else "eq", value, facts, every, opposite=opposite))
    return any(parts) if opposite else all(parts)


def _leaf(path, operator, wanted, facts, every, *, opposite) -> bool:
    value = facts.get(path)
    values = [] if value is None else list(value) if isinstance(value, (tuple, list)) else [value]
    if operator == "exists":
        return (bool(values) is wanted) is not opposite
    opposite ^= operator in ("ne", "not_in")
    fits = [_compares(path, operator, item, wanted if isinstance(wanted, list) else [wanted]) for item in values]
    if path not in EACH:
        return any(fits) is not opposite
    if opposite:
        return not any(fits) if every else not fits or not all(fits)
    return bool(fits) and all(fits) if every else any(fits)


def _compares(path, operator, value, wanted) -> bool:
    if operator == "glob":
        return isinstance(value, str) and any(glob_fits(pattern, value) for pattern in wanted)
    if path.endswith(".version"):
        value, wanted = _numbers(value), [_numbers(version) for version in wanted]
    if operator in ("eq", "ne", "in", "not_in"):
        return any(value == other and isinstance(value, bool) is isinstance(other, bool) for other in wanted)
    if isinstance(value, (bool, str)):
        return False
    bound = wanted[0]
    return {"lt": value < bound, "le": value <= bound, "gt": value > bound, "ge": value >= bound}[operator]


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.partition("+")[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
