"""``model.capture``: every forward is kept, told apart, as of fire time, within bounds."""

from __future__ import annotations

import textwrap
import threading

import pytest
import torch
from torch import nn

import hookframe
from hookframe import (
    ActivationShapeError,
    CacheTooLarge,
    HookDenied,
    HookedRootModule,
    HookPoint,
    Objection,
    UnknownActivation,
    UnknownHookPoint,
    hookimpl,
)
from hookframe.capture.captured import Captured
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.vocabulary import LayerKind


class Remembering(HookedRootModule):
    """Keeps tensors of its own from its first run on, and counts in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.hook_out = HookPoint()
        self.table = None
        self.setup()

    def forward(self, x):
        self.table = x * 2
        self.register_buffer("late", x + 1)
        return self.hook_out(self.norm(x))


class Deciding(HookedRootModule):
    """What it does depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_out = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_out(x) if x.sum() > 0 else x


def pad_left(rows):
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def test_one_forward_is_kept_as_run_with_cache_keeps_it(decoder, tokens):
    with torch.no_grad():
        _, expected = decoder.run_with_cache(tokens)
        with decoder.capture() as cache:
            decoder(tokens)
    assert list(cache) == list(expected)
    assert all(torch.equal(cache[name], expected[name]) for name in expected)
    assert isinstance(cache, hookframe.ActivationCache)


def test_every_forward_is_kept_and_a_name_with_several_values_is_never_answered_with_one(decoder, tokens):
    with decoder.capture("blocks.*.hook_resid_post") as cache:
        decoder(tokens)
        decoder(tokens[:1])
    assert [len(cache.step(index)) for index in (0, 1)] == [3, 3]
    assert cache.step(1)["resid_post", 2].shape[0] == 1
    assert cache["blocks.2.hook_resid_post@1"] is cache.step(1)["resid_post", 2]
    assert len(cache["blocks.2.hook_resid_*@?"]) == 2
    assert list(cache["blocks.2.*"]) == ["blocks.2.hook_resid_post@0", "blocks.2.hook_resid_post@1"]
    with pytest.raises(UnknownActivation, match=r"'blocks.2.hook_resid_post' has 2 values: .*@0', .*@1'"):
        cache["resid_post", 2]
    with pytest.raises(UnknownActivation, match="has 2 values"):
        cache.stack("resid_post")
    with pytest.raises(UnknownActivation, match="there is no step 2: 2 forwards were captured"):
        cache.step(2)


def test_calls_in_one_forward_are_counted(echo):
    x = torch.ones(2)
    with echo.capture() as cache:
        echo(x)
    assert list(cache) == ["hook_once@0", "hook_state@0", "hook_state@0:1", "hook_state@0:2"]
    assert [cache[f"hook_state@0{call}"][0].item() for call in ("", ":1", ":2")] == [2, 4, 8]
    assert list(cache.step(0)) == ["hook_once", "hook_state", "hook_state:1", "hook_state:2"]
    assert torch.equal(cache["once"], x)


