"""How far an operation walks through the code: a reader has to follow it."""

from __future__ import annotations

import pytest

from benchmarks import walks

LIMITS = {  # walk → functions and files, at most
    "`run_with_cache`, again": (48, 14),
    "`run_with_hooks`, again": (48, 14),
    "`add_hook`": (60, 14),
    "an idle `self.hook(x)`": (1, 1),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_walk_is_no_longer_than_a_reader_can_follow(name, monkeypatch):
    monkeypatch.setattr(
        "hookframe.core.torch_compat.dynamo.tracing.begun", False
    )  # else points are also written elsewhere
    found = {each: (operation, before) for each, operation, before in walks.walks()}
    operation, before = found[name]
    for _ in range(before):
        operation()
    functions, files, _ = walks.walk(operation)
    assert functions <= LIMITS[name][0]
    assert files <= LIMITS[name][1]
