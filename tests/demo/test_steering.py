"""Steering: it turns the mood, in both directions, and the text stays fluent."""

import pytest
import torch

from benchmarks.demo_model.turning import main, prompts, turning
from hookframe.demo import steering
from hookframe.demo.grammar import is_sentence, sentences

PROMPTS = 50


@pytest.fixture(scope="module")
def vector(shipped):
    return steering.mood_vector(shipped)


@pytest.fixture(scope="module")
def measured(shipped, vector):
    """What became of bright and of gloomy prompts, left alone and steered."""
    signs = {"bright": -1.0, "gloomy": 1.0}
    return {
        (mood, steered): turning(shipped, mood, vector, steered * sign * steering.COEFFICIENT, count=PROMPTS)
        for mood, sign in signs.items()
        for steered in (False, True)
    }


def test_the_model_keeps_the_mood_of_a_prompt(measured):
    assert measured["bright", False].bright >= 0.9
    assert measured["gloomy", False].gloomy >= 0.9


def test_steering_turns_bright_prompts_gloomy(measured):
    assert measured["bright", True].count >= 50
    assert measured["bright", True].gloomy >= 0.9


def test_steering_turns_gloomy_prompts_bright(measured):
    assert measured["gloomy", True].count >= 50
    assert measured["gloomy", True].bright >= 0.9


def test_steered_text_stays_fluent(measured):
    assert min(found.fluent for found in measured.values()) >= 0.9


def test_steered_texts_are_not_all_the_same(measured):
    assert min(found.distinct for found in measured.values()) >= 0.9


def test_a_vector_of_the_same_length_without_direction_does_not_turn_the_mood(shipped, vector):
    noise = torch.randn(vector.shape, generator=torch.Generator().manual_seed(0))
    noise *= vector.norm() / noise.norm()
    assert turning(shipped, "bright", noise, -steering.COEFFICIENT, count=20).gloomy <= 0.3


def test_the_model_is_left_without_hooks(shipped, measured):
    assert not shipped.list_hooks()


def test_the_vector_is_a_difference_of_means_at_one_layer(shipped, vector):
    assert vector.shape == (shipped.cfg.d_model,)
    assert not vector.requires_grad
    assert not torch.allclose(vector, steering.mood_vector(shipped, 1))


def test_the_hook_adds_the_vector_everywhere_and_leaves_its_argument_alone(shipped):
    activation, vector = torch.zeros(2, 3, 4), torch.arange(4.0)
    steered = steering.steering_hook(vector, -2.0)(activation, hook=shipped.hook_embed)
    assert torch.equal(steered, torch.tensor([0.0, -2.0, -4.0, -6.0]).expand(2, 3, 4))
    assert activation.count_nonzero() == 0


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("It was a sunny morning.", 1.0),
        ("It was a grey morning.", 0.0),
        ("The sunny train left late.", 0.5),
        ("Sunny, sunny, sunny, grey.", 0.75),
        ("The train left.", 0.5),
    ],
)
def test_the_score_is_the_share_of_bright_words(text, score):
    assert steering.mood_score(text) == score


def test_a_continuation_leaves_out_its_prompt(shipped):
    prompt = prompts("bright", 1)[0]
    text = steering.continuation(shipped, prompt)
    assert not text.startswith(prompt)
    assert all(is_sentence(sentence) for sentence in sentences(text))


def test_the_command_prints_a_line_for_each_case(capsys):
    assert main(["--count", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("count=2" in line for line in lines)
