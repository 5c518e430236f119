"""A child process that calls a plugin and reports how it behaves: ``… behaviour_probe REPORT QUESTION TARGET``."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

from hookframe.hookspecs import VALIDATORS
from hookframe.testing.conformance.behaviour import Behaviour
from hookframe.testing.conformance.child import ReportFile
from hookframe.testing.conformance.target import load

__all__ = ["main"]


def main(report: ReportFile, target: str) -> None:
    """Check ``target`` and report."""
    behaviour = Behaviour(load(target), starting=lambda name: report.write(starting=name))
    try:
        behaviour.run()
    finally:
        report.write(
            results=[asdict(result) for result in behaviour.results],
            reference=behaviour.reference,
            observed=behaviour.observed,
            microseconds=behaviour.microseconds,
            validators=[impl.spec for impl in behaviour.impls if impl.spec in VALIDATORS],
            for_model=[impl.spec for impl in behaviour.impls if impl.asks_for_model],
        )


if __name__ == "__main__":
    main(ReportFile(sys.argv[1]), sys.argv[3])
    os._exit(0)  # what the plugin left running is not waited for
