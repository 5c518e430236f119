"""A thread that wakes up some time after it was told that something waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Flusher"]


class Flusher:
    """Calls ``flush`` at most ``seconds`` after :meth:`wake`; without anything waiting it sleeps for good.

    The thread is started when it is first needed. It is a daemon: it holds no process back.

    :param flush: returns True if something is still waiting, so that it is called again.
    """

    def __init__(self, flush: Callable[[], bool], seconds: float) -> None:
        self._flush = flush
        self._seconds = seconds
        self._waiting = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> bool:
        """Say that something waits; False if there can be no thread any more, so that nobody will come for it."""
        if self._waiting.is_set():
            return True
        self._waiting.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="hookframe-journal", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down, or there are too many threads
                self._waiting.clear()
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._waiting.wait()
            self._stopped.wait(self._seconds)
            self._waiting.clear()  # first: what comes while it is written waits for the next time
            if not self._stopped.is_set() and self._flush():
                self._waiting.set()

    def stop(self) -> None:
        """Let the thread end; what waits is left to the caller."""
        self._stopped.set()
        self._waiting.set()
