"""What importing a plugin does, from what the probe in a child process saw."""

from __future__ import annotations

from hookframe.testing.conformance.card import CheckResult, Verdict
from hookframe.testing.conformance.child import ChildReport, run_child

__all__ = ["import_results"]

_EFFECTS = {
    "import-opens-no-socket": "socket",
    "import-starts-no-thread": "thread",
    "import-starts-no-process": "process",
    "import-writes-no-file": "file",
}


def import_results(target: str, timeout: float) -> list[CheckResult]:
    """The checks of importing ``target``.

    What it imports of torch and numpy is imported beforehand in a second attempt, so that their effects are not taken for
    the plugin's, and the state of their generators is known.
    """
    probe = run_child("import_probe", [target], timeout=timeout)
    imported = list(probe.last("imported") or ())
    if imported and probe.last("error") is None:
        probe = run_child("import_probe", [target, *imported], timeout=timeout)
    if probe.last("effects") is None:
        return [_result("import-succeeds", [probe.ending or "its process ended early"])]
    error = probe.last("error")
    if probe.last("missing"):
        return [_result("entry-point-resolves", [f"{target}: {error}"])]
    if error is not None:
        return [_result("import-succeeds", [f"importing it raised {error}"])]
    return [_result("import-succeeds", []), *_effects(probe), _spares_torch("torch" in imported)]


def _effects(probe: ChildReport) -> list[CheckResult]:
    effects = probe.last("effects")
    printed = probe.last("printed")
    return [
        *(_result(name, sorted(set(effects[kind]))) for name, kind in _EFFECTS.items()),
        _result("import-keeps-random-state", [f"changed that of {name}" for name in probe.last("random")]),
        _result("import-keeps-torch-settings", [f"changed the {name}" for name in probe.last("torch")]),
        _result("import-prints-nothing", [f"{printed} bytes on standard output"] if printed else []),
        _result("import-leaves-logging-alone", [f"changed {name}" for name in probe.last("logging")]),
    ]


def _spares_torch(imports: bool) -> CheckResult:
    warnings = (
        ("importing it imports torch: `hookframe plugins` and other tools then wait for that",) if imports else ()
    )
    reason = "it imports torch" if imports else "torch is left alone"
    return CheckResult(name="import-spares-torch", verdict=Verdict.PASS, reason=reason, warnings=warnings)


def _result(name: str, wrong: list[str]) -> CheckResult:
    good = "imported" if name == "import-succeeds" else "as it should be"
    verdict = Verdict.FAIL if wrong else Verdict.PASS
    return CheckResult(name=name, verdict=verdict, reason="; ".join(wrong) or good)
