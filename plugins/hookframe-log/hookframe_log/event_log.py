"""Where entries go: the logger ``hookframe.log``, and a file or standard error if that was asked for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from hookframe_log.json_lines import fields_of, json_line
from hookframe_log.options import LogOptions
from hookframe_log.reading import entry_of
from hookframe_log.text import text_line

if TYPE_CHECKING:
    from hookframe import Decision
    from hookframe.admission.events import Event
    from hookframe_log.entry import Entry

__all__ = ["LOGGER", "EventLog"]

LOGGER = "hookframe.log"


class EventLog:
    """Writes events as log records.

    The file and standard error are this log's own: they are no handlers of the logger, so that opening them changes
    nothing for the rest of the process, and they get each record whatever the process's logging lets through.

    :raises ValueError: if the file cannot be opened.
    """

    def __init__(self, options: LogOptions) -> None:
        self.options = options
        self._logger = logging.getLogger(LOGGER)
        self._outputs = _outputs(options)

    def write(self, event: Event | Decision) -> None:
        """Log ``event``, if somebody listens and it is about a selected point."""
        heard = self._logger.isEnabledFor(self.options.level)
        if not heard and not self._outputs:
            return
        entry = entry_of(event, self.options.points)
        if entry is None:
            return
        record = self._record(entry)
        if heard:
            self._logger.handle(record)
        for output in self._outputs:
            output.handle(record)

    def _record(self, entry: Entry) -> logging.LogRecord:
        fields = fields_of(entry)
        record = self._logger.makeRecord(
            LOGGER, self.options.level, "hookframe", 0, "", (), None, entry.event, {"hookframe": fields}
        )
        if self.options.format == "json":
            record.msg = json_line(fields, record.levelname, record.created)
        else:
            record.msg = text_line(entry)
        return record

    def close(self) -> None:
        """Close the file. Python does so at its end as well."""
        for output in self._outputs:
            output.close()
        self._outputs = []


def _outputs(options: LogOptions) -> list[logging.Handler]:
    outputs: list[logging.Handler] = [logging.StreamHandler()] if options.stderr else []
    if options.file is not None:
        try:
            outputs.append(logging.FileHandler(options.file, encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"the log file {str(options.file)!r} cannot be opened: {error.strerror}") from error
    for output in outputs:
        output.setFormatter(_formatter(options.format))
    return outputs


def _formatter(kind: str) -> logging.Formatter:
    if kind == "json":
        return logging.Formatter("%(message)s")  # the line has its time in it
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter
