"""Requests, objections and decisions: frozen, checked when made, and never in contradiction with themselves."""

from __future__ import annotations

import dataclasses
import pickle
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookframe import Action, Decision, FunctionInfo, HookDenied, HookRequest, InvalidObjection, Objection
from hookframe.admission.request import CacheRequest, DeviceRequest, LazyRequests, ResetRequest

FUNCTION = FunctionInfo(module="m", qualname="f")


def request(index=0, *, exact=True):
    return HookRequest(index=index, point=f"p{index}", function=FUNCTION, route="hooks", exact=exact)


def objection(index=0, action=Action.DENY, *, exact=True):
    return Objection(request=request(index, exact=exact), rule="r", message="m", remedy="do", action=action)


@pytest.mark.parametrize("part", ["rule", "message", "remedy"])
@pytest.mark.parametrize("value", ["", "  ", None, 3])
def test_an_objection_without_a_reason_or_remedy_is_refused(part, value):
    facts = {"rule": "r", "message": "m", "remedy": "do"} | {part: value}
    with pytest.raises(InvalidObjection, match=f"needs a {part}"):
        Objection.deny(request(), **facts)


def test_an_action_can_be_given_as_its_name():
    assert Objection(request=request(), rule="r", message="m", remedy="do", action="warn").action is Action.WARN
    with pytest.raises(InvalidObjection, match="unknown action 'forbid'"):
        Objection(request=request(), rule="r", message="m", remedy="do", action="forbid")


@pytest.mark.parametrize("value", [request(), objection(), FUNCTION])
def test_values_cannot_be_changed(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


actions = st.sampled_from(list(Action))
objections = st.builds(objection, index=st.integers(0, 4), action=actions, exact=st.booleans())


@given(st.lists(objections))
def test_what_follows_from_the_objections_never_contradicts_them(made):
    decision = Decision(tuple(map(request, range(5))), tuple(made))
    refusing = [o for o in made if o.action is Action.DENY or (o.action is Action.SKIP and o.request.exact)]
    assert list(decision.denials) == refusing
    assert decision.allowed == (not refusing)
    assert decision.skipped == {o.request.index for o in made if o.action is Action.SKIP and not o.request.exact}
    assert all(o.action is Action.WARN for o in decision.warnings)
    assert not set(map(id, decision.denials)) & set(map(id, decision.skips))
    assert decision.describe()


def test_a_skip_refuses_requests_that_no_filter_swept_up():
    device = DeviceRequest(device="mps", purpose="cache", route="run_with_cache")
    assert Objection.skip(device, rule="r", message="m", remedy="do").refuses


def test_a_refusal_names_every_reason_and_travels_between_processes():
    decision = Decision(tuple(map(request, range(3))), (objection(0), objection(2)))
    error = pickle.loads(pickle.dumps(HookDenied(decision)))
    assert error.decision.denials == decision.denials
    text = str(error)
    assert "hooks refused (2 of 3 requests); nothing was changed" in text
    assert text.count("remedy: do") == 2
    assert isinstance(error, PermissionError)


def test_a_long_refusal_is_cut_and_says_so():
    decision = Decision(tuple(map(request, range(40))), tuple(map(objection, range(40))))
    assert "and 28 more" in decision.describe()


def test_an_admission_is_described_as_well():
    assert Decision((request(),)).describe() == "1 requests admitted, no objections"
    assert "admitted with 1 objections" in Decision((request(),), (objection(0, Action.WARN),)).describe()


def test_the_device_to_use_instead_is_the_first_that_is_named():
    asked = DeviceRequest(device="mps", purpose="model", route="to")
    plain = Objection.warn(asked, rule="r", message="m", remedy="do")
    moved = Objection.warn(asked, rule="r", message="m", remedy="do", device="cpu")
    assert Decision((asked,), (plain,)).device is None
    assert Decision((asked,), (plain, moved)).device == "cpu"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (request(), "fwd hook f at 'p0'"),
        (HookRequest(index=0, point=None, function=FUNCTION, route="hook_point"), "a hook point without a name"),
        (CacheRequest(points=("a", "b"), device="cpu", route="run_with_cache"), "caching 2 points on device 'cpu'"),
        (DeviceRequest(device="mps", purpose="model", route="to"), "using device 'mps' for the model"),
        (
            ResetRequest(points=("a",), permanent=1, owned=2, route="reset_hooks"),
            "removing 1 permanent and 2 context hooks",
        ),
    ],
)
def test_a_request_can_be_said_in_a_few_words(value, words):
    assert words in value.subject


def test_lazy_requests_are_made_once_and_only_when_looked_at():
    made = []
    lazy = LazyRequests(lambda: made.append(1) or [request(0), request(1)], 2)
    assert len(lazy) == 2
    assert not made
    assert [r.point for r in lazy] == ["p0", "p1"]
    assert lazy[1] == request(1)
    assert lazy[:1] == (request(0),)
    assert made == [1]
    assert pickle.loads(pickle.dumps(lazy)) == (request(0), request(1))
    assert "p1" in repr(lazy)


class Callable:
    def __call__(self, tensor, hook):
        return None

    def method(self, tensor, hook):
        return None


def test_a_function_is_described_by_what_is_inside():
    def plain(tensor, hook):
        return None

    assert FunctionInfo.of(plain).qualname.endswith("plain")
    assert FunctionInfo.of(partial(partial(plain))) == FunctionInfo.of(plain)
    assert FunctionInfo.of(Callable().method).qualname == "Callable.method"
    assert FunctionInfo.of(Callable()).qualname == "Callable"
    assert FunctionInfo.of(len) == FunctionInfo(module="builtins", qualname="len")
    info = FunctionInfo.of(plain)
    assert str(info) == f"{info.module}.{info.qualname} ({__file__}:{info.line})"
