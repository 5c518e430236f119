"""Options of hookframe's that are misspelt, or another verb's, are no keywords for a model that takes any."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint

POINT = "first.hook_out"


class Lenient(nn.Module):
    """As Hugging Face's models: what it has no parameter for it passes on, or forgets."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.seen = {}

    def forward(self, x, labels=None, device=None, **kwargs):
        self.seen = kwargs
        return self.first(x)


class Rooted(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.first = HookPoint()
        self.setup()

    def forward(self, x, **kwargs):
        return self.first(x)


class Stricter(Rooted):
    """A subclass with an option of its own."""

    def run_with_cache(self, *args, flatten=False, **kwargs):
        return super().run_with_cache(*args, **kwargs)


class Truncated(Rooted):
    """As TransformerLens's models: some of its options are parameters here."""

    def forward(self, x, return_type=None, stop_at_layer=None):
        return x if stop_at_layer == 0 else self.first(x)


class PassingToTruncated(Truncated):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


@pytest.fixture
def hooked():
    return hookframe.instrument(Lenient())


X = torch.ones(1, 3)

MISTAKES = [
    ("run_with_cache", "name_filter", "did you mean 'names_filter'"),
    ("run_with_cache", "name_filters", "did you mean 'names_filter'"),
    ("run_with_cache", "incl_bwds", "did you mean 'incl_bwd'"),
    ("run_with_cache", "pos_slices", "did you mean 'pos_slice'"),
    ("run_with_cache", "max_bytes", "it is an option of capture;"),
    ("run_with_cache", "spill", "it is an option of capture;"),
    ("run_with_cache", "names", "it is an option of capture;"),
    ("run_with_cache", "fwd_hooks", "it is an option of run_with_hooks and hooks;"),
    ("run_with_cache", "bwd_hooks", "it is an option of run_with_hooks and hooks;"),
    ("run_with_hooks", "fwd_hook", "did you mean 'fwd_hooks'"),
    ("run_with_hooks", "bwd_hook", "did you mean 'bwd_hooks'"),
    ("run_with_hooks", "reset_hook_end", "did you mean 'reset_hooks_end'"),
    ("run_with_hooks", "names_filter", "it is an option of run_with_cache;"),
    ("run_with_hooks", "clone", "it is an option of run_with_cache and capture;"),
]


@pytest.mark.parametrize(("verb", "keyword", "says"), MISTAKES)
def test_an_option_in_the_wrong_place_is_refused_before_the_model_runs(hooked, verb, keyword, says):
    hooked.wrapped.first.register_forward_hook(lambda *_: pytest.fail("the model ran"))
    with pytest.raises(TypeError, match=f"{verb} has no option '{keyword}', and Lenient.forward no parameter.*{says}"):
        getattr(hooked, verb)(X, **{keyword: None})


@pytest.mark.parametrize("verb", ["run_with_cache", "run_with_hooks"])
def test_a_model_with_hook_points_of_its_own(verb):
    with pytest.raises(TypeError, match=f"{verb} has no option 'spill', and Rooted.forward"):
        getattr(Rooted(), verb)(X, spill="here")


def test_what_the_model_takes_goes_to_the_model(hooked):
    others = dict.fromkeys(
        ["score", "slope", "scale", "close", "mode", "position_ids", "use_cache", "cache", "num_items_in_batch"], 1
    )
    hooked.run_with_hooks(
        X, labels=X, device="cpu", **others
    )  # device is an option of another verb, and a parameter here
    assert hooked.wrapped.seen == others
    hooked.run_with_cache(X, labels=X, **others)
    assert hooked.wrapped.seen == others


def test_an_option_that_the_verb_has_is_its_own(hooked):
    assert list(hooked.run_with_cache(X, names_filter=POINT, clone="always", scope="context")[1]) == [POINT]


def test_a_forward_that_was_wrapped_on_the_instance(hooked):
    def forward(x, spill=None, **kwargs):
        return x

    hooked.wrapped.forward = functools.wraps(forward)(lambda *args, **kwargs: forward(*args, **kwargs))
    hooked.run_with_hooks(X, spill="here")
    with pytest.raises(TypeError, match="'max_bytes'"):
        hooked.run_with_hooks(X, max_bytes=1)


def test_a_forward_that_nobody_can_read(hooked):
    hooked.wrapped.forward = map  # a type without a signature
    with pytest.raises(TypeError, match="'max_bytes'"):
        hooked.run_with_hooks(X, max_bytes=1)


def test_a_subclass_that_has_more_options():
    model = Stricter()
    assert list(model.run_with_cache(X, flatten=True, names_filter="first")[1]) == ["first"]
    with pytest.raises(TypeError, match="did you mean 'flatten'"):
        model.run_with_cache(X, flaten=True)
    with pytest.raises(TypeError, match="did you mean 'names_filter'"):
        model.run_with_cache(X, name_filter="first")


TRANSFORMERLENS = (
    "stop_at_layer",
    "start_at_layer",
    "return_type",
    "return_cache_object",
    "prepend_bos",
    "loss_per_token",
)


@pytest.mark.parametrize("keyword", TRANSFORMERLENS)
@pytest.mark.parametrize("verb", ["run_with_cache", "run_with_hooks"])
@pytest.mark.parametrize("make", [lambda: hookframe.instrument(Lenient()), Rooted], ids=["instrumented", "rooted"])
def test_an_option_of_transformerlens_is_refused_before_the_model_runs(make, verb, keyword):
    model = make()
    model.register_forward_pre_hook(lambda *_: pytest.fail("the model ran"))
    with pytest.raises(
        TypeError, match=f"no option '{keyword}'.*option of TransformerLens that hookframe does not have"
    ):
        getattr(model, verb)(X, **{keyword: 1})


@pytest.mark.parametrize("kind", [Truncated, PassingToTruncated])
def test_an_option_of_transformerlens_that_the_model_has_is_the_models(kind):
    assert kind().run_with_hooks(X, stop_at_layer=0, return_type="logits") is X
    assert [*kind().run_with_cache(X, stop_at_layer=1)[1]] == ["first"]
