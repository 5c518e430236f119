"""``hookframe capture`` and ``hookframe run-plan``, as a person types them, on the model that ships with hookframe."""

from __future__ import annotations

import sys

import pytest
import torch
from click.testing import CliRunner
from importlib_metadata import distributions

import hookframe
from hookframe import ActivationCache, HookDenied, HookPlan, Objection, hookimpl
from hookframe.capture.text_capture import TextCapture
from hookframe.cli import main as command
from hookframe.cli.sizes import SIZE, human
from hookframe.cli.text_models import open_text_model
from hookframe.demo.grammar import opening, write_report
from hookframe.demo.model import load_demo
from hookframe.demo.steering import COEFFICIENT, continuation, mood_score, mood_vector, resid_post
from hookframe.errors import (
    CacheTooLarge,
    CaptureInputError,
    EstimateError,
    HookframeError,
    InvalidPlan,
    ModelNotLoaded,
)


@pytest.fixture
def run(monkeypatch):
    def invoke(*arguments):
        monkeypatch.setenv("COLUMNS", "120")
        return CliRunner().invoke(command.cli, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "reports.txt"
    file.write_text("\n".join(opening(write_report(seed, "bright")) for seed in range(10)))
    return file


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of a person's own, with models in it."""
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_models"
    sys.modules.pop("own_models", None)


OWN = '''
import torch
from hookframe import HookedRootModule, HookPoint
from hookframe.capture.text_model import TextInputs, TextModel

class Reader(HookedRootModule):
    """Reads, and writes nothing."""

    def __init__(self):
        super().__init__()
        self.hook_in, self.hook_out = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x, judge=False):
        if judge and x.sum() > 1e9:
            raise ValueError
        return {"nothing": None, "out": self.hook_out(self.hook_in(x) * 2)}

def encode(texts, **more):
    x = torch.tensor([[float(len(text))] * 3 for text in texts])[..., None]
    return TextInputs({"x": x, **more}, torch.ones(len(texts), 3, dtype=torch.bool))

def reader():
    return TextModel(root=Reader(), encode=encode)

def weighted():
    made = reader()
    made.root.weight = torch.nn.Parameter(torch.ones(1))
    return made

judging = TextModel(root=Reader(), encode=lambda texts: encode(texts, judge=True))
nothing = 3
'''


def test_blank_lines_are_no_rows_and_the_help_says_so(run, texts, tmp_path):
    texts.write_text(texts.read_text().replace("\n", "\n\n  \n"))
    planned = run("capture", "demo", "--names", "hook_embed", "--input", texts, "--out", tmp_path / "out", "--dry-run")
    assert "10 rows in 1 forwards" in planned.output
    assert "Blank lines are left out and are no rows." in " ".join(run("capture", "--help").output.split())


def test_a_capture_of_the_demo(run, texts, tmp_path):
    arguments = ["capture", "demo", "--names", "blocks.*.hook_resid_post", "--input", texts, "--out", tmp_path / "out"]
    planned = run(*arguments, "--dry-run")
    assert planned.exit_code == 0
    assert "3 hook points, admitted:\n  blocks.0.hook_resid_post\n" in planned.output
    assert "10 rows in 1 forwards" in planned.output
    assert not (tmp_path / "out").exists()
    done = run(*arguments, "--batch-size", 4, "--shard-bytes", "4KiB", "--max-bytes", "1GB")
    assert done.exit_code == 0
    assert "10 rows, " in done.stdout
    assert "10 of 10 rows" in done.stderr
    capture = TextCapture(tmp_path / "out", verify=True)
    assert (len(capture), len(list((tmp_path / "out").glob("shard-*")))) == (10, 3)
    model = load_demo()
    from hookframe.demo.grammar import encode

    for text, row in zip(texts.read_text().splitlines(), capture.rows("resid_post", 2), strict=True):
        with torch.no_grad():
            _, alone = model.run_with_cache(torch.tensor([encode(text)]))
        torch.testing.assert_close(row, alone["resid_post", 2][0])
    again = run(*arguments, "--batch-size", 4, "--shard-bytes", "4KiB")
    assert "already complete: 10 rows, " in again.stdout
    assert "going on" not in again.stderr
    sorted((tmp_path / "out").glob("shard-*"))[-1].unlink()
    (tmp_path / "out" / "manifest.json").unlink()  # as a kill before the last shard leaves it
    gone_on = run(*arguments, "--batch-size", 4, "--shard-bytes", "4KiB")
    assert "going on after 8 of 10 rows" in gone_on.stderr
    assert gone_on.stdout.startswith("10 rows, ")
    assert len(TextCapture(tmp_path / "out", verify=True)) == 10


DENIES = """
import hookframe

@hookframe.hookimpl
def hookframe_check_hooks_to_add(requests):
    return [hookframe.Objection.deny(r, rule="none", message="nothing here", remedy="leave acme-rules out") for r in requests]
"""


@pytest.fixture
def acme(site, monkeypatch):
    """An installed plugin that refuses every hook."""
    site.normal("acme-rules", DENIES)
    monkeypatch.setattr(
        "hookframe.host.installed.inventory.distributions", lambda: distributions(path=[str(site.root)])
    )


def test_an_installed_plugin_is_left_out_on_request(run, acme, texts, tmp_path, plan):
    captures = ["capture", "demo", "--names", "hook_embed", "--input", texts, "--out", tmp_path / "out"]
    for verb in (
        captures,
        ["run-plan", plan, "demo", "--text", texts.read_text().splitlines()[0], "--max-new-tokens", 1],
    ):
        error(run(*verb, "--no-plugin", "another"), HookDenied, "nothing here")
        assert run(*verb, "--no-plugin", "acme-rules").exit_code == 0
    assert run(*captures).exit_code == 0  # the process decides as before


def test_a_model_is_run_where_it_is_said(run, texts, tmp_path, module, plan):
    base = ["--names", "hook_out", "--input", texts, "--out", tmp_path / "out"]
    seen = []

    class Where:
        @hookimpl
        def hookframe_check_device(self, request):
            seen.append((request.purpose, request.device))

    with hookframe.use_plugins(Where()):
        assert run("capture", f"{module}:weighted", *base, "--device", "cpu").exit_code == 0
    assert ("model", "cpu") in seen
    assert (
        run(
            "run-plan",
            plan,
            "demo",
            "--text",
            texts.read_text().splitlines()[0],
            "--max-new-tokens",
            1,
            "--device",
            "cpu",
        ).exit_code
        == 0
    )
    for verb in (["capture", f"{module}:weighted", *base], ["run-plan", plan, "demo", "--text", "the"]):
        for device in ("toaster", "cuda:77"):
            wrong = run(*verb, "--device", device)
            assert wrong.exit_code == 2
            assert f"this machine has no device '{device}'" in wrong.output


def test_inputs_go_where_the_model_is(module):
    opened = open_text_model(f"{module}:weighted", device="meta")
    inputs = opened.encode(["one", "two"])
    assert inputs.arguments["x"].device.type == "meta"
    assert inputs.mask.device.type == "cpu"
    assert opened.root(**inputs.arguments)["out"].device.type == "meta"


def error(result, kind, says):
    assert isinstance(result.exception, kind), result.output
    assert isinstance(result.exception, HookframeError)
    assert says in str(result.exception)


def test_what_a_capture_refuses_before_it_runs(run, texts, tmp_path, module):
    base = ["capture", "demo", "--input", texts, "--out", tmp_path / "out", "--names"]
    error(run(*base, "**", "--max-bytes", "1KB"), CacheTooLarge, "beyond max_bytes=1,000")
    error(run(*base, "blocks.*.hook_nope"), hookframe.UnknownHookPoint, "hook_nope")
    for more in ([], ["--dry-run"]):
        left_out = run(*base, "**.hook_result", *more)
        error(
            left_out,
            CaptureInputError,
            "nothing is captured, as all was left out: 3 points (blocks.0.attn.hook_result, ",
        )
        assert "set model.cfg.use_attn_result = True first" in str(left_out.exception)
    assert not (tmp_path / "out").exists()
    (tmp_path / "odd.txt").write_text("xylophone zebra")
    error(
        run(*base, "**", "--input", tmp_path / "odd.txt"),
        CaptureInputError,
        "'xylophone' is not in the demo vocabulary",
    )

    class Nothing:
        @hookimpl
        def hookframe_check_cache(self, request):
            return [Objection.deny(request, rule="none", message="nothing is cached", remedy="ask")]

    with hookframe.use_plugins(Nothing()):
        error(run(*base, "**", "--dry-run"), HookDenied, "nothing is cached")
        error(run(*base, "**"), HookDenied, "nothing is cached")
    assert not list((tmp_path / "out").glob("shard-*"))


def test_a_model_of_ones_own(run, texts, tmp_path, module):
    base = ["--names", "hook_out", "--input", texts, "--out", tmp_path / "out"]
    assert "10 rows, 120 B of activations" in run("capture", f"{module}:reader", *base).stdout
    judging = ["capture", f"{module}:judging", "--names", "hook_out", "--input", texts, "--out", tmp_path / "judged"]
    error(run(*judging, "--dry-run"), EstimateError, "fails without values")
    error(run(*judging, "--max-bytes", "100"), CacheTooLarge, "shard 0 with 120 bytes")
    wrong = run("capture", f"{module}:nothing", *base)
    assert wrong.exit_code == 2
    assert "is a int: name a hookframe.capture.text_model.TextModel" in wrong.output


def test_a_model_that_transformers_cannot_load_says_so(run, texts, tmp_path, monkeypatch):
    base = ["--names", "hook_out", "--input", texts, "--out", tmp_path / "out"]
    monkeypatch.setitem(sys.modules, "transformers", None)
    error(run("capture", tmp_path / "gone", *base), ModelNotLoaded, "which is not installed")


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_interrupt_says_how_to_go_on(run, texts, tmp_path, monkeypatch):
    from hookframe.capture.job import CaptureJob, Progress

    def stop(self, tell):
        tell(Progress(4, 10))
        raise KeyboardInterrupt

    monkeypatch.setattr(CaptureJob, "run", stop)
    result = run("capture", "demo", "--names", "**", "--input", texts, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert "stopped after 4 rows: call it again to go on" in result.stderr


@pytest.fixture
def plan(tmp_path):
    point = resid_post(0)
    made = HookPlan(
        [
            {"points": point, "operation": "add_vector", "vector": "mood", "coefficient": COEFFICIENT},
            {"points": [point, "hook_embed"], "operation": "capture"},
        ],
        {"mood": mood_vector(load_demo(), count=8)},
        name="brighter",
    )
    made.to_toml(tmp_path / "brighter.toml")
    return tmp_path / "brighter.toml"


def test_a_plan_on_the_demo(run, plan, tmp_path):
    prompt = opening(write_report(4, "gloomy"))
    shown = run("run-plan", plan, "demo", "--dry-run")
    assert shown.exit_code == 0
    assert "HookPlan('brighter', 2 hooks: add_vector, capture), digest sha256:" in shown.output
    assert "  capture at blocks.0.hook_resid_post, hook_embed" in shown.output
    result = run("run-plan", plan, "demo", "--text", prompt, "--max-new-tokens", 30, "--out", tmp_path / "kept")
    assert result.exit_code == 0, result.exception
    without, with_plan = (
        line.split(maxsplit=1)[1]
        for line in result.output.splitlines()
        if line.startswith(("  without  ", "  with     "))
    )
    assert without == continuation(load_demo(), prompt, max_new_tokens=30)
    assert mood_score(with_plan) > mood_score(without)
    kept = ActivationCache.load(tmp_path / "kept")
    assert f"{len(kept)} activations saved in" in result.output
    assert len(kept.steps) > 1


def test_a_plan_on_a_model_that_only_reads(run, tmp_path, texts, module):
    HookPlan([{"points": "hook_out", "operation": "scale", "factor": 0.5}]).to_toml(tmp_path / "half.toml")
    result = run("run-plan", tmp_path / "half.toml", f"{module}:reader", "--input", texts)
    assert result.output.count("its output moved by 50.0% of its norm") == 10


def test_what_run_plan_refuses(run, plan, tmp_path):
    assert "no text to run" in run("run-plan", plan, "demo").output
    taken = run("run-plan", plan, "demo", "--text", "xylophone", "--out", tmp_path)
    assert (taken.exit_code, "exists already: name another directory" in taken.output) == (2, True)
    error(run("run-plan", plan, "demo", "--text", "xylophone"), CaptureInputError, "'xylophone' is not in the demo")
    (tmp_path / "bad.toml").write_text("format = 'other'")
    error(run("run-plan", tmp_path / "bad.toml", "demo", "--dry-run"), InvalidPlan, "format")

    class NoSteering:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            steering = [r for r in requests if r.function.qualname == "AddVector"]
            return [Objection.deny(r, rule="no-steering", message="not steered", remedy="read") for r in steering]

    with hookframe.use_plugins(NoSteering()):
        error(run("run-plan", plan, "demo", "--dry-run"), HookDenied, "not steered")


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("2GiB", 2 << 30), ("1.5 kb", 1500), ("10B", 10), ("1TiB", 1 << 40), (7, 7)],
)
def test_sizes_are_read(text, size):
    assert SIZE.convert(text, None, None) == size


def test_what_is_no_size_says_so(run, texts, tmp_path):
    result = run("capture", "demo", "--names", "x", "--input", texts, "--out", tmp_path, "--max-bytes", "much")
    assert result.exit_code == 2
    assert "'much' is no number of bytes: write 4096, 500MB or 2GiB" in result.output


def test_sizes_are_written():
    assert [human(n) for n in (0, 1023, 1536, 5 << 20, 3 << 40)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 TiB"]
