"""Requests and objections as JSON: equal after the way there and back, and anything else refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookframe import Action, FunctionInfo, HookframeError, InvalidWireData, Objection
from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, ResetRequest, RunRequest
from hookframe.admission.wire import objection_from_json, objection_to_json, request_from_json, request_to_json

names = st.text(max_size=20)
optional = st.none() | names
small = st.integers(0, 10**6)
functions = st.builds(
    FunctionInfo, module=names, qualname=names, file=optional, line=st.none() | small, digest=optional
)
routes = st.sampled_from(["add_hook", "hooks", "run_with_cache", "torch", "copy", "to"])
requests = (
    st.builds(
        HookRequest,
        index=small,
        point=optional,
        function=functions,
        direction=st.sampled_from(["fwd", "bwd"]),
        route=routes,
        effect=st.sampled_from(["read", "edit"]),
        exact=st.booleans(),
        permanent=st.booleans(),
        prepend=st.booleans(),
        level=st.none() | small,
        aliases=st.lists(names, max_size=3).map(tuple),
        caches=st.booleans(),
        names=st.lists(names, max_size=3).map(tuple),
        layer=st.none() | small,
        families=st.lists(names, max_size=3).map(tuple),
        certain=st.booleans(),
        lasting=st.booleans(),
    )
    | st.builds(
        CacheRequest,
        index=small,
        points=st.lists(names, max_size=5).map(tuple),
        device=optional,
        gradients=st.booleans(),
        estimated_bytes=st.none() | small,
        route=routes,
    )
    | st.builds(DeviceRequest, index=small, device=names, purpose=st.sampled_from(["model", "cache"]), route=routes)
    | st.builds(
        ResetRequest, index=small, points=st.lists(names).map(tuple), permanent=small, owned=small, route=routes
    )
    | st.builds(
        RunRequest,
        index=small,
        never_fired=st.lists(names).map(tuple),
        bytes_cached=small,
        unmanaged=st.lists(names).map(tuple),
        route=routes,
    )
)


@given(requests)
def test_a_request_comes_back_equal(request):
    assert request_from_json(json.loads(json.dumps(request_to_json(request)))) == request


words = st.text(min_size=1).filter(str.strip)


@given(requests, words, words, words, st.sampled_from(list(Action)), optional)
def test_an_objection_comes_back_equal(request, rule, message, remedy, action, device):
    request = request_from_json(request_to_json(request) | {"index": 0})
    objection = Objection(request=request, rule=rule, message=message, remedy=remedy, action=action, device=device)
    assert objection_from_json(json.loads(json.dumps(objection_to_json(objection))), [request]) == objection


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(anything)
def test_anything_else_is_refused_clearly(data):
    for read in (request_from_json, lambda d: objection_from_json(d, [])):
        with pytest.raises(HookframeError):
            read(data)


@given(requests, st.data())
def test_one_wrong_field_is_refused_or_read_as_it_is(request, data):
    good = request_to_json(request)
    key = data.draw(st.sampled_from(sorted(good)))
    try:
        read = request_from_json(good | {key: data.draw(anything)})
    except InvalidWireData:
        return
    assert request_from_json(request_to_json(read)) == read


def test_missing_and_unknown_fields_are_named():
    good = request_to_json(DeviceRequest(device="cpu", purpose="model", route="to"))
    del good["purpose"]
    with pytest.raises(InvalidWireData, match="'colour', 'purpose'"):
        request_from_json(good | {"colour": "red"})


@pytest.mark.parametrize("index", [-1, 1, True, None, "0"])
def test_an_objection_to_no_request_of_the_batch_is_refused(index):
    request = DeviceRequest(device="cpu", purpose="model", route="to")
    data = objection_to_json(Objection.deny(request, rule="r", message="m", remedy="do")) | {"index": index}
    with pytest.raises(InvalidWireData, match="is about request"):
        objection_from_json(data, [request])
