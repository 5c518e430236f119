"""Models with random weights, built from small configurations of each family."""

from __future__ import annotations

import contextlib
import os

import pytest
import torch
from hookframe_families import plugin

from hookframe import use_plugins
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.vocabulary import LayerKind

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 50,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = TEXT | {"num_key_value_heads": 2, "head_dim": 8}
SPARSE = GROUPED | {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
MODELS = {
    "bert": ("BertForMaskedLM", "BertConfig", TEXT),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", GROUPED),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", GROUPED),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", GROUPED),
    "gpt2": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", TEXT),
    "gpt_neox one by one": ("GPTNeoXForCausalLM", "GPTNeoXConfig", TEXT | {"use_parallel_residual": False}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "llama base": ("LlamaModel", "LlamaConfig", GROUPED),
    "mistral": ("MistralForCausalLM", "MistralConfig", GROUPED),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", GROUPED),
    "mamba": ("MambaForCausalLM", "MambaConfig", {**TEXT, "state_size": 4}),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", GROUPED | {"num_local_experts": 4}),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        GROUPED
        | {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4}
        | {"num_experts_per_tok": 2},
    ),
    "qwen3_moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", SPARSE | {"mlp_only_layers": [1]}),
    "qwen3_moe dense first": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", SPARSE | {"mlp_only_layers": [0]}),
    "olmoe": ("OlmoeForCausalLM", "OlmoeConfig", SPARSE),
    "olmoe clipped": ("OlmoeForCausalLM", "OlmoeConfig", SPARSE | {"clip_qkv": 0.5}),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", GROUPED),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 50}
        | {"decoder_start_token_id": 0, "pad_token_id": 0},
    ),
    "t5 gated": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}
        | {"vocab_size": 50, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "pad_token_id": 0},
    ),
    "vit": (
        "ViTForImageClassification",
        "ViTConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        | {"image_size": 16, "patch_size": 8},
    ),
}


def build(name, **options):
    """A model of this name with random weights, large enough that every part of it counts."""
    transformers = pytest.importorskip("transformers")
    kind, config, settings = MODELS[name]
    eager = {} if name == "mamba" else {"attn_implementation": "eager"}
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**settings | eager | options)).eval()
    for parameter in model.parameters():
        mean, spread = (1.0, 0.2) if parameter.dim() == 1 else (0.0, 0.2)
        torch.nn.init.normal_(parameter, mean, spread)
    return model


@pytest.fixture
def policy():
    """Puts one rule of an organisation in force: a context manager that takes what the rule is about."""
    rule = 'schema = 1\n[[rules]]\nid = "here"\nreason = "it is said so"\nremedy = "ask"\n'

    @contextlib.contextmanager
    def in_force(about):
        layer = read_layer((rule + about).encode(), LayerKind.ORGANISATION, "organisation.toml")
        with use_plugins(plugin, PolicyEngine(merge([layer]))):
            yield

    return in_force


@pytest.fixture(autouse=True)
def families():
    """This plugin, and no other, in force for the test."""
    with use_plugins(plugin) as manager:
        yield manager
