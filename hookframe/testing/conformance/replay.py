"""A child process that asks a plugin about requests that came as JSON: ``… replay REPORT QUESTION TARGET``.

It is started in several ways (``-O``, ``-W error``, another hash seed), and must answer as the others do.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hookframe.admission.wire import request_from_json
from hookframe.host.running.manager import PluginManager
from hookframe.testing.conformance.asking import Asker
from hookframe.testing.conformance.bystanders import tell
from hookframe.testing.conformance.child import ReportFile
from hookframe.testing.conformance.implementations import impls_of
from hookframe.testing.conformance.target import load

__all__ = ["main"]


def main(report: ReportFile, question: Sequence[Any], target: str) -> None:
    """Ask ``target`` and report its answers."""
    plugin = load(target)
    plugin = plugin() if isinstance(plugin, type) else plugin
    PluginManager(plugin)
    impls = impls_of(plugin)
    asker = Asker(impls)
    batches = [(spec, tuple(map(request_from_json, requests))) for spec, requests in question]
    report.write(answers=[asker.ask(batch) for batch in batches if asker.knows(batch)], observed=tell(impls))


if __name__ == "__main__":
    main(ReportFile(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), sys.argv[3])
    os._exit(0)  # what the plugin left running is not waited for
