"""A plan is data: it comes back equal from a file, does what the same edit by hand does, and passes admission."""

from __future__ import annotations

import contextlib
import time
import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import hookframe
from hookframe import (
    ActivationShapeError,
    ActivationTypeError,
    HookDenied,
    HookedRootModule,
    HookPlan,
    HookPoint,
    InvalidPlan,
    Objection,
    UnknownHookPoint,
    hookimpl,
)
from hookframe.plan.operations import AddVectorEdit, CaptureHook, ZeroEdit


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.hook_q = HookPoint()  # [batch, pos, head, d_head]
        self.hook_out = HookPoint()  # [batch, pos, d]

    def forward(self, x):
        heads = self.hook_q(self.linear(x).unflatten(-1, (2, 3)))
        return self.hook_out(x + heads.flatten(-2))


class Model(HookedRootModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hook_ids = HookPoint()
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.setup()

    def forward(self, x):
        self.hook_ids(torch.arange(3))
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.fixture
def model():
    return Model().eval().requires_grad_(False)


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(2, 5, 6)


VECTOR = torch.tensor([1.0, -2, 3, 0, 0.5, 4])
MEAN, PATCH = torch.arange(6.0), torch.arange(60.0).reshape(2, 5, 6)
PARAMETERS = {
    "vector": VECTOR,
    "mean": MEAN,
    "patch": PATCH,
    "two": torch.stack([VECTOR, VECTOR * 2, MEAN]),
    "last": PATCH[:, :2],
}
OUT = "layers.0.hook_out"


def only(tensor, changed, **where):
    """``changed`` at the chosen places of ``tensor``, by plain indexing."""
    result = tensor.clone()
    place = [slice(None)] * tensor.dim()
    for dim, index in where.items():
        place[{"rows": 0, "pos": 1, "features": -1}[dim]] = index
    result[tuple(place)] = changed.expand_as(tensor)[tuple(place)]
    return result


def without(t, rows):
    q, _ = torch.linalg.qr(rows.T.double())
    return t - (t.double() @ q @ q.T).float()


@pytest.mark.parametrize("zero", [torch.zeros(6), torch.zeros(2, 6), torch.zeros(0, 6)], ids=["one", "two", "none"])
def test_a_direction_that_is_zero_is_refused(zero, tmp_path):
    hooks = [{"points": OUT, "operation": "project_out", "vector": name} for name in ("vector", "nothing")]
    given = {"vector": VECTOR, "nothing": zero}
    with pytest.raises(InvalidPlan, match=r"hooks\[1\]: 'project_out' by 'nothing': this vector is zero or empty"):
        HookPlan(hooks, given)
    assert HookPlan([hooks[0], {**hooks[1], "operation": "add_vector"}], given).parameters["nothing"] is not None


BY_HAND = [
    ({"operation": "zero"}, lambda t: t * 0),
    ({"operation": "zero", "rows": [1]}, lambda t: only(t, t * 0, rows=1)),
    ({"operation": "zero", "positions": [0, -1]}, lambda t: only(t, t * 0, pos=[0, 4])),
    ({"operation": "zero", "positions": {"start": 1, "step": 2}}, lambda t: only(t, t * 0, pos=slice(1, None, 2))),
    ({"operation": "zero", "features": [2, 3]}, lambda t: only(t, t * 0, features=[2, 3])),
    ({"operation": "zero", "rows": [0], "positions": {"stop": 2}, "features": [5]}, lambda t: only(t, t * 0, rows=slice(0, 1), pos=slice(2), features=slice(5, 6))),
    ({"operation": "mean", "value": "mean"}, lambda t: MEAN.expand_as(t)),
    ({"operation": "mean", "over": ["batch", "pos"]}, lambda t: t.mean((0, 1), keepdim=True).expand_as(t)),
    ({"operation": "mean", "over": ["pos"], "positions": [0]}, lambda t: only(t, t.mean(1, keepdim=True), pos=0)),
    ({"operation": "add_vector", "vector": "vector"}, lambda t: t + VECTOR),
    ({"operation": "add_vector", "vector": "vector", "coefficient": -2}, lambda t: t - 2 * VECTOR),
    ({"operation": "scale", "factor": 0.25}, lambda t: t * 0.25),
    ({"operation": "project_out", "vector": "vector"}, lambda t: t - ((t @ VECTOR) / VECTOR.dot(VECTOR))[..., None] * VECTOR),
    ({"operation": "project_out", "vector": "two"}, lambda t: without(t, torch.stack([VECTOR, MEAN]))),
    ({"operation": "clamp", "low": -0.1, "high": 0.2}, lambda t: t.clamp(-0.1, 0.2)),
    ({"operation": "clamp", "high": 0.0}, lambda t: t.clamp(max=0.0)),
    ({"operation": "patch_from", "value": "patch"}, lambda t: PATCH),
    ({"operation": "patch_from", "value": "last", "positions": [-2, -1]}, lambda t: torch.cat([t[:, :3], PATCH[:, :2]], 1)),
    ({"operation": "patch_from", "value": "mean", "positions": [1], "rows": [0]}, lambda t: only(t, MEAN, rows=slice(0, 1), pos=slice(1, 2))),
]  # fmt: skip


@pytest.mark.parametrize(("hook", "by_hand"), BY_HAND, ids=lambda value: None if callable(value) else str(value)[:60])
def test_an_operation_does_what_the_same_edit_by_hand_does(model, x, hook, by_hand):
    plan = HookPlan([{"points": OUT, **hook}], PARAMETERS)
    expected = model.run_with_hooks(x, fwd_hooks=[(OUT, lambda t, hook: by_hand(t).clone())])
    before = x.clone()
    with model.apply_plan(plan):
        torch.testing.assert_close(model(x), expected)
    with model.apply(plan):
        torch.testing.assert_close(model(x), expected)
    assert torch.equal(x, before)
    assert not any(point.has_hooks() for point in model.hook_points())
    assert not torch.equal(model(x), expected)


def test_positions_of_per_head_points_are_third_from_last(model, x):
    plan = HookPlan(
        [
            {"points": "layers.*.hook_q", "operation": "zero", "positions": [1]},
            {"points": "**.hook_q", "operation": "capture"},
        ]
    )
    with model.apply_plan(plan) as cache:
        model(x)
    assert cache["q", 0][:, 1].abs().sum() == 0
    assert cache["q", 1][:, 0].abs().sum() > 0


def test_a_plan_runs_in_its_order_and_keeps_what_is_there_at_each_place(model, x):
    plan = HookPlan(
        [
            CaptureHook(points=OUT),
            AddVectorEdit(points=OUT, vector="v", coefficient=2),
            CaptureHook(points=OUT),
            ZeroEdit(points=OUT),
        ],
        {"v": VECTOR},
    )
    with model.apply_plan(plan) as cache:
        model(x)
    first, second = cache[f"{OUT}@0"], cache[f"{OUT}@0:1"]
    torch.testing.assert_close(second, first + 2 * VECTOR)
    assert cache.steps[0].batch == 2


def test_a_function_is_applied_as_torch_applies_it(model):
    seen = []
    assert model.apply(seen.append) is model
    assert seen[-1] is model
    assert len(seen) == len(list(model.modules()))


def test_a_plan_passes_admission_as_any_hook(model):
    seen = []

    class Reads:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            seen.extend((r.point, r.effect, r.caches, r.function.module, r.function.qualname) for r in requests)
            edits = [r for r in requests if r.function.qualname == "Scale"]
            return [Objection.deny(r, rule="no-scaling", message="not scaled", remedy="leave it") for r in edits]

    plan = HookPlan([{"points": OUT, "operation": "capture"}, {"points": OUT, "operation": "scale", "factor": 2}])
    with hookframe.use_plugins(Reads()), pytest.raises(HookDenied, match="not scaled"):
        with model.apply_plan(plan):
            pass
    assert seen == [
        (OUT, "read", True, "hookframe.core.hooks.caching", "CachingFunction"),
        (OUT, "edit", False, "hookframe.plan.functions", "Scale"),
    ]
    assert not any(point.has_hooks() for point in model.hook_points())


def test_guards_of_a_plan(model, x):
    for hook, says in [
        ({"operation": "scale", "factor": 1e39, "finite": True}, "NaN or infinite"),
        ({"operation": "scale", "factor": 100, "norm_ratio": 10}, "norm_ratio=10 allows"),
    ]:
        with (
            model.apply_plan(HookPlan([{"points": OUT, **hook}])),
            pytest.raises(hookframe.HookReturnError, match=says),
        ):
            model(x)


@pytest.mark.parametrize(
    ("hook", "error", "says"),
    [
        ({"points": OUT, "operation": "zero", "positions": [5]}, ActivationShapeError, "has 5 positions, and the plan asks for number 5"),
        ({"points": OUT, "operation": "zero", "rows": [-3]}, ActivationShapeError, "has 2 rows"),
        ({"points": OUT, "operation": "add_vector", "vector": "long"}, ActivationShapeError, "'add_vector' does not fit 'layers.0.hook_out' of shape"),
        ({"points": OUT, "operation": "mean", "value": "patched"}, ActivationShapeError, "'mean' does not fit"),
        ({"points": "hook_ids", "operation": "zero"}, ActivationTypeError, "'hook_ids' has torch.int64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_activation_says_so(model, x, hook, error, says):
    plan = HookPlan([hook], {"long": torch.ones(7), "patched": torch.ones(2, 9, 6)})
    with model.apply_plan(plan), pytest.raises(error, match=says):
        model(x)


def test_an_activation_without_positions_says_so():
    point = HookPoint()
    point.be_named("hook_flat")
    plan = HookPlan([{"points": "hook_flat", "operation": "zero", "positions": [0]}])
    from hookframe.plan.functions import function_for

    with pytest.raises(ActivationShapeError, match="no dimension for positions"):
        function_for(plan.hooks[0], {})(torch.ones(3), hook=point)


def test_points_that_are_not_there_attach_nothing(model):
    plan = HookPlan([{"points": OUT, "operation": "zero"}, {"points": "layers.*.hook_nope", "operation": "zero"}])
    with pytest.raises(UnknownHookPoint, match="hook_nope"):
        with model.apply_plan(plan):
            pass
    assert not any(point.has_hooks() for point in model.hook_points())


def test_a_plan_is_applied_once_at_a_time_and_leaves_after_an_error(model, x):
    applied = model.apply_plan(HookPlan([{"points": OUT, "operation": "zero"}]))
    with pytest.raises(ZeroDivisionError):
        with applied:
            with pytest.raises(hookframe.HookframeError, match="applied already"):
                applied.__enter__()
            1 / 0
    applied.__exit__(None, None, None)
    assert not model._forward_pre_hooks
    assert not any(point.has_hooks() for point in model.hook_points())


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ([], "a plan has 1 to 1000 hooks, and this one 0"),
        ([{"points": OUT, "operation": "explode"}], r"hooks\[0\].operation: is 'explode': use one of \['add_vector', "),
        ([{"points": OUT, "operation": "scal"}], "did you mean 'scale'"),
        ([{"points": OUT}], r"hooks\[0\]: has no 'operation': use one of"),
        ([{"points": "", "operation": "zero"}], r"points: is '': write a name, a glob such as"),
        ([{"points": OUT, "operation": "zero", "positions": []}], r"positions: is \[\]: write a list of indices"),
        (
            [{"points": OUT, "operation": "zero", "positions": {"step": 0}}],
            r"positions: is \{'step': 0\}: .* a range such as",
        ),
        (
            [{"points": OUT, "operation": "zero", "positions": [True]}],
            r"positions: is \[True\]: write a list of indices",
        ),
        ([{"points": OUT, "operation": "scale", "factor": float("nan")}], "factor: is nan: write a finite number"),
        ([{"points": OUT, "operation": "scale"}], r"^hooks\[0\]: has no 'factor': add it$"),
        ([{"points": OUT, "operation": "mean"}], "a mean needs either"),
        ([{"points": OUT, "operation": "mean", "value": "a", "over": ["pos"]}], "a mean needs either"),
        ([{"points": OUT, "operation": "clamp"}], "a clamp needs low, high or both"),
        ([{"points": OUT, "operation": "clamp", "low": 2, "high": 1}], "low=2.0 is above high=1.0"),
        (
            [{"points": OUT, "operation": "zero", "code": "import os"}],
            r"hooks\[0\].code: there is no such key: use one of",
        ),
        (
            [{"points": OUT, "operation": "add_vector", "vector": "../x"}],
            "vector: is '../x': write the name of a tensor",
        ),
        ([{"points": OUT, "operation": "add_vector", "vector": "gone"}], r"call for the parameters \['gone'\]"),
        ([{"points": OUT, "operation": "zero", "norm_ratio": 0.5}], "is 0.5: write a number of at least 1"),
        (["zero"], r"hooks\[0\]: is 'zero': write a table with 'points' and 'operation'"),
        ([{"points": OUT, "operation": "scale", "factor": 1, "value": "v"}], "value: there is no such key"),
        (
            [{"points": OUT, "operation": "zero", "rows": {"begin": 1}}],
            r"rows: is \{'begin': 1\}: write a list of .*1$",
        ),
        ([{"points": OUT, "operation": "scale", "factor": "2"}], "factor: is '2': write a number"),
        ([{"points": OUT, "operation": "zero", "finite": 1}], "finite: is 1: write true or false"),
    ],
)
def test_hooks_that_are_none_say_what_is_wrong(hooks, says):
    with pytest.raises(InvalidPlan, match=says):
        HookPlan(hooks)


def test_several_mistakes_are_told_at_once():
    with pytest.raises(InvalidPlan, match=r"hooks\[0\]: has no .*hooks\[1\]: a clamp.*hooks\[2\]\.rows"):
        HookPlan([
            {"points": OUT, "operation": "scale"},
            {"points": OUT, "operation": "clamp"},
            {"points": OUT, "operation": "zero", "rows": []},
        ])  # fmt: skip


def test_a_plan_comes_back_equal_from_a_file(tmp_path):
    plan = HookPlan(
        [{"points": [OUT, "**.hook_q"], **hook} for hook, _ in BY_HAND], PARAMETERS, name="all", note="each"
    )
    plan.to_toml(tmp_path / "all.toml")
    again = HookPlan.from_toml(tmp_path / "all.toml")
    assert again == plan
    assert hash(again) == hash(plan)
    assert (again.hooks, again.name, again.note) == (plan.hooks, "all", "each")
    assert all(torch.equal(again.parameters[key], value) for key, value in PARAMETERS.items())
    again.to_toml(tmp_path / "all.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.safetensors", "all.toml"]
    assert repr(HookPlan([ZeroEdit(points=OUT)])) == "HookPlan('', 1 hook: zero)"
    assert repr(plan) == "HookPlan('all', 19 hooks: zero, zero, zero, zero, zero, zero and 13 more)"


def test_mistakes_in_a_file_are_told_with_their_lines_and_at_once(tmp_path):
    (tmp_path / "plan.toml").write_text(
        'format = "hookframe-plan"\nversion = 1\n\n[[hooks]]\npoints = "a"\noperation = "scale"\nfactr = 2\n\n'
        '[[hooks]]\npoints = "a"\noperation = "clamp"\nlow = 2.0\nhigh = 1.0\n'
    )
    with pytest.raises(
        InvalidPlan,
        match=r"plan\.toml': line 4: hooks\[0\]: has no 'factor': add it; line 7: hooks\[0\]\.factr: there is no such key: "
        r"did you mean 'factor'.*; line 9: hooks\[1\]: low=2\.0 is above high=1\.0",
    ):
        HookPlan.from_toml(tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_text("")
    with pytest.raises(
        InvalidPlan, match=r"plan\.toml': has no 'format': write 'hookframe-plan'; has no 'version': write 1"
    ):
        HookPlan.from_toml(tmp_path / "plan.toml")


def test_many_mistakes_are_counted():
    with pytest.raises(InvalidPlan, match=r"hooks\[4\]: has no 'factor': add it; and 3 more$"):
        HookPlan([{"points": OUT, "operation": "scale"}] * 8)


def test_a_plan_written_by_hand(tmp_path, model, x):
    (tmp_path / "plan.toml").write_text(
        'format = "hookframe-plan"\nversion = 1\n\n[[hooks]]\npoints = "layers.0.hook_out"\noperation = "scale"\nfactor = 0\n'
    )
    plan = HookPlan.from_toml(tmp_path / "plan.toml")
    with model.apply_plan(plan), torch.no_grad():
        torch.testing.assert_close(model(x), model.layers[1](torch.zeros_like(x)))


def test_the_digest_changes_with_what_a_plan_does_and_not_with_its_note():
    def plan(vector=VECTOR, coefficient=1.0, **names):
        return HookPlan([AddVectorEdit(points=OUT, vector="v", coefficient=coefficient)], {"v": vector}, **names)

    base = plan()
    assert plan(note="another").digest == base.digest == plan(VECTOR.clone()).digest
    different = [plan(VECTOR.double()), plan(VECTOR[None]), plan(VECTOR + 1e-6), plan(coefficient=2), plan(name="n")]
    assert len({p.digest for p in [base, *different]}) == 6
    assert base != "a plan"


def write(path: Path, **facts):
    import tomli_w

    plan = HookPlan([AddVectorEdit(points=OUT, vector="v")], {"v": VECTOR})
    plan.to_toml(path)
    path.write_text(tomli_w.dumps(tomllib.loads(path.read_text()) | facts))


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"digest": "sha256:" + "0" * 64}, "was changed since, or its parameters were"),
        ({"digest": "md5:1"}, r"line 6: digest: is 'md5:1': write 'sha256:' and 64"),
        (
            {"parameters": "../plan.safetensors"},
            r"line 5: parameters: is '../plan.safetensors': write the name of a .safetensors file",
        ),
        ({"parameters": "gone.safetensors"}, "not a plain file"),
        ({"version": 2}, "line 2: version: is 2: write 1"),
        ({"hook": 1}, r"line \d+: hook: there is no such key: did you mean 'hooks'"),
        ({"hooks": 3}, r"hooks: is 3: write \[\[hooks\]\] tables"),
        ({"name": 3}, "line 3: name: is 3: write text"),
        ({"hooks": [{"points": OUT, "operation": "zero", "rows": "1"}]}, r"line \d+: hooks\[0\].rows: is '1'"),
    ],
)
def test_each_lie_of_a_file_is_found(tmp_path, facts, says):
    write(tmp_path / "plan.toml", **facts)
    with pytest.raises(InvalidPlan, match=says):
        HookPlan.from_toml(tmp_path / "plan.toml")


