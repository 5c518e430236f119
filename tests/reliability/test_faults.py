"""What breaks while a model is in use: nothing is half-attached, nothing that was promised is lost, and the error says what to do."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import hookframe
from hookframe import HookDenied, hookimpl, hookspecs
from hookframe.audit.entries import DecisionEntry
from hookframe.audit.reading import read_journal
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.governing import govern
from hookframe.policy.language.vocabulary import LayerKind

POINT = "blocks.0.hook_mlp_out"
OTHER = "blocks.1.hook_mlp_out"
REQUIRED = """
schema = 1
[journal]
directory = "{directory}"
required = {required}
[[rules]]
id = "no-second-block"
points = ["blocks.1.**"]
effect = "edit"
reason = "the second block is not to be edited"
remedy = "edit the first"
"""


def edit(tensor, hook):
    return tensor * 2


def whole_round(model):
    """Every verb once: what may object, and what is told."""
    handle = model.add_hook(POINT, edit)
    with model.hooks([(POINT, edit)]):
        model.run_with_cache(model.tokens, names_filter=[POINT], device="cpu")
    handle.remove()
    model.add_perma_hook(POINT, edit)
    model.reset_hooks(including_permanent=True)


# ---- plugins ---------------------------------------------------------------------------------------------------------


def failing(spec, error):
    def fail(**facts):
        raise error

    names = {"configure": "config", "wrap_hook": "request, hook", "add_commands": "registry", "model_families": ""}
    takes = "event" if spec in hookspecs.OBSERVERS else "request, model"
    takes = {"check_hooks_to_add": "requests, model", "decision_made": "decision", **names}.get(spec, takes)
    scope = {"fail": fail, "hookimpl": hookimpl}
    exec(f"class Failing:\n    @hookimpl\n    def hookframe_{spec}(self, {takes}):\n        fail()\n", scope)  # noqa: S102
    return scope["Failing"]()


@pytest.mark.parametrize(
    "error", [ValueError("broken"), SystemExit(3), RecursionError("deep"), MemoryError("none left")]
)
@pytest.mark.parametrize("spec", [*hookspecs.VALIDATORS, *hookspecs.OBSERVERS, "wrap_hook"])
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_plugin_that_raises_at_any_spec_leaves_nothing_half_attached(model, spec, error):
    plain = model(model.tokens)
    with hookframe.use_plugins(failing(spec, error)), hookframe.no_leaks(model):
        if spec in hookspecs.OBSERVERS:
            whole_round(model)
        else:
            with pytest.raises(HookDenied, match="Failing|failing") as caught:
                whole_round(model)
            for handle in [h for handles in model.list_hooks().values() for h in handles]:
                assert spec not in ("check_hooks_to_add", "wrap_hook")
                assert handle.user_hook is edit  # what was admitted before: the caller's own
                handle.hook.point.detach(handle.hook)
            assert "uninstall" in str(caught.value) or "repair" in str(caught.value)
    assert torch.equal(model(model.tokens), plain)
    assert model.context_level == 0


# ---- the journal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_files():
    """No file of this process can grow beyond 8 KiB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def governed(model, directory, required="true"):
    text = REQUIRED.format(directory=directory, required=required)
    manager = hookframe.PluginManager()
    govern(manager, Found(layers=(read_layer(text.encode(), LayerKind.USER, "user.toml"),)))
    model.admission_controller = manager
    return manager


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_full_disk_refuses_every_verb_of_a_model_whose_policy_requires_the_journal(model, tmp_path, small_files):
    governed(model, tmp_path / "journal")
    attached = 0
    with hookframe.no_leaks(model):
        with pytest.raises(HookDenied, match="journal") as caught:
            while attached < 10_000:
                handle = model.add_hook(POINT, edit)
                attached += 1
                handle.remove()
        assert "journal" in str(caught.value)
        for verb in (
            lambda: model.run_with_cache(model.tokens),
            lambda: model.run_with_hooks(model.tokens, fwd_hooks=[(POINT, edit)]),
            lambda: model.add_caching_hooks(),
            lambda: model.hook_dict[POINT].add_hook(edit),
        ):
            with pytest.raises(HookDenied, match="journal"):
                verb()
    small_files()
    model.run_with_cache(model.tokens)  # room again: it goes on
    problems = []
    found = [entry for entry in read_journal(tmp_path / "journal", problems) if isinstance(entry, DecisionEntry)]
    assert (
        len([entry for entry in found if entry.decision.allowed]) >= attached
    )  # nothing that was let through is missing


