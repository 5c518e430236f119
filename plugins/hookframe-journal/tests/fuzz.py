"""Fuzz the journal's reader and verifier with atheris; run by hand, for a bounded time.

``python plugins/hookframe-journal/tests/fuzz.py -max_total_time=60`` (needs ``pip install atheris``). Anything but an entry, a problem or a
finding is a crash. On a RAM disk (``TMPDIR``) it is faster. Half of the inputs are a sound segment with bytes of the fuzzer's in it, whose links are made to fit,
so that what lies behind the chain is reached as well.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hookframe.audit", "hookframe.admission", "hookframe_journal"]):
    from hookframe_journal.chain import Chain
    from hookframe_journal.command.rendering import detail, one_line
    from hookframe_journal.export import write_csv, write_json, write_sarif
    from hookframe_journal.plugin import JournalPlugin
    from hookframe_journal.verify import verify_segment

    from hookframe import Decision, Objection
    from hookframe.admission.request import FunctionInfo, HookRequest
    from hookframe.audit import plain_of
from hookframe.audit import read_journal
from hookframe.audit.lines import split_line


def _bodies(directory: Path) -> list[bytes]:
    """The bodies of a sound segment's records."""
    plugin = JournalPlugin(directory)
    function = FunctionInfo(module="acme", qualname="probe", digest="sha256:1")
    batch = [HookRequest(index=i, point=f"blocks.{i}.hook_z", function=function, route="hooks") for i in range(3)]
    deny = Objection.deny(batch[1], rule="late", message="a late layer", remedy="go earlier")
    plugin.hookframe_decision_made(Decision(batch))
    plugin.hookframe_decision_made(Decision(batch, (deny,) * 9))
    plugin.close()
    (file,) = directory.glob("*.jsonl")
    links = [split_line(line) for line in file.read_bytes().splitlines()]
    return [link.text.partition(b",")[2] for link in links if link is not None]


FOLDER = Path(tempfile.mkdtemp())
FILE = FOLDER / "fuzzed.jsonl"
BODIES = _bodies(FOLDER / "sound")


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)


def _mangled(data: bytes) -> bytes:
    given = atheris.FuzzedDataProvider(data)
    bodies = list(BODIES)
    for _ in range(given.ConsumeIntInRange(1, 4)):
        place = given.ConsumeIntInRange(0, len(bodies) - 1)
        body = bodies[place]
        start = given.ConsumeIntInRange(0, len(body))
        end = given.ConsumeIntInRange(start, min(len(body), start + 40))
        bodies[place] = (
            body[:start] + given.ConsumeBytes(given.ConsumeIntInRange(0, 30)).replace(b"\n", b" ") + body[end:]
        )
    chain = Chain()
    return b"".join(map(chain.line, bodies))


def look(data: bytes) -> None:
    """Read, verify, show and export one input."""
    FILE.write_bytes(data[1:] if data[:1] < b"\x80" else _mangled(data[1:]))
    verify_segment(FILE).describe()
    entries = list(read_journal(FILE, []))
    for entry in entries:
        json.dumps(plain_of(entry))
        one_line(entry)
        if hasattr(entry, "decision"):
            list(detail(entry))
    for write in (write_csv, write_json, write_sarif):
        write(entries, _Nowhere())


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
