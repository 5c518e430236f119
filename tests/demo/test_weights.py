"""The weights that ship: how good they are, what they say of themselves, and how they are read and written."""

from pathlib import Path

import pytest
import torch

from benchmarks.demo_model import train
from hookframe.demo import grammar
from hookframe.demo.grammar import write_reports
from hookframe.demo.model import load_demo
from hookframe.demo.weights import check_vocabulary, read_weights, write_weights

FRESH_SEED = 800_011  # nothing else draws from it


def test_the_loss_on_fresh_reports_is_low(shipped):
    reports = write_reports(256, seed=FRESH_SEED)
    with torch.no_grad():
        loss = train.loss_on(shipped, reports, reports)
    assert float(loss) < 0.75  # measured: see the file's metadata; an untrained model has 6.6


def test_the_file_tells_the_truth_about_itself(shipped):
    _, metadata = read_weights(train.WEIGHTS)
    assert train.held_out_loss(shipped) == pytest.approx(float(metadata["held_out_loss"]), abs=1e-3)
    assert int(metadata["parameters"]) == sum(parameter.numel() for parameter in shipped.parameters())
    assert int(metadata["steps"]) == train.Settings().steps
    assert int(metadata["seed"]) == train.Settings().seed
    assert metadata["vocabulary"] == grammar.vocabulary_digest()


def test_the_file_is_small():
    assert train.WEIGHTS.stat().st_size < 1_500_000


def test_weights_come_back_in_half_precision(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"a": torch.tensor([[1.0, 0.1]]).T}, {"steps": "3"})
    weights, metadata = read_weights(path)
    assert torch.equal(weights["a"], torch.tensor([[1.0], [0.1]]).half())
    assert metadata == {"steps": "3", "vocabulary": grammar.vocabulary_digest()}


def test_weights_for_another_vocabulary_are_refused():
    check_vocabulary({"vocabulary": grammar.vocabulary_digest()})
    with pytest.raises(ValueError, match=r"another vocabulary.*run python -m benchmarks.demo_model\.train"):
        check_vocabulary({"vocabulary": "0" * 64})


def test_the_model_does_not_load_with_another_vocabulary(monkeypatch):
    monkeypatch.setattr("hookframe.demo.weights.vocabulary_digest", lambda: "0" * 64)
    with pytest.raises(ValueError, match="another vocabulary"):
        load_demo()
