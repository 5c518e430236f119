"""What a hook returns at a point with a ``hook_conversion``: it has to fit what the hook saw, or the activation once reverted."""

from __future__ import annotations

import pytest
import torch

from hookframe import HookPoint, HookReturnError, guarded

X = torch.arange(6.0).reshape(2, 3)


class ApartOnDemand:
    """Leaves what the hook sees alone, and takes both layouts back: ``[row, 3]`` and ``[row, 3, 1]``."""

    def convert(self, tensor):
        return tensor

    def revert(self, tensor):
        return tensor.reshape(2, 3)


class Apart(ApartOnDemand):
    """``[row, 3]`` → ``[row, 3, 1]``."""

    def convert(self, tensor):
        return tensor[..., None]


class OneWay(Apart):
    """As :class:`Apart`, but what comes back stays as it is."""

    def revert(self, tensor):
        return tensor


def attached(conversion, function, **options):
    point = HookPoint()
    point.hook_conversion = conversion
    point.add_hook(function, **options)
    return point


WAYS = {
    "plain": lambda function: function,
    "norm is checked": guarded(norm_ratio=1e6),
}


@pytest.mark.parametrize("aliases", [None, ["a"], ["a", "b"]])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("conversion", "returned"),
    [
        (ApartOnDemand(), lambda t: t * 2),
        (ApartOnDemand(), lambda t: t.reshape(2, 3, 1) * 2),  # the converted form, which the hook did not see
        (Apart(), lambda t: t * 2),
        (Apart(), lambda t: t.reshape(2, 3) * 2),  # the model's form, which revert takes as well
        (Apart(), lambda t: t.reshape(6) * 2),
    ],
)
def test_what_fits_before_or_after_it_is_reverted_is_taken(conversion, returned, way, aliases):
    function = WAYS[way](lambda tensor, hook: returned(tensor) if hook.name in (None, "a") else None)
    point = attached(conversion, function, alias_names=aliases)
    assert point(X).equal(X * 2)


def test_what_fits_before_alone_is_taken():
    assert attached(OneWay(), lambda tensor, hook: tensor * 2)(X).equal(X[..., None] * 2)


@pytest.mark.parametrize("aliases", [None, ["a"]])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("conversion", "returned", "says"),
    [
        (Apart(), lambda t: t[:1], r"shape \[1, 3, 1\] .* in place of \[2, 3, 1\]"),  # reshape fails on it
        (OneWay(), lambda t: t[:1], r"shape \[1, 3, 1\] .* in place of \[2, 3, 1\]"),
        (Apart(), lambda t: t.double(), "dtype torch.float64"),
        (Apart(), lambda t: "no tensor", "returned a builtins.str"),
    ],
)
def test_what_fits_neither_is_refused_in_the_words_of_what_the_hook_saw(conversion, returned, says, way, aliases):
    point = attached(conversion, WAYS[way](lambda tensor, hook: returned(tensor)), alias_names=aliases)
    with pytest.raises(HookReturnError, match=says):
        point(X)


def test_what_is_no_tensor_before_it_is_reverted_can_fit():
    class Listed(ApartOnDemand):
        def revert(self, tensor):
            return torch.tensor(tensor)

    assert attached(Listed(), lambda tensor, hook: (tensor * 2).tolist())(X).equal(X * 2)


@pytest.mark.parametrize(
    ("conversion", "returned"), [(Apart(), lambda g: g * 2), (ApartOnDemand(), lambda g: g.reshape(2, 3, 1) * 2)]
)
def test_a_gradient_has_to_fit_once_it_is_reverted(conversion, returned):
    x = X.clone().requires_grad_()
    attached(conversion, lambda gradient, hook: returned(gradient), dir="bwd")(x).sum().backward()
    assert x.grad.equal(torch.full_like(x, 2))