def test_parameters_that_were_changed_are_found(tmp_path):
    write(tmp_path / "plan.toml")
    from safetensors.torch import save_file

    save_file({"v": VECTOR + 1}, tmp_path / "plan.safetensors")
    with pytest.raises(InvalidPlan, match="was changed since"):
        HookPlan.from_toml(tmp_path / "plan.toml")
    (tmp_path / "plan.safetensors").rename(tmp_path / "other")
    (tmp_path / "plan.safetensors").symlink_to(tmp_path / "other")
    with pytest.raises(InvalidPlan, match="not a plain file in its own directory"):
        HookPlan.from_toml(tmp_path / "plan.toml")


def test_parameters_are_bounded(tmp_path, monkeypatch):
    write(tmp_path / "plan.toml")
    monkeypatch.setattr("hookframe.plan.hook_plan._MOST_PARAMETERS", 10)
    with pytest.raises(InvalidPlan, match="more than 10 bytes"):
        HookPlan.from_toml(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    "text", [b"", b"x = " + b"[" * 5000, b"\xff", b"a = 1\n" * 200_000, b"format = 'hookframe-plan'"], ids=range(5)
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, text):
    (tmp_path / "plan.toml").write_bytes(text)
    with pytest.raises(InvalidPlan, match=r"plan\.toml'"):
        HookPlan.from_toml(tmp_path / "plan.toml")


