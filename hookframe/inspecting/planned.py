"""The requests that hooks would make, as the core plans them; nothing is attached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hookframe.admission.request import HookRequest
from hookframe.core.model.named_model import NamedModel
from hookframe.core.registration.batch import Batch
from hookframe.core.registration.planning import plan_attachments

__all__ = ["planned_requests"]


def planned_requests(model: NamedModel, points: Sequence[str], like: HookRequest) -> list[HookRequest]:
    """What a hook like this one would ask for at each of these points of ``model``.

    :param like: a request for such a hook, at whichever point.
    """
    planned = plan_attachments(
        [(name, model.hook_dict[name], like.exact) for name in points],
        _nothing,
        direction=like.direction,
        permanent=like.permanent,
        level=like.level,
        prepend=like.prepend,
        aliases=like.aliases,
    )
    requests = Batch((planned,), like.route, lasting=like.lasting).requests
    return [replace(request, function=like.function, effect=like.effect, caches=like.caches) for request in requests]


def _nothing(tensor: Any, *, hook: Any) -> None:
    """Stands for a function that is not there yet."""
