"""A capture of texts: killed at any moment and gone on with, no row is lost or doubled, in bounded memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import hookframe
from hookframe import CacheTooLarge, CaptureInputError, EstimateError, HookDenied, Objection, hookimpl
from hookframe.capture.job import CaptureJob, Progress
from hookframe.capture.job_estimate import estimate_job
from hookframe.capture.shards import read_facts, write_shard
from hookframe.capture.text_capture import TextCapture
from hookframe.capture.text_model import TextInputs, TextModel, weights_digest
from hookframe.capture.texts import TextFile


def encode(texts):
    rows = [[1 + ord(character) % 19 for character in text] for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return TextInputs({"input_ids": ids, "attention_mask": mask}, mask.bool())


def words(count):
    return ["".join(chr(97 + (row * 7 + place) % 26) for place in range(1 + row * 5 % 9)) for row in range(count)]


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text, "id": row}) + "\n\n" for row, text in enumerate(words(50))))
    return TextFile(file)


@pytest.fixture
def job(decoder, texts, tmp_path):
    def make(**options):
        options = {"batch_size": 4, "shard_bytes": 5000, "out": tmp_path / "out"} | options
        model = TextModel(root=decoder, encode=encode)
        return CaptureJob(
            **{"model": model, "names": ["blocks.*.hook_resid_post", "**.hook_pattern"], "texts": texts} | options
        )

    return make


def shards(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.glob("shard-*"))}


class Stop(Exception):
    pass


def test_every_row_is_there_once_and_right(job, decoder, tmp_path):
    told = []
    done = job().run(told.append)
    assert done.rows == 50
    assert told[0] == Progress(0, 0)
    assert told[-1] == done
    assert len(told) > 4
    capture = TextCapture(tmp_path / "out", verify=True)
    assert capture.complete
    assert len(capture) == 50
    assert [batch.first for batch in capture.batches()] == list(range(0, 50, 4))
    assert sum(batch.cache.nbytes for batch in capture.batches()) == done.nbytes
    rows = list(capture.rows("resid_post", 1))
    for text, row in zip(words(50), rows, strict=True):
        with torch.no_grad():
            _, alone = decoder.run_with_cache(**encode([text]).arguments)
        torch.testing.assert_close(row, alone["resid_post", 1][0])
    assert [len(row) for row in capture.rows("blocks.0.attn.hook_pattern")] == [len(text) for text in words(50)]


@pytest.mark.parametrize("stop", range(4))
@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_capture_that_stopped_goes_on_and_ends_equal(job, tmp_path, stop):
    job(out=tmp_path / "whole").run()

    def tell(progress):
        nonlocal stop
        stop -= 1
        if stop < 0:
            raise Stop

    with pytest.raises(Stop):
        job().run(tell)
    (tmp_path / "out" / "shard-000099.safetensors.part").write_bytes(b"half")
    half = TextCapture(tmp_path / "out")
    assert not half.complete
    assert len(half) == sum(len(batch.mask) for batch in half.batches())
    job().run()
    job().run()  # a complete one stays as it is
    assert shards(tmp_path / "out").keys() - {"shard-000099.safetensors.part"} == shards(tmp_path / "whole").keys()
    for name, content in shards(tmp_path / "whole").items():
        assert (tmp_path / "out" / name).read_bytes() == content


SCRIPT = """
import sys, time
sys.path[:0] = [sys.argv[1]]
import torch
from test_job import *
from conftest import Decoder
torch.set_num_threads(1)
decoder = Decoder().eval()
out = Path(sys.argv[3])
job = CaptureJob(model=TextModel(root=decoder, encode=encode), names=["**"], texts=TextFile(Path(sys.argv[2])), out=out,
                 batch_size=2, shard_bytes=4000)
with hookframe.use_plugins():
    print("go", flush=True)
    job.run(lambda progress: print(progress.rows, flush=True))