@pytest.mark.found(
    "a plan with one long key took time that grows with the square of its length; a long number in it was a bare ValueError"
)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a" + b".a" * 200_000 + b" = 1", "nested more than 32 deep"),
        (b"[a" + b".a" * 40 + b"]\n", "nested more than 32 deep"),
        (b"a = " + b"[" * 40 + b"]" * 40, "nested more than 32 deep"),
        (b"version = " + b"9" * 10_000, "is no TOML: Exceeds the limit"),
        (b"version = 99999999999999999999", "an integer of more than 64 bits"),
        (b"#" * (1 << 20) + b"\n", "larger than 1048576 bytes"),
    ],
    ids=["long key", "long table", "deep", "long number", "large number", "long"],
)
def test_a_plan_is_bounded_in_size_and_depth(tmp_path, text, says):
    (tmp_path / "plan.toml").write_bytes(text)
    begin = time.perf_counter()
    with pytest.raises(InvalidPlan, match=says):
        HookPlan.from_toml(tmp_path / "plan.toml")
    assert time.perf_counter() - begin < 5


def test_a_plan_that_cannot_be_written_says_so(tmp_path):
    plan = HookPlan([ZeroEdit(points=OUT)])
    with pytest.raises(InvalidPlan, match="cannot be written"):
        plan.to_toml(tmp_path / "no" / "such" / "folder.toml")
    with pytest.raises(InvalidPlan, match="could not be read back: parameters: is 'my plan.safetensors': write"):
        HookPlan([ZeroEdit(points=OUT)], {"v": VECTOR}).to_toml(tmp_path / "my plan.toml")


values = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["points", "operation", "rows", "positions", "value", "vector", "factor", "low", "over", "finite", "x"]
)
operations = st.sampled_from(
    ["zero", "mean", "add_vector", "scale", "project_out", "clamp", "patch_from", "capture", "other"]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(st.dictionaries(fields, values, max_size=4), max_size=3),
    operations,
    st.dictionaries(st.text(max_size=8), values, max_size=2),
)
def test_a_file_with_anything_in_it_is_read_or_refused(tmp_path, hooks, operation, facts):
    import tomli_w

    path = tmp_path / "plan.toml"
    hooks = [{"points": OUT, "operation": operation} | hook for hook in hooks]
    path.write_text(tomli_w.dumps({"format": "hookframe-plan", "version": 1, "hooks": hooks} | facts), encoding="utf-8")
    try:
        plan = HookPlan.from_toml(path)
    except InvalidPlan:
        return
    plan.to_toml(tmp_path / "again.toml")
    assert HookPlan.from_toml(tmp_path / "again.toml") == plan


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4))
def test_a_file_with_any_damage_is_read_or_refused(tmp_path, where, noise):
    path = tmp_path / "plan.toml"
    write(path)
    raw = bytearray(path.read_bytes())
    place = int(where * len(raw))
    raw[place : place + len(noise)] = noise
    path.write_bytes(raw)
    with contextlib.suppress(InvalidPlan):
        HookPlan.from_toml(path)
