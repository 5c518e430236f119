"""Reasons to refuse everything: a layer that cannot be read, a version that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hookframe.admission.distributions import version_of
from hookframe.admission.listing import listed
from hookframe.admission.objection import Objection
from hookframe.admission.request import Request
from hookframe.errors import MissingExtra, PolicyError
from hookframe.host.installed.compatibility import contains
from hookframe.policy.files.layers import LayerFile
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.policy import Policy

__all__ = ["Refusal", "refusals_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One reason to refuse everything."""

    rule: str
    message: str
    remedy: str
    origin: str | None = None

    def objection(self, request: Request) -> Objection:
        """The reason, as an objection to ``request``."""
        denial = Objection.deny(request, rule=self.rule, message=self.message, remedy=self.remedy)
        return replace(denial, origin=self.origin)


def refusals_of(found: Found) -> list[Refusal]:
    """The reasons that the layers give."""
    return [*_unreadable(found), *_unmet(found.policy)]


def _unreadable(found: Found) -> Iterator[Refusal]:
    for file, error in found.unreadable:
        yield Refusal(
            rule="policy-unreadable",
            message=f"the {file.kind.label} policy cannot be used: {listed(error.mistakes, separator='; ')}",
            remedy=_remedy(file, error),
        )


def _remedy(file: LayerFile, error: PolicyError) -> str:
    missing = error.__cause__
    if isinstance(missing, MissingExtra):
        return missing.command
    return f"repair {file.path}, and see 'hookframe policy check'"


def _unmet(policy: Policy) -> Iterator[Refusal]:
    for requirement in policy.requirements:
        installed = version_of(requirement.distribution)
        if installed is None or not contains(requirement.versions, installed):
            has = "it is not installed" if installed is None else f"{installed} is installed"
            wanted = f"{requirement.distribution}{requirement.versions}"
            yield Refusal(
                rule="required-version",
                message=f"the policy requires {wanted}, and {has}",
                remedy=f"pip install '{wanted}'",
                origin=str(requirement.origin),
            )