@pytest.mark.found("a journal that was required, in a place that cannot be used, let the first hooks through")
@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_journal_that_cannot_be_made_refuses_before_anything_runs(model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    governed(model, tmp_path / "file" / "journal")
    ran = []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(HookDenied, match="file' is no directory.*") as caught:
        model.run_with_cache(model.tokens)
    assert ran == []
    assert "repair the table journal of the policy" in str(caught.value)
    handle.remove()
    governed(model, tmp_path / "file" / "journal", required="false")
    model.run_with_cache(model.tokens)


KILLED = """
import sys
import hookframe
sys.path[:0] = [{here!r}]
from test_faults import OTHER, POINT, edit, governed
from hookframe.testing.tiny_model import TinyModel
model = TinyModel()
governed(model, {journal!r})
print("go", flush=True)
for number in range(1, 100000):
    try:
        model.run_with_hooks(model.tokens, fwd_hooks=[(OTHER if number % 3 == 0 else POINT, edit)])
    except hookframe.HookDenied:
        print("refused", flush=True)
"""


@pytest.mark.parametrize("after", [1, 20])
@pytest.mark.fault("a process that is killed")
def test_killed_in_the_midst_of_runs_every_refusal_that_was_said_is_in_the_journal(tmp_path, after):
    journal = tmp_path / "journal"
    script = textwrap.dedent(KILLED).format(here=str(Path(__file__).parent), journal=str(journal))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    heard = [process.stdout.readline() for _ in range(after + 1)]
    process.send_signal(signal.SIGKILL)
    heard += process.communicate(timeout=60)[0].splitlines()
    problems = []
    entries = [entry for entry in read_journal(journal, problems) if isinstance(entry, DecisionEntry)]
    assert len(problems) <= 1  # a torn last line
    refused = [entry for entry in entries if not entry.decision.allowed]
    assert len(refused) >= len([line for line in heard if line.strip() == "refused"]) >= after


# ---- memory and devices ----------------------------------------------------------------------------------------------


class Fragile(torch.Tensor):
    """A tensor of which no copy can be made from the nth on, as on a device that is full, or whose stream was cancelled."""

    left = 10**9
    error: BaseException = torch.OutOfMemoryError("CUDA out of memory")

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("clone", "to", "_lazy_clone", "copy_"):
            Fragile.left -= 1
            if Fragile.left < 0:
                raise Fragile.error
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.fixture
def fragile(model):
    model.W_E = torch.nn.Parameter(model.W_E.detach().as_subclass(Fragile))
    yield model
    Fragile.left = 10**9


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: launch failure")]
)
@pytest.mark.parametrize("options", [{"clone": "always"}, {"device": "meta"}], ids=str)
@pytest.mark.fault("memory that cannot be had")
def test_a_copy_that_fails_in_a_caching_hook_reaches_the_caller_and_leaves_nothing(fragile, at, error, options):
    Fragile.error = error
    with hookframe.no_leaks(fragile):
        Fragile.left = at
        with pytest.raises(type(error), match="CUDA"):
            fragile.run_with_cache(fragile.tokens, **options)
        Fragile.left = 10**9
        _, whole = fragile.run_with_cache(fragile.tokens, **options)
    assert whole
    assert not fragile.is_caching


@pytest.mark.fault("memory that cannot be had")
def test_an_added_cache_keeps_what_it_had_when_a_copy_fails(fragile):
    cache = fragile.add_caching_hooks(clone="always")
    fragile(fragile.tokens)
    names = list(cache)
    Fragile.error, Fragile.left = torch.OutOfMemoryError("CUDA out of memory"), 2
    with pytest.raises(torch.OutOfMemoryError):
        fragile(fragile.tokens)
    assert list(cache) == names
    Fragile.left = 10**9
    fragile(fragile.tokens)
    fragile.reset_hooks()
    assert not any(point.has_hooks() for point in fragile.hook_points())
