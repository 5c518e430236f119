"""Fuzz the reader of policies with atheris; run by hand, for a bounded time.

``python tests/fuzz/policy.py -max_total_time=60`` (needs ``pip install atheris``). Anything but a layer or a
:class:`~hookframe.errors.PolicyError` is a crash. Half of the inputs are the example policy with bytes of the fuzzer's in it,
so that what lies behind the TOML is reached as well; what can be read is merged, analysed and decided with.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hookframe.policy", "hookframe.admission"]):
    from hookframe.errors import PolicyError
    from hookframe.policy.files.reading import read_layer
    from hookframe.policy.in_force.decide import decide
    from hookframe.policy.in_force.merging import merge
    from hookframe.policy.language.facts import RecordedFacts
    from hookframe.policy.language.vocabulary import PLACES, LayerKind
    from hookframe.policy.tools.analysis import analyse

EXAMPLE = (
    Path(__file__).parents[2] / "plugins" / "hookframe-policy-example" / "hookframe_policy_example" / "policy.toml"
)
TEXT = EXAMPLE.read_bytes()
DAY = date(2026, 6, 1)
FACTS = RecordedFacts({"request.point": ("blocks.3.hook_resid_post",), "request.layer": 3, "request.effect": "edit"})


def _mangled(data: bytes) -> bytes:
    given = atheris.FuzzedDataProvider(data)
    text = TEXT
    for _ in range(given.ConsumeIntInRange(1, 3)):
        start = given.ConsumeIntInRange(0, len(text))
        end = given.ConsumeIntInRange(start, min(len(text), start + 30))
        text = text[:start] + given.ConsumeBytes(given.ConsumeIntInRange(0, 20)) + text[end:]
    return text


def look(data: bytes) -> None:
    """Read one input, and use it if it is a policy."""
    try:
        layer = read_layer(
            data[1:] if data[:1] < b"\x80" else _mangled(data[1:]), LayerKind.ORGANISATION, "policy.toml"
        )
    except PolicyError as error:
        if not str(error):
            raise
        return
    policy = merge([layer])
    for note in analyse(policy, DAY, ["blocks.3.hook_resid_post"]):
        str(note)
    for place in PLACES:
        decide(policy, place, FACTS, DAY)


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
