"""Backward hooks in models that do what models do: edit in place, use tensors twice, recompute."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from hookframe import GradientError, HookDidNotFireWarning, HookedRootModule, HookPoint


def watched(**attributes):
    """A point, and the list of gradients that its backward hook gets."""
    point, seen = HookPoint(), []
    for name, value in attributes.items():
        setattr(point, name, value)
    point.add_hook(lambda gradient, hook: seen.append(gradient.detach().clone().tolist()), "bwd")
    return point, seen


def leaf(*values):
    return torch.tensor(values or (1.0, -2.0, 3.0), requires_grad=True)


# ---- with respect to the point's output ------------------------------------------------------------------------------


def test_other_users_of_the_tensor_that_went_in_are_not_in_the_gradient():
    point, seen = watched()
    x = leaf()
    h = x * 1
    (point(h) * 2 + h * 3).sum().backward()
    assert seen == [[2, 2, 2]]
    assert x.grad.tolist() == [5, 5, 5]


def test_a_replaced_gradient_leaves_the_other_users_of_the_tensor_alone():
    point = HookPoint()
    point.add_hook(lambda gradient, hook: gradient * 100, "bwd")
    x = leaf()
    h = x * 1
    (point(h) * 2 + h * 3).sum().backward()
    assert x.grad.tolist() == [203, 203, 203]


def test_all_users_of_the_points_output_are_in_the_gradient_at_once():
    point, seen = watched()
    y = point(leaf())
    (y * 2 + y * 3).sum().backward()
    assert seen == [[5, 5, 5]]


def test_the_gradient_is_that_of_what_the_forward_hooks_made():
    point, seen = watched()
    point.add_hook(lambda tensor, hook: tensor * 2)
    x = leaf()
    (point(x) * 3).sum().backward()
    assert seen == [[3, 3, 3]]
    assert x.grad.tolist() == [6, 6, 6]


def test_a_forward_hook_that_cuts_the_graph_and_grows_a_new_one_is_followed():
    point, seen = watched()
    fresh = leaf(5.0, 5.0, 5.0)
    point.add_hook(lambda tensor, hook: fresh * 1)
    (point(leaf()) * 3).sum().backward()
    assert seen == [[3, 3, 3]]
    assert fresh.grad.tolist() == [3, 3, 3]


def test_a_leaf_can_go_straight_in():
    point, seen = watched()
    x = leaf()
    (point(x) * x.detach()).sum().backward()
    assert seen == [[1, -2, 3]]
    assert x.grad.tolist() == [1, -2, 3]


def test_a_point_that_runs_twice_calls_its_function_once_for_each_in_reverse():
    point, seen = watched()
    y = point(leaf())
    (point(y * 2) * 3).sum().backward()
    assert seen == [[3, 3, 3], [6, 6, 6]]


def test_a_second_backward_pass_over_a_kept_graph_calls_the_function_again():
    point, seen = watched()
    loss = (point(leaf()) * 2).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert seen == [[2, 2, 2]] * 2


def test_a_point_whose_output_is_not_used_calls_nothing():
    point, seen = watched()
    x = leaf()
    point(x * 1)
    x.sum().backward()
    assert seen == []


def test_second_derivatives_pass_through_a_point_with_a_backward_hook():
    point, _ = watched()
    x = leaf()
    [first] = torch.autograd.grad((point(x) ** 3).sum(), x, create_graph=True)
    [second] = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, 6 * x.detach())


def test_autograd_grad_calls_backward_hooks_as_backward_does():
    point = HookPoint()
    point.add_hook(lambda gradient, hook: gradient * 10, "bwd")
    x = leaf()
    [gradient] = torch.autograd.grad((point(x) * 2).sum(), x)
    assert gradient.tolist() == [20, 20, 20]


def test_the_values_are_the_same_with_and_without_a_backward_hook(model, x):
    plain = model(x, loss=True)
    plain.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with model.hooks(bwd_hooks=[(lambda name: True, lambda gradient, hook: None)]):
        loss = model(x, loss=True)
        loss.backward()
    assert loss.equal(plain)
    assert all(p.grad.equal(before) for p, before in zip(model.parameters(), expected, strict=True))


# ---- operations in place ---------------------------------------------------------------------------------------------


def relu_(y):
    return y.relu_()


def add_in_place(y):
    y += 10
    return y


def multiply_in_place(y):
    y *= torch.tensor([2.0, 3.0, 4.0])
    return y


def assign_to_slice(y):
    y[1:] = 0
    return y


in_place = pytest.mark.parametrize(
    ("edit", "gradient"),
    [
        (relu_, [2, 0, 2]),
        (add_in_place, [2, 2, 2]),
        (multiply_in_place, [4, 6, 8]),
        (assign_to_slice, [2, 0, 0]),
    ],
)


@in_place
def test_an_operation_in_place_after_the_point_works(edit, gradient):
    point, seen = watched()
    x = leaf()
    y = edit(point(x * 1))
    (y * 2).sum().backward()
    assert seen == [gradient]
    assert x.grad.tolist() == gradient
    assert y.tolist() == edit(torch.tensor([1.0, -2.0, 3.0])).tolist()


@in_place
def test_a_replaced_gradient_flows_on_from_before_the_operation_in_place(edit, gradient):
    point = HookPoint()
    point.add_hook(lambda gradient, hook: gradient * 10, "bwd")
    x = leaf()
    (edit(point(x * 1)) * 2).sum().backward()
    assert x.grad.tolist() == [10 * g for g in gradient]


@in_place
def test_a_forward_hook_that_edits_in_place_works_on_a_point_with_a_backward_hook(edit, gradient):
    point, seen = watched()

    def forward(tensor, hook):
        edit(tensor)

    point.add_hook(forward)
    x = leaf()
    y = point(x * 1)
    (y * 2).sum().backward()
    assert y.tolist() == edit(torch.tensor([1.0, -2.0, 3.0])).tolist()
    assert seen == [[2, 2, 2]]
    assert x.grad.tolist() == gradient


def test_an_operation_in_place_before_the_point_works():
    point, seen = watched()
    h = leaf() * 1
    h += 1
    (point(h) * 2).sum().backward()
    assert seen == [[2, 2, 2]]


# ---- views -----------------------------------------------------------------------------------------------------------


def test_one_part_of_a_chunked_tensor_has_its_own_gradient():
    point, seen = watched()
    x = leaf(1.0, 2.0, 3.0, 4.0)
    left, right = (x * 1).chunk(2)
    (point(left) * right).sum().backward()
    assert seen == [[3, 4]]
    assert x.grad.tolist() == [3, 4, 1, 2]


def test_a_gradient_replaced_at_one_part_of_a_chunked_tensor_stays_there():
    point = HookPoint()
    point.add_hook(lambda gradient, hook: gradient * 0, "bwd")
    x = leaf(1.0, 2.0, 3.0, 4.0)
    left, right = (x * 1).chunk(2)
    (point(left) * right).sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("view", [lambda t: t.unsqueeze(0)[0], lambda t: t.reshape(3, 1)[:, 0], lambda t: t[:]])
def test_an_operation_in_place_on_the_output_of_a_point_that_was_given_a_view_works(view):
    point, seen = watched()
    x = leaf()
    y = point(view(x * 1))
    y += 1
    (y * 2).sum().backward()
    assert seen == [[2, 2, 2]]
    assert x.grad.tolist() == [2, 2, 2]


def test_a_view_of_the_output_can_be_edited_in_place():
    point, seen = watched()
    x = leaf()
    y = point(x * 1)
    y.view(3, 1)[0] = 7
    (y * 2).sum().backward()
    assert y.tolist() == [7, -2, 3]
    assert seen == [[0, 2, 2]]
    assert x.grad.tolist() == [0, 2, 2]


def test_both_parts_of_a_chunked_tensor_can_pass_points_with_backward_hooks():
    (one, first), (other, second) = watched(), watched()
    x = leaf(1.0, 2.0, 3.0, 4.0)
    left, right = (x * 1).chunk(2)
    (one(left) * 2 + other(right) * 3).sum().backward()
    assert (first, second) == ([[2, 2]], [[3, 3]])
    assert x.grad.tolist() == [2, 2, 3, 3]


@in_place
def test_an_operation_in_place_works_while_the_tensor_that_went_in_is_still_held(edit, gradient):
    point, seen = watched()
    x = leaf()
    h = x * 1
    y = edit(point(h))
    (y * 2).sum().backward()
    assert seen == [gradient]
    assert x.grad.tolist() == gradient
    assert h.tolist() == y.tolist()


@in_place
def test_an_operation_in_place_between_two_points_works(edit, gradient):
    (one, first), (other, second) = watched(), watched()
    x = leaf()
    (other(edit(one(x * 1))) * 2).sum().backward()
    assert (first, second) == ([gradient], [[2, 2, 2]])
    assert x.grad.tolist() == gradient


@pytest.mark.parametrize("parts", [("q",), ("k", "v"), ("q", "k", "v")], ids=", ".join)
@pytest.mark.parametrize("split", ["chunk", "split", "select"])
def test_parts_of_one_projection_can_be_edited_in_place_after_points_with_backward_hooks(parts, split):
    def run(points):
        torch.manual_seed(0)
        linear, x = torch.nn.Linear(4, 12), torch.randn(2, 5, 4, requires_grad=True)
        projected = linear(x)
        if split == "select":
            cut = projected.view(2, 5, 3, 4).unbind(2)
        else:
            cut = projected.chunk(3, dim=-1) if split == "chunk" else projected.split(4, dim=-1)
        q, k, v = (points[name](part.clone() if name in "qk" else part) for name, part in zip("qkv", cut, strict=True))
        for part in (q, k):  # as rotary embeddings written in place do
            part[..., :2] *= 3
        ((q * k).tanh() + v).square().sum().backward()
        return [x.grad, linear.weight.grad, linear.bias.grad]

    points, calls = {name: HookPoint() for name in "qkv"}, []
    plain = run(points)
    for name in parts:
        points[name].add_hook(lambda gradient, hook, name=name: calls.append(name), "bwd")
    for gradient, expected in zip(run(points), plain, strict=True):
        torch.testing.assert_close(gradient, expected)
    assert sorted(calls) == sorted(parts)


@pytest.mark.parametrize("hooked", [(), (0,), (1,), (0, 1)], ids=str)
def test_a_slice_of_a_tensor_can_be_edited_in_place_after_a_point_with_a_backward_hook(hooked):
    points, x = [HookPoint(), HookPoint()], leaf(1.0, 2.0, 3.0, 4.0)
    for place in hooked:
        points[place].add_hook(lambda gradient, hook: None, "bwd")
    h = x * 1
    left, right = points[0](h[:2]), points[1](h[2:])
    left *= 5
    (left * 2).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [10, 10, 0, 0]
    (right * 3).sum().backward()
    assert x.grad.tolist() == [10, 10, 3, 3]


@pytest.mark.parametrize("how", ["after the point", "by a forward hook"])
@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t.t(),
        lambda t: t.t()[:, 1:],
        lambda t: t[:, ::2],
        lambda t: t.permute(1, 0).unsqueeze(0),
        lambda t: t.reshape(-1)[1:],
    ],
    ids=["transposed", "part of a transposed", "every other", "permuted", "flat"],
)
def test_an_edit_in_place_works_whatever_the_layout_of_the_tensor(layout, how):
    def run(point):
        x = torch.arange(6.0).reshape(2, 3).requires_grad_()
        y = point(layout(x * 1))
        if how == "after the point":
            y.mul_(5)
        (y * y.detach()).sum().backward()
        return x.grad

    plain, (hooked, seen) = HookPoint(), watched()
    if how == "by a forward hook":
        for point in (plain, hooked):
            point.add_hook(lambda tensor, hook: tensor.mul_(5))
    expected = run(plain)
    assert run(hooked).equal(expected)
    assert len(seen) == 1


def test_an_edit_in_place_works_when_the_gradient_is_not_a_number():
    point, seen = watched()
    x = leaf(1.0)
    y = point(x * 1)
    y.mul_(2)
    (y * float("nan")).sum().backward()
    assert len(seen) == 1
    assert x.grad.isnan().all()


def test_an_edit_in_place_by_a_forward_hook_works_after_another_user_has_read_the_tensor_that_went_in():
    point, seen = watched()
    point.add_hook(lambda tensor, hook: tensor.mul_(5))
    x = leaf()
    h = x * 1
    before = h * 3
    (point(h) + before).sum().backward()
    assert seen == [[1, 1, 1]]
    assert x.grad.tolist() == [8, 8, 8]


def test_an_edit_in_place_after_the_point_is_refused_if_the_tensor_that_went_in_has_other_users():
    point, _ = watched()
    h = leaf() * 1
    before = h * 3
    y = point(h)
    y.mul_(5)
    with pytest.raises(GradientError, match="it has other users as well"):
        (y + before).sum().backward()


def test_a_leaf_that_is_changed_in_place_behind_a_point_is_refused_as_torch_does():
    point, _ = watched()
    x = leaf()
    y = point(x)
    y.mul_(2)
    with pytest.raises(GradientError, match="leaf of the graph"):
        y.sum().backward()


def edit_the_output_and_use_what_went_in(point, h):
    y = point(h)
    y.mul_(3)
    return h.sum() + y.detach().sum()


def edit_the_output_of_a_view_and_use_its_base(point, h):
    y = point(h[:1])
    y.mul_(3)
    return h.sum()


@pytest.mark.parametrize(
    "use",
    [
        edit_the_output_and_use_what_went_in,
        edit_the_output_of_a_view_and_use_its_base,
    ],
)
def test_a_backward_function_that_returns_none_never_changes_a_gradient_without_an_error(use):
    x, plain = leaf(), leaf()
    use(HookPoint(), plain * 1).backward()
    point, _ = watched()
    try:
        use(point, x * 1).backward()
    except RuntimeError as error:
        assert "in-place" in str(error) or "in place" in str(error)
    else:
        assert x.grad.tolist() == plain.grad.tolist()


# ---- several functions -----------------------------------------------------------------------------------------------


def test_backward_functions_run_in_the_order_added_and_see_what_the_one_before_returned():
    point, seen = HookPoint(), []
    for name, answer in [
        ("a", lambda g: g * 10),
        ("b", lambda g: None),
        ("c", lambda g: (g + 1,)),
        ("d", lambda g: None),
    ]:
        point.add_hook(lambda g, hook, name=name, answer=answer: seen.append((name, g.item())) or answer(g), "bwd")
    x = leaf(1.0)
    (point(x) * 2).sum().backward()
    assert seen == [("a", 2), ("b", 20), ("c", 20), ("d", 21)]
    assert x.grad.item() == 21


def test_an_edit_of_the_gradient_in_place_reaches_the_next_function_and_flows_on():
    point, seen = HookPoint(), []

    def halve(gradient, hook):
        gradient.mul_(0.5)

    point.add_hook(halve, "bwd")
    point.add_hook(lambda gradient, hook: seen.append(gradient.item()), "bwd")
    x = leaf(1.0)
    (point(x) * 2).sum().backward()
    assert seen == [1]
    assert x.grad.item() == 1


def test_an_alias_that_returns_a_one_tuple_counts_as_its_tensor():
    point, seen = HookPoint(), []
    point.add_hook(
        lambda gradient, hook: seen.append((hook.name, gradient.item())) or (gradient * 2,),
        "bwd",
        alias_names=["a", "b"],
    )
    x = leaf(1.0)
    point(x).sum().backward()
    assert seen == [("a", 1), ("b", 2)]
    assert x.grad.item() == 4


def test_the_last_state_counts_even_when_the_last_alias_returned_none():
    point = HookPoint()
    point.add_hook(lambda g, hook: g * 5 if hook.name == "a" else None, "bwd", alias_names=["a", "b"])
    x = leaf(1.0)
    point(x).sum().backward()
    assert x.grad.item() == 5


class Negated:
    """Hook functions see the negative."""

    def convert(self, tensor):
        return -tensor

    def revert(self, tensor):
        return -tensor


@pytest.mark.parametrize("wrap", [lambda g: g, lambda g: (g,)], ids=["tensor", "one-tuple"])
def test_a_conversion_reverts_what_a_backward_function_returned(wrap):
    point, seen = HookPoint(), []
    point.hook_conversion = Negated()
    point.add_hook(lambda gradient, hook: seen.append(gradient.item()) or wrap(gradient - 1), "bwd")
    x = leaf(1.0)
    (point(x) * 2).sum().backward()
    assert seen == [-2]
    assert x.grad.item() == 3


def test_a_conversion_and_aliases_work_together_on_gradients():
    point, seen = HookPoint(), []
    point.hook_conversion = Negated()
    point.add_hook(lambda g, hook: seen.append((hook.name, g.item())) or g - 1, "bwd", alias_names=["a", "b"])
    x = leaf(1.0)
    (point(x) * 2).sum().backward()
    assert seen == [("a", -2), ("b", -3)]
    assert x.grad.item() == 4


# ---- backward scale --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda g: g, 2),
        (lambda g: (g,), 2),
        (lambda g: g * 3, 6),
        (lambda g: 1 - g, -1),
        (lambda g: g + g, 4),
        (lambda g: torch.zeros_like(g), 0),
        (lambda g: g.clone(), 2),
        (lambda g: torch.where(g > 1, g, torch.zeros_like(g)), 2),
        (lambda g: g.clone().mul_(2), 4),
    ],
    ids=["itself", "one-tuple", "product", "reflected", "sum of two", "zeros_like", "clone", "where", "in place"],
)
def test_with_a_backward_scale_the_wrapper_behaves_as_a_tensor_and_is_unwrapped(answer, expected):
    point, after = HookPoint(), []
    point.backward_scale = 7.0
    point.add_hook(lambda gradient, hook: answer(gradient), "bwd")
    x = leaf()
    h = x * 1
    h.register_hook(lambda gradient: after.append(type(gradient)))
    (point(h) * 2).sum().backward()
    assert x.grad.tolist() == [expected] * 3
    assert type(x.grad) is torch.Tensor
    assert after == [torch.Tensor]


def test_with_a_backward_scale_the_next_function_sees_a_scaled_sum_too():
    point, sums = HookPoint(), []
    point.backward_scale = 7.0
    for _ in range(2):
        point.add_hook(lambda gradient, hook: sums.append(float(gradient.sum())) or gradient, "bwd")
    (point(leaf()) * 2).sum().backward()
    assert sums == [42, 42]


def test_with_a_backward_scale_the_wrapper_is_a_tensor(two):
    two.first.backward_scale = 7.0
    with two.hooks(bwd_hooks=[("first", lambda gradient, hook: hook.ctx.update(is_tensor=torch.is_tensor(gradient)))]):
        two(torch.ones(3), loss=True).backward()
    assert two.first.ctx == {"is_tensor": True}


def test_with_a_backward_scale_a_cached_gradient_is_a_plain_tensor(two):
    two.first.backward_scale = 7.0
    _, cache = two.run_with_cache(torch.ones(3), loss=True, incl_bwd=True)
    assert type(cache["first_grad"]) is torch.Tensor


# ---- recomputation ---------------------------------------------------------------------------------------------------


class Checkpointed(HookedRootModule):
    """One point inside a checkpointed part."""

    def __init__(self, use_reentrant):
        super().__init__()
        self.use_reentrant = use_reentrant
        self.inside = HookPoint()
        self.after = HookPoint()
        self.setup()

    def forward(self, x):
        part = checkpoint(lambda h: self.inside((h * 3).sin()).square(), x, use_reentrant=self.use_reentrant)
        return self.after(part).sum()


reentrant = pytest.mark.parametrize("use_reentrant", [False, True], ids=["non-reentrant", "reentrant"])


def plain_gradient(values):
    x = leaf(*values)
    (x * 3).sin().square().sum().backward()
    return x.grad


@reentrant
def test_a_checkpointed_part_gives_each_backward_hook_its_gradient_once(use_reentrant):
    model, seen = Checkpointed(use_reentrant), []
    model.inside.add_hook(lambda gradient, hook: seen.append(gradient.clone()), "bwd")
    x = leaf()
    model(x).backward()
    [gradient] = seen
    torch.testing.assert_close(gradient, 2 * (x.detach() * 3).sin())
    torch.testing.assert_close(x.grad, plain_gradient([1.0, -2.0, 3.0]))


@reentrant
def test_a_gradient_replaced_in_a_checkpointed_part_flows_on(use_reentrant):
    model = Checkpointed(use_reentrant)
    model.inside.add_hook(lambda gradient, hook: gradient * 10, "bwd")
    x = leaf()
    model(x).backward()
    torch.testing.assert_close(x.grad, 10 * plain_gradient([1.0, -2.0, 3.0]))


@reentrant
def test_a_forward_hook_in_a_checkpointed_part_edits_the_recomputation_too(use_reentrant):
    model = Checkpointed(use_reentrant)
    model.inside.add_hook(lambda tensor, hook: tensor * 2)
    x = leaf()
    model(x).backward()
    torch.testing.assert_close(x.grad, 4 * plain_gradient([1.0, -2.0, 3.0]))


@reentrant
def test_a_checkpointed_part_can_be_cached_with_gradients(use_reentrant):
    model, x = Checkpointed(use_reentrant), leaf()
    _, cache = model.run_with_cache(x, incl_bwd=True)
    expected = (x.detach() * 3).sin()
    assert set(cache) == {"inside", "after", "inside_grad", "after_grad"}
    torch.testing.assert_close(cache["inside"], expected)
    torch.testing.assert_close(cache["inside_grad"], 2 * expected)
    torch.testing.assert_close(x.grad, plain_gradient([1.0, -2.0, 3.0]))


@reentrant
def test_backward_hooks_of_a_context_work_in_a_checkpointed_part(use_reentrant):
    model, seen = Checkpointed(use_reentrant), []
    with model.hooks(bwd_hooks=[("inside", lambda gradient, hook: seen.append(1))]):
        model(leaf()).backward()
    assert seen == [1]


# ---- without gradients -----------------------------------------------------------------------------------------------

without_gradients = pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])


@without_gradients
def test_forward_hooks_run_without_gradients(two, mode):
    with mode():
        assert two.run_with_hooks(torch.ones(3), fwd_hooks=[("second", lambda t, hook: t * 10)]).tolist() == [
            21,
            41,
            61,
        ]


@without_gradients
def test_caching_works_without_gradients(model, x, ran, mode):
    expected = model.run_with_cache(x)[1]
    with mode():
        output, cache = model.run_with_cache(x)
    assert list(cache) == ran
    assert not output.requires_grad
    assert all(value.equal(expected[name]) for name, value in cache.items())


@without_gradients
def test_a_point_with_a_backward_hook_is_the_identity_without_gradients(mode):
    point, seen = watched()
    x = leaf()
    with mode():
        h = x * 1
        assert point(h) is h
    assert seen == []


@without_gradients
def test_an_operation_in_place_after_a_point_with_a_backward_hook_works_without_gradients(mode):
    point, _ = watched()
    with mode():
        assert point(leaf() * 1).relu_().tolist() == [1, 0, 3]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_backward_hook_where_nothing_requires_a_gradient_is_reported_as_never_fired(two, mode):
    two.weight.requires_grad_(False)
    with (
        pytest.warns(HookDidNotFireWarning, match="'first'"),
        mode(),
        two.hooks(bwd_hooks=[("first", lambda gradient, hook: None)]),
    ):
        two(torch.ones(3))


def test_a_tensor_that_requires_no_gradient_passes_a_point_with_a_backward_hook():
    point, seen = watched()
    x = torch.ones(3)
    assert point(x) is x
    assert not point(x).requires_grad
    assert seen == []


def test_integers_pass_a_point_with_a_backward_hook():
    point, _ = watched()
    tokens = torch.tensor([1, 2])
    assert point(tokens) is tokens


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_an_exception_from_a_backward_function_comes_out_as_it_is(two):
    class Boom(Exception):
        pass

    boom = Boom("in the backward pass")

    def explode(gradient, hook):
        raise boom

    with pytest.raises(Boom, match="in the backward pass") as caught, two.hooks(bwd_hooks=[("first", explode)]):
        two(torch.ones(3), loss=True).backward()
    assert caught.value is boom
    assert two.list_hooks() == {}
    assert two.context_level == 0
