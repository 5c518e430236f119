"""Training: deterministic, and it learns."""

from dataclasses import replace

import pytest
import torch

from benchmarks.demo_model import train
from hookframe.demo.grammar import encode, write_reports
from hookframe.demo.model import DemoTransformer
from hookframe.demo.weights import write_weights

SHORT = train.Settings(steps=12, batch_size=8, warmup=3)


@pytest.fixture(scope="module")
def short():
    return train.train(SHORT)


def test_training_twice_gives_the_same_weights(short, tmp_path):
    path = tmp_path / "weights.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(123)  # what the caller drew before makes no difference
        write_weights(path, train.train(SHORT).state_dict(), {})
    assert train.largest_difference(short, path) == 0.0


def test_another_seed_gives_other_weights(short, tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, train.train(replace(SHORT, seed=1)).state_dict(), {})
    assert train.largest_difference(short, path) > 0.01


def test_a_few_steps_lower_the_loss(short):
    untrained = DemoTransformer(short.cfg).eval()
    assert train.held_out_loss(short, count=32) < train.held_out_loss(untrained, count=32) - 1.0


@pytest.fixture
def other_settings():
    """Other settings of torch than training wants, for one test."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


@pytest.mark.usefixtures("other_settings")
def test_training_leaves_torchs_settings_alone():
    drawn = torch.get_rng_state()
    train.train(replace(SHORT, steps=1))
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_batch_pairs_each_token_with_the_next_and_ignores_the_padding():
    reports = sorted(write_reports(4, seed=1), key=lambda report: len(encode(report)))
    tokens, targets = train.batch_of(reports, reports)
    row, length = encode(reports[0], end=True), len(encode(reports[0]))
    assert tokens[0, :length].tolist() == row[:-1]
    assert targets[0, :length].tolist() == row[1:]
    assert (targets[0, length:] == -100).all()
    assert length < targets.shape[1] == len(encode(reports[-1]))


@pytest.fixture
def quick(monkeypatch):
    """Make ``main`` train for a moment."""
    monkeypatch.setattr(train, "Settings", lambda: SHORT)


def test_the_command_writes_a_file_that_its_own_check_accepts(quick, tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    assert train.main(["--out", str(path)]) == 0
    written = path.read_bytes()
    assert train.main(["--out", str(path), "--check"]) == 0
    assert "largest difference 0.00e+00" in capsys.readouterr().out
    assert path.read_bytes() == written


def test_the_check_fails_on_other_weights(quick, short, tmp_path):
    path = tmp_path / "weights.safetensors"
    weights = {name: tensor.clone() for name, tensor in short.state_dict().items()}
    weights["unembed.b_U"][3] += 2 * train.TOLERANCE
    write_weights(path, weights, {})
    assert train.main(["--out", str(path), "--check"]) == 1
