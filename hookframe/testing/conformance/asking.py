"""Asking validators as the host does, but so that every answer is kept, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

from hookframe.admission.objection import Objection
from hookframe.admission.request import HookRequest, LazyRequests, Request
from hookframe.admission.wire import objection_to_json, request_to_json
from hookframe.hookspecs import VALIDATORS
from hookframe.testing.conformance.implementations import Impl
from hookframe.testing.conformance.samples import Batch

__all__ = ["Answer", "Asker", "raised", "same"]

Answer: TypeAlias = dict[str, Any]
"""``{"objections": [...]}``, or ``{"raised": type, "text": ...}``, or ``{"junk": ...}``; plain data."""

_RULE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Asker:
    """Asks the validators of one plugin, and notes what is wrong with answers and with what they did to the requests.

    :ivar wrong: a check's name → the first complaint.
    """

    def __init__(self, impls: Iterable[Impl]) -> None:
        self.impls = {impl.spec: impl for impl in impls if impl.spec in VALIDATORS}
        self.wrong: dict[str, str] = {}

    def knows(self, batch: Batch) -> bool:
        """True if the plugin has an answer to this kind of request."""
        return batch[0] in self.impls

    def ask(self, batch: Batch, model: Any = None) -> Answer:
        """Ask one validator; raises only what is the user's own, such as ``KeyboardInterrupt``."""
        spec, requests = batch
        before = [request_to_json(request) for request in requests]
        asked = LazyRequests(lambda: cast("Sequence[HookRequest]", requests), len(requests))
        try:
            found = _objections(self.impls[spec].call(requests=asked, request=requests[0], model=model))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is, it is the answer
            return raised(error)
        finally:
            if before != [request_to_json(request) for request in requests]:
                self.wrong.setdefault("requests-unchanged", f"{spec} changed a request")
        if isinstance(found, str):
            self.wrong.setdefault("answers-are-objections", f"{spec} returned {found}")
            return {"junk": found}
        self._judge(spec, found, requests)
        return {"objections": sorted((_plain(objection, requests) for objection in found), key=str)}

    def _judge(self, spec: str, found: Iterable[Objection], requests: Sequence[Request]) -> None:
        for objection in found:
            if objection.request not in requests:
                self.wrong.setdefault(
                    "objections-about-the-batch", f"{spec} objected to a request that it was not asked about"
                )
            for complaint in _unhelpful(objection):
                self.wrong.setdefault("objections-helpful", f"{spec}, rule {objection.rule!r}: {complaint}")


def _objections(answer: Any) -> list[Objection] | str:
    """The objections that an answer consists of, or what it is instead."""
    if answer is None:
        return []
    if isinstance(answer, Objection):
        return [answer]
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        return f"a {type(answer).__name__}, not objections"
    found = list(answer)
    odd = [type(item).__name__ for item in found if not isinstance(item, Objection)]
    return f"a {odd[0]} among its objections" if odd else found


def same(answer: Answer, other: Answer) -> bool:
    """True if two answers say the same; of errors the type counts, since texts often hold addresses."""
    if "raised" in answer and "raised" in other:
        return bool(answer["raised"] == other["raised"])
    return answer == other


def raised(error: BaseException) -> Answer:
    """The answer of an implementation that raised."""
    return {"raised": type(error).__name__, "text": str(error)[:200]}


def _unhelpful(objection: Objection) -> Iterable[str]:
    if not _RULE.fullmatch(objection.rule):
        yield "the rule is no stable kebab-case name"
    if objection.remedy.strip().lower().rstrip(".") == objection.message.strip().lower().rstrip("."):
        yield "the remedy repeats the message"
    if objection.device is not None and not isinstance(objection.device, str):
        yield f"the device is a {type(objection.device).__name__}, not its name"


def _plain(objection: Objection, requests: Sequence[Request]) -> dict[str, Any]:
    plain = objection_to_json(objection)
    device = plain["device"]
    return {**plain, "device": device if device is None else str(device)}
