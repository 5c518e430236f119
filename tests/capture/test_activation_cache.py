"""A cache is looked up as people call activations, and never answers with the wrong one."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hookframe import ActivationCache, ActivationShapeError, UnknownActivation

KEYS = [
    "hook_embed",
    *(f"blocks.{layer}.{name}" for layer in range(3) for name in ("hook_resid_pre", "ln1.hook_scale", "ln2.hook_scale",
      "attn.hook_q", "attn.hook_out", "hook_out", "hook_resid_post")),
    "ln_final.hook_scale",
    "blocks.1.hook_resid_post_grad",
]  # fmt: skip


@pytest.fixture
def cache():
    return ActivationCache({key: torch.full((2, 3), float(place)) for place, key in enumerate(KEYS)})


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("hook_embed", "hook_embed"),
        ("embed", "hook_embed"),
        (("embed",), "hook_embed"),
        ("scale", "ln_final.hook_scale"),
        (("resid_post", 0), "blocks.0.hook_resid_post"),
        (("hook_resid_post", 2), "blocks.2.hook_resid_post"),
        (("resid_post", -1), "blocks.2.hook_resid_post"),
        (("resid_post_grad", -1), "blocks.1.hook_resid_post_grad"),
        (("q", 1), "blocks.1.attn.hook_q"),
        (("scale", 1, "ln2"), "blocks.1.ln2.hook_scale"),
        (("scale", None, "ln_final"), "ln_final.hook_scale"),
        (("out", 1), "blocks.1.hook_out"),
        (("out", 1, "attn"), "blocks.1.attn.hook_out"),
    ],
)
def test_look_up(cache, asked, key):
    assert cache[asked] is dict.__getitem__(cache, key)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("blocks.3.hook_resid_post", "did you mean 'blocks.2.hook_resid_post'"),
        ("resid_post", r"its layers are 0 to 2"),
        (("resid_post_grad", 0), r"'resid_post_grad', 0\): its layers are 1 "),
        (("resid_post", 3), "its layers are 0 to 2"),
        (("resid_post", -4), "its layers are 0 to 2"),
        (("scale", 1), r"fits 2 activations: 'blocks.1.ln1.hook_scale', 'blocks.1.ln2.hook_scale'; .* as third"),
        (("scale", 1, "ln3"), "none of a similar name|did you mean"),
        ("zzzz", f"it has {len(KEYS)}, none of a similar name"),
        (3, "cannot be looked up by 3"),
        ((3,), r"cannot be looked up by \(3,\)"),
        ((), r"cannot be looked up by \(\)"),
        ("blocks.*.hook_zzz", "no activation 'blocks"),
    ],
)
def test_what_is_not_there_says_what_is(cache, asked, says):
    with pytest.raises(UnknownActivation, match=says):
        cache[asked]


def test_an_empty_cache_says_that_nothing_ran():
    with pytest.raises(UnknownActivation, match=r"^the cache has no activation \('resid_post', 3\): it is empty"):
        ActivationCache()["resid_post", 3]


def test_get_and_in_take_what_a_look_up_takes(cache):
    assert cache.get("embed") is cache["hook_embed"]
    assert "embed" in cache
    assert ("resid_post", -1) in cache
    assert ("scale", 1, "ln2") in cache
    assert "blocks.*.attn.hook_?" in cache
    assert list(cache.get("blocks.*.attn.hook_q")) == [f"blocks.{layer}.attn.hook_q" for layer in range(3)]
    for wrong in (
        "resid_post",
        ("scale", 1),
        "zzzz",
        "blocks.*.hook_zzz",
        3,
        (),
        None,
        (3,),
        ("embed", "x"),
        ("embed", True),
    ):
        assert wrong not in cache
        assert cache.get(wrong) is None
        assert cache.get(wrong, 7) == 7
    with pytest.raises(TypeError, match="unhashable"):
        [] in cache  # as in any dict


def test_in_says_whether_a_look_up_answers_whatever_it_is(cache):
    parts = [None, "attn", "ln1", "ln_final"]
    names = [
        "embed",
        "hook_embed",
        "scale",
        "out",
        "resid_pre",
        "hook_q",
        "resid_post_grad",
        "blocks.*",
        "blocks.1.ln?.*",
        "",
    ]
    keys = [(n, layer, p) for n in names for layer in (None, 0, 2, -1, 5) for p in parts] + names
    for key in keys:
        try:
            found = cache[key]
        except UnknownActivation:
            found = None
        assert (key in cache) == (found is not None), key
    assert "hook_embed" in cache


def test_globs_give_a_cache(cache):
    cache.skipped["x"], cache.stale = "y", ("hook_embed", "blocks.0.attn.hook_q")
    found = cache["blocks.*.attn.hook_?"]
    assert list(found) == [f"blocks.{layer}.attn.hook_q" for layer in range(3)]
    assert (found.skipped, found.stale) == ({"x": "y"}, ("blocks.0.attn.hook_q",))
    assert list(cache["**.hook_scale"])[-1] == "ln_final.hook_scale"


def test_stack(cache):
    assert cache.stack("resid_post")[:, 0, 0].tolist() == [7, 14, 21]
    assert cache.stack("out", "attn")[:, 0, 0].tolist() == [5, 12, 19]
    with pytest.raises(UnknownActivation, match="fits 2"):
        cache.stack("scale")
    with pytest.raises(UnknownActivation, match="no activation 'embed'"):
        cache.stack("embed")
    cache["blocks.1.hook_resid_post"] = torch.zeros(1)
    with pytest.raises(ActivationShapeError, match=r"'blocks.1.hook_resid_post': \[1\]"):
        cache.stack("resid_post")


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True), st.integers(-40, 40))
def test_layers_are_found_as_python_indexes_the_sorted_list(layers, asked):
    cache = ActivationCache({f"blocks.{layer}.hook_x": torch.tensor(layer) for layer in layers})
    ordered = sorted(layers)
    assert cache.stack("x").tolist() == ordered
    wanted = asked if asked >= 0 else (ordered[asked] if -asked <= len(ordered) else None)
    if wanted in layers:
        assert cache["x", asked].item() == wanted
    else:
        with pytest.raises(UnknownActivation):
            cache["x", asked]


def test_to_shares_what_need_not_change():
    cache = ActivationCache(a=torch.ones(2), ids=torch.ones(2, dtype=torch.int64))
    moved = cache.to("cpu", torch.float16)
    assert (moved["a"].dtype, moved["ids"].dtype) == (torch.float16, torch.int64)
    assert moved["ids"] is cache["ids"]
    assert cache["a"].dtype == torch.float32
    assert cache.to(dtype=torch.float32)["a"] is cache["a"]
    assert cache.apply(lambda value: value + 1)["a"].tolist() == [2, 2]


def test_the_report_and_the_repr_say_what_is_known(cache):
    cache.skipped["blocks.0.hook_mlp_in"], cache.stale = "gated", ("hook_embed",)
    assert repr(cache).startswith("ActivationCache({'hook_embed': [2, 3], ")
    assert f"… {len(KEYS) - 4} more" in repr(cache)
    assert "1 skipped, 1 stale" in repr(cache)
    assert str(cache.report).splitlines() == [
        f"{len(KEYS)} activations of ?, {len(KEYS) * 24:,} bytes",
        "left out blocks.0.hook_mlp_in: gated",
        "stale hook_embed: changed in place after it was cached",
    ]


def test_a_reason_that_many_points_share_is_said_once(cache):
    closed = {
        f"blocks.{i}.attn.hook_pattern": f"Closed: 'blocks.{i}.attn.hook_pattern' is closed: not eager"
        for i in range(5)
    }
    cache.skipped.update(closed | {"a": "gated", "b": "gated", "c": "another"})
    p = "blocks.{}.attn.hook_pattern".format
    assert str(cache.report).splitlines()[1:] == [
        f"left out 5 points ({p(0)}, {p(1)}, {p(2)} and 2 more): Closed: '…' is closed: not eager",
        "left out 2 points (a, b): gated",
        "left out c: another",
    ]
    assert cache.report.skipped == cache.skipped  # as a value it has each
    html = cache._repr_html_()
    assert "<summary>8 left out</summary>" in html
    assert html.count("<li>") == 3


def test_what_was_left_out_is_not_there_for_that_reason(cache):
    for layer in range(3):
        name = f"blocks.{layer}.attn.hook_pattern"
        cache.skipped[name] = f"Closed: {name!r} is closed"
    cache.skipped["blocks.0.hook_mlp_in"] = "gated"
    for asked in ("blocks.1.attn.hook_pattern", ("pattern", 1), ("pattern", 1, "attn"), "blocks.1.*.hook_pattern"):
        with pytest.raises(UnknownActivation, match=r"left out: blocks.1.attn.hook_pattern: Closed: 'blocks.1"):
            cache[asked]
        assert asked not in cache
    for ask in (cache.stack, lambda name: cache[f"**.hook_{name}"]):
        with pytest.raises(UnknownActivation, match=r"left out: 3 points \(.*\): Closed: '…' is closed"):
            ask("pattern")
    with pytest.raises(UnknownActivation, match="its layers are 0 to 2"):
        cache["resid_post"]
    with pytest.raises(UnknownActivation, match="none of a similar name"):
        cache["zzzz"]


def test_the_html_shows_names_as_text_and_nothing_as_markup():
    cache = ActivationCache({"<script>alert(1)</script>": torch.ones(2, 3)})
    cache.skipped["<b>"], cache.stale = "<i>why</i>", ("<u>",)
    html = cache._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<td>2 x 3</td><td>float32</td><td>cpu</td><td>24</td>" in html
    assert not any(tag in html for tag in ("<script", "<b>", "<i>", "<u>"))
    many = ActivationCache({str(number): torch.ones(1) for number in range(100)})
    assert "… 60 more" in many._repr_html_()


def test_a_cache_knows_its_model_and_does_not_keep_it_alive(decoder, tokens):
    _, cache = decoder.run_with_cache(tokens)
    assert cache.model is decoder
    assert cache.report.model == "Decoder"
    assert cache["**.hook_z"].model is decoder

    short = type(decoder)(1)
    _, other = short.run_with_cache(tokens)
    del short
    gc.collect()
    assert other.model is None


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c)), dict.copy, lambda c: c.copy()]
)
def test_copies_hold_the_same(decoder, tokens, copied):
    with decoder.capture("hook_embed") as cache:
        decoder(tokens)
        decoder(tokens)
    for made in (copied(cache), copied(decoder.run_with_cache(tokens)[1])):
        assert all(torch.equal(value, value) for key, value in made.items())
    assert len(copied(cache)) == 2


def test_a_layer_that_is_no_number_and_a_name_in_several_layers_are_told(cache):
    with pytest.raises(UnknownActivation, match="a layer is a number, or None"):
        cache["resid_post", "a"]
    with pytest.raises(UnknownActivation, match=r"so give one: cache\['resid_post', 0\], or all of them"):
        cache["resid_post"]


def test_a_dtype_may_stand_first(cache):
    assert {value.dtype for value in cache.to(torch.float16).values()} == {torch.float16}
