"""The checks: their names, which are stable, what each asks, and which must have passed for it to mean anything."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHECKS", "IMPORT_EFFECTS", "NAMES", "ConformanceCheck"]


@dataclass(frozen=True, slots=True)
class ConformanceCheck:
    """One check.

    :ivar name: stable, kebab-case.
    :ivar asks: what has to be true.
    :ivar after: checks without which it is not applicable, when one of them failed.
    """

    name: str
    asks: str
    after: tuple[str, ...] = ()


_DECLARED = ("implementations-marked", "known-specs", "known-arguments", "no-wrappers")
_LOADED = ("registers",)
_ANSWERS = ("ordinary-requests",)
_REPEATS = ("ordinary-requests", "same-answer-twice")

IMPORT_EFFECTS: tuple[ConformanceCheck, ...] = tuple(
    ConformanceCheck(name, asks, ("import-succeeds",))
    for name, asks in (
        ("import-opens-no-socket", "importing the plugin opens no socket"),
        ("import-starts-no-thread", "importing the plugin starts no thread"),
        ("import-starts-no-process", "importing the plugin starts no process"),
        ("import-writes-no-file", "importing the plugin opens no file for writing"),
        (
            "import-keeps-random-state",
            "importing the plugin leaves the generators of random, numpy and torch as they are",
        ),
        ("import-keeps-torch-settings", "importing the plugin leaves grad mode, default dtype and default device"),
        ("import-prints-nothing", "importing the plugin writes nothing to standard output"),
        (
            "import-leaves-logging-alone",
            "importing the plugin installs no logging handler and sets no level of the root",
        ),
        ("import-spares-torch", "importing the plugin imports no torch; reported, never failed"),
    )
)
"""What importing the plugin must not do."""

CHECKS: tuple[ConformanceCheck, ...] = (
    ConformanceCheck("metadata-complete", "the metadata has a name, a version and a licence"),
    ConformanceCheck("requires-hookframe", "the distribution requires hookframe, in a version that fits this one"),
    ConformanceCheck("api-range-stated", "the keyword hookframe-plugin-api states a range with this plugin API in it"),
    ConformanceCheck("entry-point-resolves", "what each entry point names is there"),
    ConformanceCheck("import-succeeds", "the plugin can be imported", ("entry-point-resolves",)),
    *IMPORT_EFFECTS,
    ConformanceCheck(
        "implementations-marked", "the plugin implements something, and no implementation lacks @hookimpl"
    ),
    ConformanceCheck("known-specs", "it implements known specs only"),
    ConformanceCheck("known-arguments", "each implementation asks for arguments that its spec has"),
    ConformanceCheck("no-wrappers", "no implementation stands between others"),
    ConformanceCheck("registers", "it registers without options", _DECLARED),
    ConformanceCheck("ordinary-requests", "validators answer ordinary requests without raising", _LOADED),
    ConformanceCheck("unknown-facts", "unknown point names, routes and devices raise nothing: abstain", _ANSWERS),
    ConformanceCheck("model-may-be-none", "a hook point that belongs to no model raises nothing", _ANSWERS),
    ConformanceCheck(
        "generated-requests", "generated requests of all kinds raise nothing", (*_ANSWERS, "unknown-facts")
    ),
    ConformanceCheck("answers-are-objections", "validators answer with objections, or None", _LOADED),
    ConformanceCheck("objections-about-the-batch", "each objection is about a request of the batch", _LOADED),
    ConformanceCheck(
        "objections-helpful", "each objection has a kebab-case rule, and a remedy that is not its message", _LOADED
    ),
    ConformanceCheck("requests-unchanged", "no request is changed", _LOADED),
    ConformanceCheck("model-unchanged", "the model is looked at, and not changed", _LOADED),
    ConformanceCheck("same-answer-twice", "the same requests get the same objections again", _ANSWERS),
    ConformanceCheck("same-answer-in-any-order", "what was asked before makes no difference", _REPEATS),
    ConformanceCheck("threads", "several threads get the same objections", _REPEATS),
    ConformanceCheck("child-process", "a child process gives the same objections, asked in JSON", _REPEATS),
    ConformanceCheck("optimized-python", "python -O gives the same objections", _REPEATS),
    ConformanceCheck("warnings-as-errors", "python -W error gives the same objections", _REPEATS),
    ConformanceCheck("observers-do-not-raise", "observers take every kind of event", _LOADED),
    ConformanceCheck("observers-return-none", "observers return nothing", ("observers-do-not-raise",)),
    ConformanceCheck("providers-answer", "providers give what their specs ask for", _LOADED),
    ConformanceCheck("time-per-call", "how long one call takes; reported, never failed", _ANSWERS),
)
"""Every check, in the order of the card."""

NAMES: tuple[str, ...] = tuple(check.name for check in CHECKS)
"""Their names."""