print("end", flush=True)
"""


def start(texts, out):
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(texts.path), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.fault("a process that is killed")
def test_a_capture_that_was_killed_goes_on_and_ends_equal(texts, tmp_path):
    whole = start(texts, tmp_path / "whole")
    assert whole.communicate(timeout=120)[0].endswith("50\nend\n")
    for after in (0, 3):  # killed twice, at moments of no meaning
        process = start(texts, tmp_path / "out")
        for _ in range(after + 2):
            process.stdout.readline()
        time.sleep(0.002 * after)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        assert not TextCapture(tmp_path / "out").complete
    assert start(texts, tmp_path / "out").communicate(timeout=120)[0].endswith("50\nend\n")
    assert TextCapture(tmp_path / "out", verify=True).complete
    assert {n: b for n, b in shards(tmp_path / "out").items() if not n.endswith(".part")} == shards(tmp_path / "whole")


def test_two_processes_cannot_write_to_one_directory(job, texts, tmp_path):
    process = start(texts, tmp_path / "out")
    for _ in range(2):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(CaptureInputError, match="another process is capturing to"):
            job().run()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


def test_what_differs_from_the_capture_that_is_there_is_named(job, tmp_path, decoder):
    job().run()
    with pytest.raises(CaptureInputError, match="differs in points, batch_size: capture to another directory"):
        job(names=["hook_embed"], batch_size=8).run()
    with torch.no_grad():
        decoder.blocks[2].mlp[0].weight[-1, -1] += 1
    with pytest.raises(CaptureInputError, match="differs in weights:"):
        job().run()
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "a"}\n')
    with pytest.raises(CaptureInputError, match="differs in weights, texts_digest, rows:"):
        job(texts=TextFile(other)).run()


def test_weights_are_told_apart_whatever_holds_them(decoder):
    before = weights_digest(decoder)
    assert weights_digest(type(decoder)().eval()) == before
    decoder.blocks[0].attn.q.weight.data[0, 0] += 1
    assert weights_digest(decoder) != before


def test_shards_that_do_not_belong_together_are_refused(job, tmp_path):
    job().run()
    job(out=tmp_path / "other", batch_size=2).run()
    out = tmp_path / "out"
    second = out / "shard-000001.safetensors"
    whole = second.read_bytes()
    second.write_bytes((tmp_path / "other" / second.name).read_bytes())
    with pytest.raises(CaptureInputError, match="shard of another capture"):
        TextCapture(out)
    second.unlink()
    with pytest.raises(CaptureInputError, match="is missing, and later shards are there"):
        job().run()
    second.write_bytes(whole[:-100])
    with pytest.raises(hookframe.CacheFileError, match="cannot be read"):
        TextCapture(out)
    second.write_bytes(whole)
    TextCapture(out, verify=True)
    last = sorted(out.glob("shard-*"))[-1]
    last.unlink()
    with pytest.raises(CaptureInputError, match="has not the shards that its manifest lists"):
        TextCapture(out)


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_shard_that_was_changed_is_found_when_asked_for(job, tmp_path):
    job().run()
    path = tmp_path / "out" / "shard-000000.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    TextCapture(tmp_path / "out")
    with pytest.raises(CaptureInputError, match="is not the file that was written"):
        TextCapture(tmp_path / "out", verify=True)


@pytest.mark.found("a link in place of a shard of a capture led to a file elsewhere")
def test_no_link_leads_out_of_a_capture(job, tmp_path):
    job().run()
    shard = tmp_path / "out" / "shard-000000.safetensors"
    shard.rename(tmp_path / "elsewhere")
    shard.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CaptureInputError, match="is not a plain file in its own directory"):
        TextCapture(tmp_path / "out")


@pytest.mark.found("tensors of other names in a shard of a capture were a bare ValueError or KeyError")
@pytest.mark.parametrize(
    ("names", "says"), [(("a",), "end in the number of a row"), (("a/000000000",), "which tokens of row 0 are padding")]
)
def test_tensors_that_are_no_activations_are_named(job, tmp_path, names, says):
    job().run()
    shard = tmp_path / "out" / "shard-000000.safetensors"
    write_shard(shard, {name: torch.ones(1) for name in names}, read_facts(shard))
    with pytest.raises(CaptureInputError, match=says):
        list(TextCapture(tmp_path / "out").batches())


def test_other_peoples_tensors_are_left_alone(job, tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "out").mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "out" / "shard-000000.safetensors")
    with pytest.raises(CaptureInputError, match="holds other tensors"):
        job().run()
    (tmp_path / "file").write_text("")
    with pytest.raises(hookframe.CacheFileError, match="cannot be written"):
        job(out=tmp_path / "file").run()


def test_a_foreign_shard_in_a_capture_is_named(job, tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(Stop):
        job().run(lambda progress: (_ for _ in ()).throw(Stop))
    save_file({"a": torch.ones(1)}, tmp_path / "out" / "shard-000000.safetensors")
    with pytest.raises(CaptureInputError, match="is no shard of a capture"):
        job().run()


def test_admission_refuses_before_anything_runs(job, tmp_path):
    class NoPatterns:
        @hookimpl
        def hookframe_check_cache(self, request):
            if any("pattern" in name for name in request.points):
                return [Objection.deny(request, rule="no-patterns", message="not those", remedy="others")]

    with hookframe.use_plugins(NoPatterns()):
        with pytest.raises(HookDenied, match="not those"):
            job().run()
        with pytest.raises(HookDenied, match="not those"):
            estimate_job(job())
    assert shards(tmp_path / "out") == {}


def test_a_refusal_of_the_run_keeps_its_shard_from_the_disk(job, tmp_path):
    seen = []

    class Enough:
        @hookimpl
        def hookframe_check_run(self, request):
            seen.append(request.bytes_cached)
            if len(seen) > 2:
                return [Objection.deny(request, rule="enough", message="enough", remedy="stop")]

    with hookframe.use_plugins(Enough()), pytest.raises(HookDenied, match="enough"):
        job().run()
    assert len(shards(tmp_path / "out")) == 2
    assert all(size >= 5000 for size in seen)


def test_max_bytes_holds_while_shards_are_written(job, tmp_path):
    with pytest.raises(CacheTooLarge, match="shard 2 with"):
        job(max_bytes=15_000).run()
    assert len(shards(tmp_path / "out")) == 2


def test_an_estimate_is_what_is_then_written(job):
    estimate = estimate_job(job())
    done = job().run()
    assert (estimate.nbytes, estimate.rows, estimate.batches) == (done.nbytes, 50, 13)
    assert len(estimate.points) == 6


def test_an_estimate_of_many_lengths_follows_from_some(job, tmp_path):
    file = tmp_path / "many.txt"
    file.write_text("\n".join("x" * length for length in range(1, 61)))
    job = job(texts=TextFile(file), batch_size=1)
    assert estimate_job(job).nbytes == job.run().nbytes


def test_bytes_that_do_not_follow_from_lengths_are_not_guessed(job, tmp_path):
    class Odd(hookframe.HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_out = hookframe.HookPoint()
            self.setup()

        def forward(self, input_ids, attention_mask):
            return self.hook_out(input_ids if input_ids.shape[1] % 2 else input_ids.repeat(1, 50))

    file = tmp_path / "many.txt"
    file.write_text("\n".join("x" * length for length in range(1, 61)))
    model = TextModel(root=Odd(), encode=encode)
    with pytest.raises(EstimateError, match="do not follow from the lengths"):
        estimate_job(job(model=model, names=["hook_out"], texts=TextFile(file), batch_size=1))


def test_arguments_of_another_shape_are_not_guessed(job):
    def with_more(texts):
        inputs = encode(texts)
        return TextInputs({"x": torch.ones(3), "flag": True, **inputs.arguments}, inputs.mask)

    with pytest.raises(EstimateError, match=r"argument 'x' has shape \[3\]"):
        estimate_job(job(model=TextModel(root=job().model.root, encode=with_more)))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "holds no text"),
        ("a.txt", b"\n \n", "holds no text"),
        ("a.txt", b"fine\n\xff\n", "line 2: 'utf-8' codec"),
        ("a.txt", b"x" * (1 << 21), "line 1: longer than 1,048,576 bytes"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2: no text in field 'text'"),
        ("a.jsonl", b'{"body": "a"}\n', "line 1: no text in field 'text'"),
        ("a.jsonl", b'{"text": \n', "line 1: Expecting value"),
        ("a.jsonl", b"[" * 100_000, "line 1: "),
    ],
)
def test_texts_that_cannot_be_used_are_named_before_anything_runs(job, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaptureInputError, match=says):
        job(texts=TextFile(tmp_path / name)).run()
    assert not (tmp_path / "out").exists()


def test_texts_that_are_not_there(tmp_path):
    with pytest.raises(CaptureInputError, match="cannot be read: No such file"):
        TextFile(tmp_path / "gone.txt").survey()


def test_rows_of_texts(tmp_path):
    (tmp_path / "a.txt").write_bytes("eins\r\n\n  zwei \nän\n".encode())
    assert list(TextFile(tmp_path / "a.txt").rows()) == ["eins", "  zwei ", "än"]
    (tmp_path / "a.jsonl").write_text('"eins"\n{"body": "zwei"}\n')
    file = TextFile(tmp_path / "a.jsonl", "body")
    assert list(file.rows(1)) == ["zwei"]
    assert file.survey().rows == 2
    assert list(file.batches(1)) == [["eins"], ["zwei"]]


def test_texts_that_shrink_while_they_are_read_are_noticed(job, texts):
    def cut(progress):
        if progress.rows:
            texts.path.write_text("")

    lines = texts.path.read_text()
    texts.path.write_text(lines * 50)
    with pytest.raises(CaptureInputError, match=r"was changed while it was read|line \d+: "):
        job().run(cut)


def test_an_encoding_that_loses_rows_is_noticed(job, decoder):
    with pytest.raises(CaptureInputError, match="encode made 3 rows of 4 texts"):
        job(model=TextModel(root=decoder, encode=lambda texts: encode(texts[1:]))).run()


def test_a_model_that_runs_twice_for_a_batch_is_noticed(job, decoder):
    class Twice(type(decoder)):
        def __call__(self, **arguments):
            super().__call__(**arguments)
            return super().__call__(**arguments)

    with pytest.raises(CaptureInputError, match="calls of the model ran"):
        job(model=TextModel(root=Twice(), encode=encode)).run()
