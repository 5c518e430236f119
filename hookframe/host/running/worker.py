"""The child process of an isolated validator: ``python -m hookframe.host.running.worker MODULE[:ATTRIBUTE]``.

It answers lines of JSON with lines of JSON. What the plugin prints goes to standard error, so that it cannot be taken for
an answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from importlib_metadata import EntryPoint

from hookframe.admission.request import Request
from hookframe.admission.wire import objection_to_json, request_from_json
from hookframe.host.running.guard import GuardedImpl
from hookframe.host.running.manager import PluginManager

__all__ = ["main", "serve"]


def serve(manager: PluginManager, asked: TextIO, answers: TextIO) -> None:
    """Answer each line of ``asked``, until it ends."""
    hello = {"specs": {spec: list(impl.argnames) for spec, impl in _impls(manager)}}
    _write(answers, hello)
    for line in asked:
        question = json.loads(line)
        requests = [request_from_json(request) for request in question["requests"]]
        found = [impl for spec, impl in _impls(manager) if spec == question["spec"]]
        _write(answers, _answer(found[0], requests))


def _impls(manager: PluginManager) -> list[tuple[str, GuardedImpl]]:
    return [(impl.spec, impl) for impl in manager.implementations()]


def _answer(impl: GuardedImpl, requests: Sequence[Request]) -> dict[str, Any]:
    """The objections, or the failure: the parent knows how the operator wants it treated."""
    facts = {"requests": tuple(requests), "request": requests[0]}
    failures = impl.failures
    objections = impl.validate(requests, facts)
    if impl.failures > failures:
        (failed,) = objections
        return {"failure": {"rule": failed.rule, "message": failed.message}}
    return {"objections": [objection_to_json(objection) for objection in objections]}


def _write(answers: TextIO, value: object) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def main(arguments: Sequence[str]) -> int:
    """Load the plugin, then serve on the standard streams as they were at the start."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        manager = PluginManager()
        try:
            manager.register(EntryPoint(name="isolated", value=arguments[0], group="").load())
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the parent is told of any failure
            _write(answers, {"failed": f"{type(error).__name__}: {error}"})
            return 1
        serve(manager, sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
