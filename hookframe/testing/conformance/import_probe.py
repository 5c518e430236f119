"""A child process that imports a plugin and reports what that did: ``… import_probe REPORT QUESTION TARGET [PRELOAD…]``."""

from __future__ import annotations

import _thread
import importlib
import logging
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

import hookframe.hookspecs  # noqa: F401  # what every plugin imports is no effect of this one
from hookframe.testing.conformance.child import ReportFile
from hookframe.testing.conformance.target import load

__all__ = ["main"]

_PROCESS = (
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.exec",
    "pty.spawn",
)
_STARTERS = ("start_new_thread", "start_new", "start_joinable_thread")
_HARMLESS = ("socket.gethostname",)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Watch:
    """What the interpreter reports between start and stop."""

    def __init__(self) -> None:
        self.effects: dict[str, list[str]] = {"socket": [], "thread": [], "process": [], "file": []}
        self.on = False
        sys.addaudithook(self._heard)
        for module in (_thread, threading):
            for name in [n for starter in _STARTERS for n in (starter, f"_{starter}") if hasattr(module, n)]:
                setattr(module, name, self._counting(getattr(module, name)))

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and (kind := _kind(event, arguments)) is not None:
            self.effects[kind].append(event if kind != "file" else f"{arguments[0]!r}")

    def _counting(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """``start`` with a note of it: not every Python audits the start of a thread."""

        def noted(*arguments: Any, **options: Any) -> Any:
            if self.on:
                self.effects["thread"].append("a thread was started")
            return start(*arguments, **options)

        return noted


def _kind(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event.startswith("socket.") and event not in _HARMLESS:
        return "socket"
    if event in _PROCESS:
        return "process"
    if event == "open" and _writes(*arguments):
        return "file"
    return None


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    if isinstance(path, int) or os.fspath(path) in (os.devnull, os.fsencode(os.devnull)):
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _random_state(preloaded: Sequence[str]) -> dict[str, Any]:
    state: dict[str, Any] = {"random": random.getstate()}
    if "numpy" in preloaded:
        import numpy as np

        state["numpy"] = repr(np.random.get_state())  # noqa: NPY002  # the global generator is what is looked at
    if "torch" in preloaded:
        import torch

        state["torch"] = torch.random.get_rng_state().tolist()
    return state


def _torch_settings(preloaded: Sequence[str]) -> dict[str, str]:
    if "torch" not in preloaded:
        return {}
    import torch

    return {
        "grad mode": str(torch.is_grad_enabled()),
        "inference mode": str(torch.is_inference_mode_enabled()),
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
    }


def _logging_state() -> dict[str, Any]:
    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    handlers = {
        f"logger {name!r}": [type(h).__name__ for h in logger.handlers if not isinstance(h, logging.NullHandler)]
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger)
    }
    levels = {"the level of the root": logging.root.level, "what is disabled": logging.root.manager.disable}
    return {**{name: found for name, found in handlers.items() if found}, **levels}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def main(report: ReportFile, target: str, preload: Sequence[str]) -> None:
    """Import ``target`` and report."""
    for name in preload:
        importlib.import_module(name)
    watch = _Watch()
    before = _random_state(preload), _torch_settings(preload), _logging_state()
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 1)
        watch.on = True
        try:
            load(target)
            error = None
        except (Exception, SystemExit) as raised:  # noqa: BLE001  # whatever it is, it is reported
            error = f"{type(raised).__name__}: {raised}"
            missing = isinstance(raised, AttributeError) and target.partition(":")[0] in sys.modules
            report.write(missing=missing and ":" in target)
        watch.on = False
        sys.stdout.flush()
        printed = output.seek(0, os.SEEK_END)
    after = _random_state(preload), _torch_settings(preload), _logging_state()
    report.write(
        error=error,
        effects=watch.effects,
        random=_changed(before[0], after[0]),
        torch=_changed(before[1], after[1]),
        logging=_changed(before[2], after[2]),
        printed=printed,
        imported=[name for name in ("torch", "numpy") if name in sys.modules],
    )


if __name__ == "__main__":
    main(ReportFile(sys.argv[1]), sys.argv[3], sys.argv[4:])
    sys.stdout.flush()
    os._exit(0)  # what the plugin left running is not waited for
