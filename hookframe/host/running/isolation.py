"""Validators in a process of their own: requests go there as JSON, with a hard time limit, and objections come back.

Only validators that do not ask for the model can be isolated, since a model does not travel. A plugin that hangs,
crashes or kills its process denies, as one that raises does; the next question starts its process again.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from typing import Any

from hookframe.admission.objection import Objection
from hookframe.admission.request import Request
from hookframe.admission.wire import objection_from_json, request_to_json
from hookframe.errors import PluginError, PluginRejected
from hookframe.hookspecs import VALIDATORS
from hookframe.host.running.guard import FailedElsewhere, GuardedImpl

__all__ = ["IsolatedPlugin", "isolated_impl"]

_LONGEST_ANSWER = 16 * 1024 * 1024  # bytes


class IsolatedPlugin:
    """A plugin that runs in a child process.

    :param target: the plugin, as an entry point's value: ``module`` or ``module:attribute``.
    :param name: how it is called in messages.
    :param limit: how long it may take to start, and to answer one question, in seconds.
    :param fresh: True to read and write no compiled file beside a source, in its process.
    :ivar specs: the validators it implements → the arguments that they ask for.
    :raises PluginRejected: if it cannot be loaded there, implements anything but validators, or asks for the model.
    """

    def __init__(self, target: str, name: str, *, limit: float = 5.0, fresh: bool = False) -> None:
        self._compiled = tempfile.TemporaryDirectory(prefix="hookframe-") if fresh else None
        self.target = target
        self.name = name
        self.limit = limit
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._owner = 0
        try:
            self.specs = self._start()
        except PluginError as error:
            self.close()
            raise PluginRejected(f"plugin {name!r} cannot run in a process of its own: {error}") from error
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def ask(self, spec: str, requests: Sequence[Request]) -> list[Objection]:
        """Put ``requests`` to one validator.

        :raises FailedElsewhere: if it raised, or gave something else than objections; its process is there.
        :raises PluginError: if it does not answer in time, ends, or answers something else. Its process is then gone.
        """
        question = {"spec": spec, "requests": [request_to_json(request) for request in requests]}
        with self._lock:
            try:
                if self._child is None or self._owner != os.getpid():
                    self._start()
                answer = self._exchange(json.dumps(question))
            except BaseException:
                self._kill()
                raise
        try:
            if "failure" in answer:
                raise FailedElsewhere(str(answer["failure"]["rule"]), str(answer["failure"]["message"]))
            return [objection_from_json(objection, requests) for objection in answer["objections"]]
        except (KeyError, TypeError, ValueError) as error:
            raise PluginError(f"the isolated plugin {self.name!r} answered no objections: {error}") from error

    def close(self) -> None:
        """End the process; a question starts it again."""
        with self._lock:
            self._kill()

    def _start(self) -> dict[str, tuple[str, ...]]:
        command = [sys.executable, "-m", "hookframe.host.running.worker", self.target]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if self._compiled is not None:  # an empty place, so that no compiled file planted beside a source is read
            environment["PYTHONPYCACHEPREFIX"] = self._compiled.name
        self._child = subprocess.Popen(  # noqa: S603  # the interpreter itself, and a module of ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
        )
        self._owner = os.getpid()
        return self._checked(self._exchange(None))

    def _exchange(self, line: str | None) -> dict[str, Any]:
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise PluginError(f"the isolated plugin {self.name!r} has no process")
        pool = ThreadPoolExecutor(1, thread_name_prefix="hookframe-isolation")
        try:
            future: Future[str] = pool.submit(_converse, child, line)
            text = future.result(self.limit)
        except TooLate:
            raise PluginError(f"the isolated plugin {self.name!r} did not answer within {self.limit} s") from None
        except OSError as error:
            raise PluginError(f"the isolated plugin {self.name!r} cannot be reached: {error}") from error
        except UnicodeDecodeError as error:
            raise PluginError(f"the isolated plugin {self.name!r} answered no text: {error}") from error
        finally:
            pool.shutdown(wait=False)
        if not text.endswith("\n"):
            raise PluginError(f"the process of the isolated plugin {self.name!r} ended, or its answer is too long")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PluginError(f"the isolated plugin {self.name!r} answered no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise PluginError(f"the isolated plugin {self.name!r} answered a {type(answer).__name__}")
        return answer

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return  # after a fork the process is the parent's
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # the process that would read the rest is gone
                    stream.close()

    def _checked(self, hello: dict[str, Any]) -> dict[str, tuple[str, ...]]:
        if "failed" in hello:
            raise PluginError(f"it cannot be loaded there: {hello['failed']}")
        try:
            specs = {str(spec): tuple(map(str, arguments)) for spec, arguments in hello.get("specs", {}).items()}
        except (AttributeError, TypeError) as error:
            raise PluginError(f"its process said nothing of its specs: {error}") from error
        others = sorted(specs.keys() - set(VALIDATORS))
        if others:
            raise PluginError(f"it implements {others}, and only validators can be isolated")
        for spec, arguments in specs.items():
            if "model" in arguments:
                raise PluginError(f"{spec} asks for the model, which cannot leave this process")
        return specs


def _converse(child: subprocess.Popen[str], line: str | None) -> str:
    if line is not None and child.stdin is not None:
        child.stdin.write(line + "\n")
        child.stdin.flush()
    return "" if child.stdout is None else child.stdout.readline(_LONGEST_ANSWER)


def isolated_impl(plugin: IsolatedPlugin, spec: str, *, lenient: bool = False) -> GuardedImpl:
    """An implementation that puts the question to the plugin's process."""

    def ask(requests: Sequence[Request] = (), request: Request | None = None) -> list[Objection]:
        return plugin.ask(spec, requests if request is None else (request,))

    argument = "requests" if spec == "check_hooks_to_add" else "request"
    return GuardedImpl(plugin.name, spec, ask, (argument,), lenient=lenient)
