"""Child processes of a conformance run: each writes what it finds to a file, line by line, and is ended in time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ChildReport", "ReportFile", "run_child"]

_LONGEST_REPORT = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class ChildReport:
    """What one child said.

    :ivar lines: the values it reported, in order.
    :ivar ending: how it ended, as a phrase; None if it ended well.
    """

    lines: tuple[dict[str, Any], ...]
    ending: str | None

    def last(self, key: str) -> Any:
        """The newest value reported under ``key``, None if there is none."""
        return next((line[key] for line in reversed(self.lines) if key in line), None)


class ReportFile:
    """The child's side: each report is one line of JSON, written at once."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(self, **values: Any) -> None:
        """Report ``values``."""
        os.write(self._file, (json.dumps(values) + "\n").encode())


def run_child(
    module: str,
    arguments: Sequence[str],
    *,
    timeout: float,
    question: Any = None,
    flags: Sequence[str] = (),
    hash_seed: str = "0",
) -> ChildReport:
    """Run a module of this package in a child process, with the path of this one.

    It gets the file to report to, the file with the question as JSON, then ``arguments``. It and all that it started are
    killed after ``timeout`` seconds, and when it is done.
    """
    with tempfile.TemporaryDirectory(prefix="hookframe-conformance-", ignore_cleanup_errors=True) as place:
        report, asked, errors = (Path(place, name) for name in ("report", "question", "errors"))
        report.touch()
        asked.write_text(json.dumps(question), encoding="utf-8")
        command = [
            sys.executable,
            "-B",
            *flags,
            "-m",
            f"hookframe.testing.conformance.{module}",
            str(report),
            str(asked),
        ]
        with errors.open("wb") as output:
            child = subprocess.Popen(  # noqa: S603  # the interpreter itself, and a module of ours
                [*command, *arguments],
                cwd=place,
                env=_environment(hash_seed),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            ending = _end(child, timeout)
        with report.open("rb") as reported:
            text = reported.read(_LONGEST_REPORT)
        lines = [json.loads(line) for line in text.decode("utf-8").splitlines()]
        if ending is not None and (said := errors.read_text(encoding="utf-8", errors="replace").strip()):
            ending = f"{ending}: {said.splitlines()[-1][:300]}"
        return ChildReport(tuple(lines), ending)


def _environment(hash_seed: str) -> dict[str, str]:
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed, "HOOKFRAME_PLUGINS": "none"}


def _end(child: subprocess.Popen[bytes], timeout: float) -> str | None:
    ending = None
    try:
        code = child.wait(timeout)
        if code:
            ending = f"its process ended with {_name_of(code)}"
    except subprocess.TimeoutExpired:
        ending = f"it did not come to an end within {timeout:g} s"
    finally:
        _kill_all(child)
    return ending


def _kill_all(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started: they are a session of their own."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _name_of(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"
