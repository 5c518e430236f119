"""Any order of operations, from any thread, against a model of them that is too simple to be wrong.

The simple model is a list of hooks for each point, in the order in which they run. After each step the lists of handles,
the counts of what fired, and the outputs have to agree with it.
"""

from __future__ import annotations

import copy
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint, InstrumentReleased

NAMES = ("first", "second", "third")
MODULES = ("early", "late")
OPERATIONS = {"+1": lambda t: t + 1, "*2": lambda t: t * 2, "see": lambda t: None}


class Root(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = HookPoint(), HookPoint(), HookPoint()
        self.setup()

    def forward(self, x):
        return self.third(self.second(self.first(x) * 3) - 1)


class Double(nn.Module):
    def forward(self, x):
        return x * 2


class Plain(nn.Module):
    """For ``instrument``: points at the outputs of two modules."""

    def __init__(self):
        super().__init__()
        self.early, self.late = Double(), nn.Identity()

    def forward(self, x):
        return self.late(self.early(x) * 3) - 1


class Boom(BaseException):
    pass


@dataclass(eq=False)
class Hook:
    """One hook, as the simple model knows it."""

    kind: str
    permanent: bool = False
    level: int | None = None
    handle: object = None
    fired: int = 0
    only: bool | None = None  # for forwards elsewhere alone, or here alone; None for all

    def sees(self, elsewhere):
        return self.only is None or self.only is elsewhere

    def __call__(self, tensor, hook):
        self.fired += 1
        return OPERATIONS[self.kind](tensor)

    def __deepcopy__(self, memo):
        return Hook(self.kind, self.permanent, self.level)


@dataclass(eq=False)
class Subject:
    """A model under test, and what the simple model says of it: name → hooks in the order in which they run."""

    model: HookedRootModule
    names: tuple[str, ...]
    hooks: dict[str, list[Hook]]
    released: bool = False

    @property
    def every(self):
        return [hook for hooks in self.hooks.values() for hook in hooks]

    def expected(self, x, elsewhere=False):
        instrumented = len(self.names) == 2
        for number, name in enumerate(self.names):
            if instrumented:
                x = x * 2 if number == 0 else x
            for hook in self.hooks[name]:
                hook_result = OPERATIONS[hook.kind](x) if hook.sees(elsewhere) else None
                x = x if hook_result is None else hook_result
            if number == 0:
                x = x * 3
            if not instrumented and number == 1:
                x = x - 1
        return x - 1 if instrumented else x


def subject_of(model):
    names = NAMES if isinstance(model, Root) else tuple(f"{name}.hook_out" for name in MODULES)
    return Subject(model, names, {name: [] for name in names})


kinds = st.sampled_from(sorted(OPERATIONS))
places = st.integers(0, 2)
threads = st.booleans()


class Machine(RuleBasedStateMachine):
    tried = Counter()

    @initialize()
    def begin(self):
        self.subjects = [subject_of(Root())]
        self.contexts = []
        self.pool = ThreadPoolExecutor(1)
        self.tried["sequences of operations"] += 1

    def teardown(self):
        for _, context, _ in reversed(self.contexts):
            context.__exit__(Boom, Boom(), None)  # so that hooks that never fired are no matter
        self.pool.shutdown()

    def _do(self, elsewhere, work, *args, **kwargs):
        """Do it in this thread, or in another one."""
        return self.pool.submit(work, *args, **kwargs).result() if elsewhere else work(*args, **kwargs)

    def _pick(self, which):
        alive = [subject for subject in self.subjects if not subject.released]
        return alive[which % len(alive)]

    @rule(which=places, place=places, kind=kinds, permanent=st.booleans(), prepend=st.booleans(), elsewhere=threads)
    def add(self, which, place, kind, permanent, prepend, elsewhere):
        subject = self._pick(which)
        name, hook = subject.names[place % len(subject.names)], Hook(kind, permanent)
        options = {"is_permanent": permanent, "prepend": prepend}
        hook.handle = self._do(elsewhere, subject.model.hook_dict[name].add_hook, hook, **options)
        subject.hooks[name].insert(0 if prepend else len(subject.hooks[name]), hook)

    @rule(
        which=places,
        chosen=st.lists(st.tuples(places, kinds), min_size=1, max_size=3),
        scope=st.sampled_from(["all", "context"]),
        elsewhere=threads,
    )
    def enter(self, which, chosen, scope, elsewhere):
        subject = self._pick(which)
        facts = {"level": subject.model.context_level + 1, "only": elsewhere if scope == "context" else None}
        made = [(subject.names[place % len(subject.names)], Hook(kind, **facts)) for place, kind in chosen]
        context = subject.model.hooks(made, scope=scope)
        self._do(elsewhere, context.__enter__)
        for name, hook in made:
            hook.handle = next(h for h in subject.model.hook_dict[name].fwd_hooks if h.user_hook is hook)
            subject.hooks[name].append(hook)
        self.contexts.append((subject, context, [hook for _, hook in made]))

    @precondition(lambda self: self.contexts)
    @rule(which=places, raised=st.booleans(), elsewhere=threads)
    def leave(self, which, raised, elsewhere):
        """In any order, by whichever way, from whichever thread."""
        subject, context, made = self.contexts.pop(which % len(self.contexts))
        error = Boom() if raised else None
        # a hook that never fired is reported: a fault of the block, unless an exception is on its way
        if raised:
            self._do(elsewhere, context.__exit__, type(error), error, None)
        else:
            for place in {hook.only or False for hook in made}:
                self._ran(subject, elsewhere=place)
            self._do(elsewhere, context.__exit__, None, None, None)
        for hooks in subject.hooks.values():
            hooks[:] = [hook for hook in hooks if hook not in made]

    @rule(which=places, elsewhere=threads)
    def run(self, which, elsewhere):
        self._ran(self._pick(which), elsewhere)

    def _ran(self, subject, elsewhere):
        x = torch.tensor([1.0, -2.0])
        expected = subject.expected(x, elsewhere)
        if subject.released:
            assert torch.equal(subject.model.wrapped(x), expected)
            return
        before = {id(hook): hook.fired for hook in subject.every}
        assert torch.equal(self._do(elsewhere, subject.model, x), expected)
        for hook in subject.every:
            assert hook.fired == before[id(hook)] + hook.sees(elsewhere)

    @rule(which=places, place=places, kind=kinds, scope=st.sampled_from(["all", "context"]), elsewhere=threads)
    def run_with_hooks(self, which, place, kind, scope, elsewhere):
        subject = self._pick(which)
        hook, name = Hook(kind), subject.names[place % len(subject.names)]
        x = torch.ones(2)
        subject.hooks[name].append(hook)
        expected = subject.expected(x, elsewhere)
        output = self._do(elsewhere, subject.model.run_with_hooks, x, fwd_hooks=[(name, hook)], scope=scope)
        assert torch.equal(output, expected)
        subject.hooks[name].remove(hook)
        assert hook.fired == 1

    @rule(which=places, elsewhere=threads)
    def run_with_cache(self, which, elsewhere):
        subject = self._pick(which)
        x = torch.ones(2)
        output, cache = self._do(elsewhere, subject.model.run_with_cache, x, names_filter=list(subject.names))
        assert torch.equal(output, subject.expected(x, elsewhere))
        assert list(cache) == list(subject.names)

    @rule(which=places, place=places, elsewhere=threads)
    def raise_inside(self, which, place, elsewhere):
        subject = self._pick(which)

        def fail(tensor, hook):
            raise Boom

        name = subject.names[place % len(subject.names)]
        with pytest.raises(Boom):
            self._do(elsewhere, subject.model.run_with_hooks, torch.ones(2), fwd_hooks=[(name, fail)])

    @rule(which=places, including_permanent=st.booleans(), elsewhere=threads)
    def reset(self, which, including_permanent, elsewhere):
        subject = self._pick(which)
        self._do(elsewhere, subject.model.reset_hooks, including_permanent=including_permanent)
        for hooks in subject.hooks.values():
            hooks[:] = [hook for hook in hooks if hook.permanent and not including_permanent]

    @rule(which=places, place=places, elsewhere=threads)
    def remove(self, which, place, elsewhere):
        subject = self._pick(which)
        every = subject.every
        if every:
            hook = every[place % len(every)]
            self._do(elsewhere, hook.handle.remove)
            self._do(elsewhere, hook.handle.remove)  # a second time, to no effect
            for hooks in subject.hooks.values():
                hooks[:] = [other for other in hooks if other is not hook]

    @precondition(lambda self: len(self.subjects) < 4)
    @rule(which=places, elsewhere=threads)
    def copy(self, which, elsewhere):
        """A copy has the hooks that were added, and none of contexts."""
        subject = self._pick(which)
        twin = subject_of(self._do(elsewhere, copy.deepcopy, subject.model))
        for name in twin.names:
            handles = twin.model.hook_dict[name].fwd_hooks
            stays = [hook for hook in subject.hooks[name] if hook.level is None]
            assert [handle.user_hook.kind for handle in handles] == [hook.kind for hook in stays]
            for handle in handles:
                handle.user_hook.handle = handle
                twin.hooks[name].append(handle.user_hook)
        self.subjects.append(twin)

    @rule(which=places, elsewhere=threads)
    def setup(self, which, elsewhere):
        self._do(elsewhere, self._pick(which).model.setup)

    @precondition(lambda self: len(self.subjects) < 4)
    @rule(elsewhere=threads)
    def instrument(self, elsewhere):
        self.subjects.append(subject_of(self._do(elsewhere, hookframe.instrument, Plain())))

    @precondition(lambda self: any(len(s.names) == 2 and not s.released for s in self.subjects))
    @rule(elsewhere=threads)
    def release(self, elsewhere):
        subject = next(s for s in self.subjects if len(s.names) == 2 and not s.released)
        self._do(elsewhere, subject.model.release)
        subject.released = True
        for hooks in subject.hooks.values():
            hooks.clear()
        with pytest.raises(InstrumentReleased, match="call hookframe.instrument"):
            subject.model.run_with_cache(torch.ones(2))
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in subject.model.wrapped.modules())

    @invariant()
    def lists_agree(self):
        self.tried["operations in them"] += 1
        for subject in getattr(self, "subjects", ()):
            for name in subject.names:
                handles = list(subject.model.hook_dict[name].fwd_hooks)
                assert [handle.user_hook for handle in handles] == subject.hooks[name]
                assert handles == [hook.handle for hook in subject.hooks[name]]
            open_here = sum(subject is other for other, _, _ in self.contexts)
            assert subject.model.context_level == open_here


def test_any_order_of_operations_agrees_with_the_simple_model(request, tally):
    Machine.tried.clear()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=500 if request.config.getoption("soak") else 25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    for what, how_many in Machine.tried.items():
        tally(f"random {what}", how_many)
