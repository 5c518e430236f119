"""settings.scope: the policy says who sees hooks whose contexts do not say it themselves."""

from __future__ import annotations

import threading

import pytest
import torch

import hookframe
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.governing import govern
from hookframe.policy.language.vocabulary import LayerKind

POINT = "blocks.0.hook_mlp_out"


@pytest.fixture
def govern_with():
    """A manager under a policy with this text; a model that it decides for."""

    def make(model, *texts):
        kinds = (LayerKind.ORGANISATION, LayerKind.USER)
        layers = tuple(read_layer(text.encode(), kind, f"{kind.label}.toml") for kind, text in zip(kinds, texts))
        manager = hookframe.PluginManager()
        govern(manager, Found(layers=layers))
        model.admission_controller = manager
        return manager

    return make


def seen_elsewhere(model, **options):
    """Whether another thread sees a hook of this one's context."""
    plain, found = model(model.tokens), []
    with model.hooks([(POINT, lambda tensor, hook: tensor * 2)], **options):
        thread = threading.Thread(target=lambda: found.append(model(model.tokens)))
        thread.start()
        thread.join()
        assert not torch.equal(model(model.tokens), plain)
    return not torch.equal(found[0], plain)


def test_without_a_policy_everybody_sees_them(model):
    assert seen_elsewhere(model)


@pytest.mark.parametrize(("scope", "seen"), [("context", False), ("all", True)])
def test_the_policy_says_it_for_contexts_that_do_not(model, govern_with, scope, seen):
    govern_with(model, f'schema = 1\n[settings]\nscope = "{scope}"\n')
    assert seen_elsewhere(model) is seen
    assert seen_elsewhere(model, scope="all")
    assert not seen_elsewhere(model, scope="context")


def test_it_holds_for_every_verb(model, govern_with):
    govern_with(model, 'schema = 1\n[settings]\nscope = "context"\n')
    point = model.hook_dict[POINT]
    watched = []

    def watch(tensor, hook):
        if threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=lambda: watched.append(model(model.tokens)))
            thread.start()
            thread.join()

    model.run_with_hooks(model.tokens, fwd_hooks=[(POINT, watch)])
    with model.hooks([(POINT, watch)]):
        _, cache = model.run_with_cache(model.tokens, names_filter=POINT)
    assert len(watched) == 2
    assert list(cache) == [POINT]
    assert not point.has_hooks()


def test_a_stronger_layer_can_lock_it(model, govern_with):
    user = 'schema = 1\n[settings]\nscope = "all"\n'
    govern_with(model, 'schema = 1\nlocked = ["settings.scope"]\n[settings]\nscope = "context"\n', user)
    assert not seen_elsewhere(model)
    govern_with(model, 'schema = 1\n[settings]\nscope = "context"\n', user)
    assert seen_elsewhere(model)