@pytest.mark.parametrize("clone", ["auto", "always"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_values_are_those_at_fire_time(echo, clone, mode):
    with mode():
        x = torch.ones(2)
        with echo.capture(clone=clone) as cache:
            echo(x)
            echo(x)
            x.mul_(100)
    assert cache["hook_state@0:2"].tolist() == [8, 8]  # the model adds to it in place right after
    assert cache["hook_once@1"].tolist() == [1, 1]
    assert not any(value.requires_grad for value in cache.values())
    assert cache.stale == ()


def test_references_that_changed_are_named_whatever_the_forward(echo):
    capture = echo.capture(clone="never")
    cache = capture.__enter__()
    echo(torch.ones(2))
    echo(torch.ones(2))
    with pytest.warns(hookframe.StaleActivationWarning, match=r"2 captured activations .*'hook_state@0:2'"):
        capture.__exit__(None, None, None)
    assert cache.stale == ("hook_state@0:2", "hook_state@1:2")
    assert "2 stale" in repr(cache)


def test_an_in_place_relu_and_a_view_leave_the_capture_alone(decoder, tokens):
    seen = {}

    def keep(tensor, hook):
        seen[hook.name] = tensor.clone()

    with torch.no_grad(), decoder.hooks(fwd_hooks=[(lambda name: True, hookframe.read_only(keep))]):
        with decoder.capture() as cache:
            decoder(tokens)
    assert all(torch.equal(cache[name], seen[name]) for name in seen)


def test_generation_tells_prompt_and_decoding_apart(decoder):
    ids, mask = pad_left([[3, 4, 5, 6], [7, 8]])
    with decoder.capture("blocks.*.hook_resid_post") as cache:
        decoder.generate(ids, mask, 3)
    assert [(s.index, s.phase, s.past, s.batch, s.length) for s in cache.steps] == [
        (0, "prompt", 0, 2, 4), (1, "decode", 4, 2, 1), (2, "decode", 5, 2, 1), (3, "decode", 6, 2, 1)
    ]  # fmt: skip
    assert cache.steps[0].positions.tolist() == [[0, 1, 2, 3], [-1, -1, 0, 1]]
    assert [step.positions.tolist() for step in cache.steps[1:]] == [[[4], [2]], [[5], [3]], [[6], [4]]]
    assert cache.prompt["resid_post", 0].shape == (2, 4, 8)
    assert [step["resid_post", 0].shape for step in cache.decode] == [(2, 1, 8)] * 3
    assert cache.generations == [[0, 1, 2, 3]]


def test_each_step_equals_the_full_computation_of_each_row_alone(decoder):
    rows = [[3, 4, 5, 6], [7, 8], [9]]
    ids, mask = pad_left(rows)
    with decoder.capture(["blocks.*.hook_resid_post", "blocks.*.attn.hook_z"]) as cache:
        written = decoder.generate(ids, mask, 4)
    for name in ("resid_post", "z"):
        for row, text in enumerate(rows):
            whole = written[row, ids.shape[1] - len(text) :]
            with torch.no_grad():
                _, alone = decoder.run_with_cache(whole[None])
            kept = cache.rows(name, 1)[row]
            torch.testing.assert_close(kept, alone[name, 1][0])
            for step in range(1, 4):
                value = cache.step(step)[name, 1][row, 0]
                torch.testing.assert_close(value, alone[name, 1][0, len(text) - 1 + step])


def test_sequences_that_cannot_be_joined_say_so(decoder, tokens):
    with decoder.capture() as cache:
        decoder.generate(tokens, torch.ones_like(tokens), 2)
        decoder(tokens)
    assert cache.generations == [[0, 1, 2], [3]]
    assert cache.sequence("resid_post", 0, generation=1).shape == (2, 5, 8)
    assert cache.sequence("resid_post", 0, generation=0).shape == (2, 7, 8)
    with pytest.raises(hookframe.ActivationShapeError, match="step 1, which has 1 positions: it cannot be joined"):
        cache.sequence("pattern", 0, generation=0)
    with pytest.raises(UnknownActivation, match="there is no generation 2: 2 were captured"):
        cache.sequence("resid_post", 0, generation=2)
    with pytest.raises(UnknownActivation, match="2 prompts were captured"):
        cache.prompt
    with decoder.capture(pos_slice=-1) as cut:
        decoder(tokens)
    with pytest.raises(hookframe.ActivationShapeError, match=r"shape \[2, 1, 8\] in step 0, which has 5 positions"):
        cut.rows("resid_post", 0)


@pytest.mark.parametrize("verb", ["sequence", "rows"])
def test_of_several_generations_one_has_to_be_chosen(decoder, tokens, verb):
    with decoder.capture("hook_embed") as cache, torch.no_grad():
        for _ in range(4):
            decoder.generate(tokens, torch.ones_like(tokens), 1)
    with pytest.raises(
        UnknownActivation,
        match=r"4 generations were captured, in the steps \[0, 1\], \[2, 3\], \[4, 5\] … \[6, 7\]: say which one, "
        r"generation=0 to 3$",
    ):
        getattr(cache, verb)("embed")
    assert getattr(cache, verb)("embed", generation=3)[0].shape == (6, 8)


@pytest.mark.parametrize("verb", ["sequence", "rows"])
def test_a_text_that_is_read_anew_for_each_token_is_told_from_several_prompts(decoder, tokens, verb):
    with decoder.capture("hook_embed") as cache:
        for length in (3, 4, 5):
            decoder(tokens[:, :length])
    with pytest.raises(
        UnknownActivation, match="3 generations .*to 2; .*use_cache=False.*: generation=-1 is the whole"
    ):
        getattr(cache, verb)("embed")
    assert getattr(cache, verb)("embed", generation=-1)[0].shape == (5, 8)
    with decoder.capture("hook_embed") as cache:
        decoder(tokens)
        decoder(tokens)
    with pytest.raises(UnknownActivation, match="generation=0 to 1$"):
        getattr(cache, verb)("embed")


@torch.no_grad()
def decode_twice(decoder, between):
    """A prompt of two texts, then two tokens each; ``between`` is done to the key-value cache before the second."""
    logits, past = decoder(torch.tensor([[3, 4, 5], [6, 7, 8]]))
    for touch in (lambda past: past, between):
        past = touch(past)
        logits, past = decoder(
            logits[:, -1:].argmax(-1),
            attention_mask=torch.ones(len(logits), past[0][0].shape[1] + 1),
            past_key_values=past,
        )


def taken(*rows):
    return lambda past: [tuple(part[list(rows)] for part in layer) for layer in past]


def test_rows_that_a_beam_search_moved_make_no_sequence(decoder, tmp_path):
    with decoder.capture("blocks.*.hook_resid_post") as cache:
        decode_twice(decoder, taken(1, 0))
    assert [step.reordered for step in cache.steps] == [False, False, True]
    cache.save(tmp_path / "saved")
    for held in (cache, hookframe.ActivationCache.load(tmp_path / "saved")):
        for verb in (held.sequence, held.rows):
            with pytest.raises(
                ActivationShapeError, match="rows of step 2 go on from other rows of step 1, as a beam search"
            ):
                verb("resid_post", 0)
        assert held.step(2)["resid_post", 0].shape == (2, 1, 8)


def test_a_beam_that_takes_the_place_of_another_is_noticed_too(decoder):
    with decoder.capture("hook_embed") as cache:
        decode_twice(decoder, taken(0, 0))
    assert [step.reordered for step in cache.steps] == [False, False, True]


def test_an_estimate_in_between_forwards_does_not_hide_that_rows_moved(decoder):
    def estimated(past):
        assert capture.estimate(torch.tensor([[1, 2]])).nbytes > 0
        return past

    for between, moved in ((estimated, False), (lambda past: taken(1, 0)(estimated(past)), True)):
        capture = decoder.capture("hook_embed")
        with capture as cache:
            decode_twice(decoder, between)
        assert [step.reordered for step in cache.steps] == [False, False, moved]


@pytest.mark.parametrize(
    "harmless", [taken(0, 1), lambda past: [tuple(part.clone() for part in layer) for layer in past]]
)
def test_a_cache_that_was_replaced_by_an_equal_one_has_the_same_rows(decoder, harmless):
    with decoder.capture("hook_embed") as cache:
        decode_twice(decoder, harmless)
    assert [step.reordered for step in cache.steps] == [False, False, False]
    assert cache.sequence("embed").shape == (2, 5, 8)


@torch.no_grad()
def with_drafts(decoder, *drafts):
    """A prompt, then forwards over drafts of which only the first token is right; the tokens that count."""
    text = torch.tensor([[3, 4, 5, 6], [0, 7, 8, 9]])
    mask = (text != 0).long()
    past = None
    for draft in drafts:
        fed = torch.cat([text if past is None else text[:, -1:], torch.tensor([draft, draft]).long()], 1)
        held = text.shape[1] + len(draft)
        logits, past = decoder(
            fed,
            torch.cat([mask, mask.new_ones(2, held - mask.shape[1])], 1),
            **({"past_key_values": past} if past else {}),
        )
        past = [tuple(part[:, : text.shape[1]] for part in layer) for layer in past]
        text = torch.cat([text, logits[:, fed.shape[1] - len(draft) - 1, None].argmax(-1)], 1)
        mask = torch.cat([mask, mask.new_ones(2, 1)], 1)
    return text, mask


def test_drafts_that_were_rejected_are_left_out(decoder, tmp_path):
    with decoder.capture(["blocks.*.hook_resid_post", "blocks.*.attn.hook_z"]) as cache:
        text, mask = with_drafts(decoder, [1, 2, 3], [4, 5], [], [6], [])
    assert [(step.past, step.length, step.cut, step.kept) for step in cache.steps] == [
        (0, 7, 3, 4), (4, 3, 2, 1), (5, 1, 0, 1), (6, 2, 1, 1), (7, 1, 0, 1)
    ]  # fmt: skip
    assert cache.generations == [[0, 1, 2, 3, 4]]
    with torch.no_grad():
        _, whole = decoder.run_with_cache(text[:, :-1], mask[:, :-1])
    cache.save(tmp_path / "saved")
    for held in (cache, hookframe.ActivationCache.load(tmp_path / "saved")):
        for name in ("resid_post", "z"):
            torch.testing.assert_close(held.sequence(name, 1)[0], whole[name, 1][0])
            torch.testing.assert_close(held.rows(name, 1)[1], whole[name, 1][1, 1:])
        assert held.step(0)["resid_post", 0].shape == (2, 7, 8)


def test_going_on_from_an_earlier_place_is_another_generation(decoder):
    with decoder.capture("hook_embed") as cache, torch.no_grad():
        _, past = decoder(torch.tensor([[3, 4, 5]]))
        for _ in range(2):
            decoder(torch.tensor([[6]]), torch.ones(1, 4), past_key_values=past)
    assert [step.cut for step in cache.steps] == [0, 0, 0]
    assert cache.generations == [[0, 1], [2]]


def test_a_whole_name_that_has_several_values_says_so(decoder, tokens):
    with decoder.capture("**.hook_resid_post") as cache:
        decoder(tokens)
        decoder(tokens)
    assert "blocks.0.hook_resid_post" not in cache
    with pytest.raises(
        UnknownActivation, match="'blocks.0.hook_resid_post' has 2 values: 'blocks.0.hook_resid_post@0', "
    ):
        cache["blocks.0.hook_resid_post"]


def test_a_point_called_twice_makes_no_sequence(echo):
    with echo.capture() as cache:
        echo(torch.ones(2, 3, 4))
    with pytest.raises(UnknownActivation, match="not one value in step 0"):
        cache.sequence("hook_state")
    assert cache.sequence("once").shape == (2, 3, 4)


def test_rows_need_a_batch(echo):
    with echo.capture("hook_once") as cache:
        echo(torch.ones(3, 4))
    cache.pos_dims["hook_once"] = 0
    cache.steps[0] = type(cache.steps[0])(index=0, batch=1, length=3)
    with pytest.raises(hookframe.ActivationShapeError, match="no dimension for the batch"):
        cache.rows("once")


def test_a_part_called_by_itself_makes_a_step(decoder):
    with decoder.capture("blocks.0.hook_resid_pre") as cache:
        decoder.blocks[0](torch.zeros(1, 2, 8), torch.ones(1, 2), None)
    assert list(cache) == ["blocks.0.hook_resid_pre"]
    assert cache.steps[0].batch is None


def test_another_module_can_count_as_the_forward(decoder, tokens):
    with decoder.capture("blocks.0.hook_resid_pre", forwards_of=decoder.blocks[0]) as cache:
        decoder.blocks[0](torch.zeros(1, 2, 8), torch.ones(1, 2), None)
        decoder.blocks[0](torch.zeros(3, 2, 8), torch.ones(3, 2), None)
    assert [step.batch for step in cache.steps] == [1, 3]


def test_other_threads_are_not_captured(decoder, tokens):
    with decoder.capture("hook_embed") as cache:
        other = threading.Thread(target=decoder, args=(tokens,))
        other.start()
        other.join()
        decoder(tokens[:1])
    assert cache["hook_embed"].shape[0] == 1
    assert len(cache.steps) == 1


def test_nothing_stays_on_the_model(decoder, tokens):
    with pytest.raises(ZeroDivisionError):
        with decoder.capture() as cache:
            decoder(tokens)
            1 / 0
    assert len(cache) == 16
    assert not decoder._forward_pre_hooks
    assert not any(point.has_hooks() for point in decoder.hook_points())


def test_a_capture_can_be_entered_again_but_not_twice(decoder, tokens):
    capture = decoder.capture("hook_embed")
    with capture as first:
        decoder(tokens)
        with pytest.raises(hookframe.HookframeError, match="entered already"):
            capture.__enter__()
    with capture as second:
        decoder(tokens[:1])
    assert (len(first["embed"]), len(second["embed"])) == (2, 1)
    capture.__exit__(None, None, None)  # as leaving twice: nothing


def test_names_and_globs(decoder, tokens):
    for names, count in [
        ("hook_embed", 1),
        (["hook_embed", "blocks.*.attn.*"], 7),
        (lambda n: "mid" in n, 3),
        ("**", 16),
    ]:
        with decoder.capture(names) as cache:
            decoder(tokens)
        assert len(cache) == count
    with pytest.raises(UnknownHookPoint, match=r"no hook point that matches 'blocks\.\*\.hook_resid_pots'"):
        with decoder.capture(["hook_embed", "blocks.*.hook_resid_pots"]):
            pass


def test_admission_refuses_a_capture_before_it_is_attached(decoder):
    class NoMiddle:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            assert all(request.caches and request.effect == "read" for request in requests)
            middle = [r for r in requests if "mid" in r.point]
            return [Objection.deny(r, rule="no-mid", message="not there", remedy="elsewhere") for r in middle]

    with hookframe.use_plugins(NoMiddle()):
        with pytest.raises(HookDenied, match="not there"):
            with decoder.capture("blocks.*.hook_resid_mid"):
                pass
        assert not decoder._forward_pre_hooks
        with decoder.capture("hook_embed"):
            pass


def test_the_torch_hook_of_a_capture_is_not_taken_for_a_foreign_one(decoder, tokens):
    seen = []

    class Watch:
        @hookimpl
        def hookframe_check_run(self, request):
            seen.append(request.unmanaged)

    with hookframe.use_plugins(Watch()):
        with decoder.capture("hook_embed"):
            decoder(tokens)
    assert seen == [()]


def test_max_bytes_refuses_before_the_forward_runs(decoder, tokens):
    ran = []
    handle = decoder.out.register_forward_hook(lambda *_: ran.append(1))
    needed = decoder.capture("**.hook_resid_*").estimate(tokens).nbytes
    ran.clear()
    with decoder.capture("**.hook_resid_*", max_bytes=needed) as cache:
        decoder(tokens)
        assert len(ran) == 2  # once on shapes, once for good
        with pytest.raises(CacheTooLarge, match=f"a forward with {needed:,} bytes .* max_bytes={needed:,}"):
            decoder(tokens)
        assert len(ran) == 2
    assert cache.nbytes == needed
    handle.remove()


def test_max_bytes_holds_where_shapes_cannot_be_told(decoder, tokens):
    looks = hookframe.read_only(lambda tensor, hook: None)
    with decoder.hooks(fwd_hooks=[("hook_embed", looks)]), decoder.capture("**.hook_resid_*", max_bytes=1000) as cache:
        with pytest.raises(CacheTooLarge, match=r"'blocks.1.hook_resid_pre' with 320 bytes on top of 960"):
            decoder(tokens)
    assert cache.nbytes <= 1000
    with pytest.raises(ValueError, match="max_bytes='1GB' is no number of bytes"):
        decoder.capture(max_bytes="1GB")


def test_max_bytes_holds_in_generation(decoder, tokens):
    with decoder.capture("hook_embed", max_bytes=2 * 5 * 8 * 4 + 100) as cache:
        with pytest.raises(CacheTooLarge, match="'hook_embed' with 64 bytes"):
            decoder.generate(tokens, torch.ones_like(tokens), 3)
    assert len(cache) == 2


@pytest.mark.parametrize("options", [{}, {"pos_slice": (1, 3)}, {"pos_slice": -1, "clone": "always"}])
def test_an_estimate_is_what_is_then_measured(decoder, tokens, options):
    estimate = decoder.capture(**options).estimate(tokens)
    with decoder.capture(**options) as cache:
        decoder(tokens)
        inside = sum(value.nbytes for value in cache.values())
    assert estimate.nbytes == inside == cache.nbytes
    assert [(p.name, p.shape) for p in estimate.points] == [(k, tuple(v.shape)) for k, v in cache.items()]
    assert f"{estimate.nbytes:,}  bytes in 16 activations" in str(estimate)


def test_an_estimate_computes_nothing_and_leaves_the_model_as_it_was(tokens):
    model = Remembering()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    estimate = model.capture().estimate(torch.ones(4, 3))
    assert estimate.nbytes == 48
    assert all(type(value) is torch.Tensor for value in model.state_dict().values())
    assert {name: value.tolist() for name, value in model.state_dict().items()} == {
        name: value.tolist() for name, value in before.items()
    }
    assert model.table is None
    assert "late" not in dict(model.named_buffers())


def test_what_cannot_be_estimated_says_why(decoder, tokens):
    with pytest.raises(hookframe.EstimateError, match="fails without values"):
        Deciding().capture().estimate(torch.ones(2))
    handle = decoder.add_hook("hook_embed", lambda tensor, hook: tensor * 2)
    with pytest.raises(hookframe.EstimateError, match="attached at 'hook_embed'"):
        decoder.capture().estimate(tokens)
    handle.remove()


class FewBytes:
    """Refuses caches of more than 3,000 bytes, as far as it knows."""

    def __init__(self):
        self.told = []

    @hookimpl
    def hookframe_check_cache(self, request):
        self.told.append((request.estimated_bytes, len(request.points)))
        if request.estimated_bytes is not None and request.estimated_bytes > 3000:
            return [Objection.deny(request, rule="few", message=f"{request.estimated_bytes} bytes", remedy="keep less")]
        return None


def test_admission_is_told_the_bytes_where_they_are_estimated(decoder, tokens):
    few = FewBytes()
    with hookframe.use_plugins(few), torch.no_grad():
        capture = decoder.capture("**.hook_resid_post")
        nbytes = capture.estimate(tokens).nbytes
        assert few.told == [(None, 3), (nbytes, 3)]
        few.told.clear()
        with decoder.capture("**.hook_resid_post", max_bytes=10**6) as cache:
            decoder(tokens)
            decoder(tokens[:, :2])
        assert few.told == [(None, 3), (nbytes, 3), (nbytes + nbytes * 2 // tokens.shape[1], 3)]
        assert cache.held == few.told[-1][0]
        few.told.clear()
        with decoder.capture("**.hook_resid_post"):
            decoder(tokens)
        assert few.told == [(None, 3)]  # nobody estimated


def test_what_is_refused_for_its_bytes_is_refused_before_the_forward(decoder, tokens):
    with hookframe.use_plugins(FewBytes()):
        with pytest.raises(HookDenied, match=r"\d+ bytes(?s:.*)keep less"):
            decoder.capture().estimate(tokens.repeat(10, 1))
        ran = []
        decoder.embed.register_forward_hook(lambda *_: ran.append(1))
        with decoder.capture("hook_embed", max_bytes=10**6) as cache:
            decoder(tokens)
            with pytest.raises(HookDenied, match=r"\d+ bytes"):
                decoder(tokens.repeat(50, 1))
        assert len(ran) == 3  # each is traced, and the first ran
        assert list(cache) == ["hook_embed"]


def test_a_policy_decides_on_the_bytes_of_a_capture(decoder, tokens):
    text = """
        schema = 1
        [[rules]]
        id = "small-caches"
        where = ["cache"]
        when = { request.estimated_bytes.gt = 3000 }
        reason = "caches are small here"
        remedy = "keep less"
    """
    layer = read_layer(textwrap.dedent(text).encode(), LayerKind.PROJECT, "project.toml")
    with hookframe.use_plugins(PolicyEngine(merge([layer]))), torch.no_grad():
        with pytest.raises(HookDenied, match="small-caches"):
            decoder.capture().estimate(tokens.repeat(10, 1))
        decoder.run_with_cache(tokens.repeat(10, 1))  # nothing is known of it


def test_spilled_values_are_on_disk_and_equal(decoder, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.capture.spool.SHARD_BYTES", 1000)
    with torch.no_grad():
        with decoder.capture() as expected:
            decoder.generate(tokens, torch.ones_like(tokens), 2)
        with decoder.capture(spill=tmp_path / "spill") as cache:
            decoder.generate(tokens, torch.ones_like(tokens), 2)
            assert len(list((tmp_path / "spill").glob("*.safetensors"))) > 3  # as the forwards go
    assert list(cache) == list(expected)
    assert all(torch.equal(cache[key], expected[key]) for key in expected)
    loaded = hookframe.ActivationCache.load(tmp_path / "spill", verify=True)
    assert isinstance(loaded, Captured)
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)
    assert torch.equal(loaded.sequence("resid_post", 1), expected.sequence("resid_post", 1))
    assert [s.positions.tolist() for s in loaded.steps] == [s.positions.tolist() for s in expected.steps]
    with pytest.raises(hookframe.CacheFileError, match="spill to an empty directory"):
        with decoder.capture(spill=tmp_path / "spill"):
            pass


def test_a_spill_that_cannot_be_made_says_so(decoder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(hookframe.CacheFileError, match="cannot be used"):
        with decoder.capture(spill=tmp_path / "file"):
            pass
    assert not decoder.is_caching


def test_a_compiled_model_is_captured_as_it_is(echo):
    compiled = torch.compile(echo, backend="eager")
    compiled(torch.ones(2))
    with echo.capture() as cache, torch.no_grad():
        compiled(torch.ones(2))
        compiled(torch.ones(2))
    assert [cache[f"hook_state@1{call}"][0].item() for call in ("", ":1", ":2")] == [2, 4, 8]
    assert len(cache.steps) == 2


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_what_was_spilled_before_an_error_is_in_the_cache(decoder, tokens, tmp_path):
    with torch.no_grad(), decoder.capture("**.hook_resid_post", spill=tmp_path / "spill") as cache:
        decoder(tokens)
        assert len(cache) == 0  # nothing is shown before it is written
        with pytest.raises(IndexError):
            decoder(torch.tensor([[1000]]))
    assert len(cache.step(0)) == 3
    with pytest.raises(ZeroDivisionError):
        with decoder.capture("hook_embed", spill=tmp_path / "other") as cache:
            decoder(tokens)
            1 / 0
    assert torch.equal(cache["embed"], decoder.embed(tokens))
    with pytest.raises(
        hookframe.CacheFileError, match=r"has not ended, or was interrupted by an exception(?s:.*)again"
    ):
        hookframe.ActivationCache.load(tmp_path / "other")


def test_a_spill_is_not_loaded_before_it_is_whole(decoder, tokens, tmp_path):
    with decoder.capture("hook_embed", spill=tmp_path / "spill"):
        decoder(tokens)
        with pytest.raises(hookframe.CacheFileError, match="has not ended"):  # what a kill here would leave
            hookframe.ActivationCache.load(tmp_path / "spill")
    assert list(hookframe.ActivationCache.load(tmp_path / "spill")) == ["hook_embed"]


def test_a_spill_that_is_interrupted_before_anything_was_captured_can_be_tried_again(decoder, tokens, tmp_path):
    with pytest.raises(IndexError), decoder.capture("hook_embed", spill=tmp_path / "spill"):
        decoder(torch.tensor([[1000]]))
    with decoder.capture("hook_embed", spill=tmp_path / "spill"):
        decoder(tokens)
    assert list(hookframe.ActivationCache.load(tmp_path / "spill")) == ["hook_embed"]


def test_a_spill_whose_last_file_cannot_be_written_is_not_loaded(decoder, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.capture.spool.SHARD_BYTES", 1)
    with pytest.raises(hookframe.CacheFileError, match="cannot be written"):
        with decoder.capture("hook_embed", spill=tmp_path / "spill"):
            decoder(tokens)
            (tmp_path / "spill" / "tensors-00001.safetensors").mkdir()
            decoder(tokens)
    with pytest.raises(hookframe.CacheFileError, match="has not ended, or was interrupted"):
        hookframe.ActivationCache.load(tmp_path / "spill")


def test_a_refused_capture_makes_no_directory(decoder, tmp_path):
    class Nothing:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [Objection.deny(r, rule="none", message="nothing", remedy="ask") for r in requests]

    with hookframe.use_plugins(Nothing()), pytest.raises(HookDenied, match="nothing"):
        with decoder.capture(spill=tmp_path / "spill"):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="copies beside the computation need a CUDA device")
def test_spilled_values_of_a_gpu_are_those_at_fire_time(tmp_path):
    class Heavy(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(512, 512) / 23)
            self.hook_x = HookPoint()
            self.setup()

        def forward(self, x):
            for _ in range(20):
                x = self.hook_x(x @ self.weight)
                x.relu_()  # in place, right after the point
            return x

    model = Heavy().to("cuda")
    x = torch.randn(4096, 512, device="cuda")
    expected = []
    with torch.no_grad():
        with model.hooks([("hook_x", hookframe.read_only(lambda t, hook: expected.append(t.clone())))]):
            model(x)
        with model.capture(spill=tmp_path / "spill") as cache:
            model(x)
    assert len(cache) == 20
    assert all(torch.equal(a, b.cpu()) for a, b in zip(cache.values(), expected, strict=True))
