"""What is said and done about a request for an MPS device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hookframe import Action, Objection
from hookframe_mps.torch_release import has_linear_defect, installed_torch

if TYPE_CHECKING:
    from hookframe import DeviceRequest

__all__ = ["DENIED", "FALLBACK", "LINEAR_DEFECT", "UNTRUSTED", "VARIABLE", "DevicePolicy", "OnMps", "is_mps"]

VARIABLE = "HOOKFRAME_ALLOW_MPS"
"""Set to ``1``, it silences the warning :data:`UNTRUSTED`, and nothing else."""

UNTRUSTED = "mps-untrusted"
FALLBACK = "mps-fallback"
DENIED = "mps-denied"
LINEAR_DEFECT = "mps-linear-defect"


class OnMps(StrEnum):
    """The values of the option ``on_mps``."""

    WARN = "warn"
    """Go on, with a warning."""
    CPU = "cpu"
    """Use the CPU instead."""
    DENY = "deny"
    """Refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePolicy:
    """Answers one request at a time and remembers nothing: what was said before is given to it.

    :ivar torch_release: tells the version of torch; asked when an MPS device is, and not before.
    """

    on_mps: OnMps = OnMps.WARN
    torch_release: Callable[[], str | None] = installed_torch

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any], torch_release: Callable[[], str | None] = installed_torch
    ) -> DevicePolicy:
        """Read the plugin's options.

        :raises ValueError: for an option that there is not, or a value that it cannot have.
        """
        unknown = sorted(map(str, options.keys() - {"on_mps"}))
        if unknown:
            raise ValueError(f"hookframe-mps has no option {unknown[0]!r}: the only one is 'on_mps'")
        value = options.get("on_mps", OnMps.WARN)
        try:
            return cls(on_mps=OnMps(value), torch_release=torch_release)
        except ValueError:
            raise ValueError(f"option on_mps = {value!r} is unknown: use one of {[*map(str, OnMps)]}") from None

    def review(self, request: DeviceRequest, model: Any, *, said: Collection[str], silenced: bool) -> list[Objection]:
        """The objections to ``request``.

        :param model: the model that it is about, or None.
        :param said: the rules that a warning was given under already.
        :param silenced: True if the user asked not to be warned of MPS as such.
        """
        if not is_mps(request.device):
            return []
        if self.on_mps is OnMps.DENY:
            return [_refusal(request)]
        objections = []
        if self.on_mps is OnMps.CPU:
            objections.append(_fallback(request, Action.AUDIT if FALLBACK in said else Action.WARN))
        elif UNTRUSTED not in said and not silenced:
            objections.append(_warning(request))
        if LINEAR_DEFECT not in said and self._computes_on_mps(request, model):
            release = self.torch_release()
            if has_linear_defect(release):
                objections.append(_linear_defect(request, release))
        return objections

    def _computes_on_mps(self, request: DeviceRequest, model: Any) -> bool:
        """True if something runs on MPS once ``request`` is admitted; a cache can go to the CPU while the model stays."""
        if self.on_mps is OnMps.WARN:
            return True
        if request.purpose == "model" or model is None:
            return False
        return any(is_mps(str(tensor.device)) for tensor in itertools.chain(model.parameters(), model.buffers()))


def is_mps(device: str) -> bool:
    """True for ``"mps"`` and ``"mps:0"``."""
    return device.partition(":")[0] == "mps"


def _refusal(request: DeviceRequest) -> Objection:
    return Objection.deny(
        request,
        rule=DENIED,
        message="MPS is denied here (option on_mps = 'deny')",
        remedy="pass device='cpu', or another device that is not MPS",
    )


def _fallback(request: DeviceRequest, action: Action) -> Objection:
    return Objection(
        request=request,
        rule=FALLBACK,
        message="the CPU is used instead of MPS (option on_mps = 'cpu')",
        remedy="pass device='cpu' to ask for what you get, and keep inputs on the same device as the model",
        action=action,
        device="cpu",
    )


def _warning(request: DeviceRequest) -> Objection:
    return Objection.warn(
        request,
        rule=UNTRUSTED,
        message="several torch operations have returned wrong values on MPS without an error",
        remedy=f"compare with a run on the CPU; {VARIABLE}=1 silences this warning, which is given once",
    )


def _linear_defect(request: DeviceRequest, release: str | None) -> Objection:
    return Objection.warn(
        request,
        rule=LINEAR_DEFECT,
        message=f"torch {release} returns wrong values from linear on MPS for tensors that are not contiguous "
        "(pytorch issue 161640)",
        remedy=f"install torch 2.9 or later, or run the model on the CPU; {VARIABLE} does not silence this warning",
    )
