"""Journals as values: what a record holds, how a line is read, and how a person is shown it.

Writing, sealing and verifying a journal is the business of the plugin ``hookframe-journal``. Imports no torch, no host, no policy.
"""

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.audit.entries import DecisionEntry as DecisionEntry
    from hookframe.audit.entries import Entry as Entry
    from hookframe.audit.entries import EventEntry as EventEntry
    from hookframe.audit.entries import Problem as Problem
    from hookframe.audit.lines import SUFFIX as SUFFIX
    from hookframe.audit.lines import Line as Line
    from hookframe.audit.lines import Links as Links
    from hookframe.audit.lines import line_of as line_of
    from hookframe.audit.lines import lines_of as lines_of
    from hookframe.audit.lines import segments_in as segments_in
    from hookframe.audit.plain import plain_of as plain_of
    from hookframe.audit.plain import points_of as points_of
    from hookframe.audit.plain import printable as printable
    from hookframe.audit.plain import route_of as route_of
    from hookframe.audit.plain import time_of as time_of
    from hookframe.audit.reading import OBJECTION_FIELDS as OBJECTION_FIELDS
    from hookframe.audit.reading import SegmentReader as SegmentReader
    from hookframe.audit.reading import read_journal as read_journal
    from hookframe.audit.tables import table_of as table_of

__getattr__, __dir__, __all__ = lend(__name__)
