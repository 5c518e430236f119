"""The soak: threads that do everything at once on one model, each run held against the same run alone, bit for bit."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

import hookframe
from hookframe import hookimpl
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.governing import govern
from hookframe.policy.language.vocabulary import LayerKind
from hookframe.testing.tiny_model import TinyModel

POINTS = (
    "hook_embed",
    "blocks.0.attn.hook_q",
    "blocks.0.hook_mlp_out",
    "blocks.1.mlp.hook_post",
    "blocks.1.hook_resid_post",
)
FORBIDDEN = "blocks.1.hook_attn_out"
POLICIES = tuple(
    f"""
schema = 1
[settings]
scope = "{scope}"
[[rules]]
id = "not-there"
points = ["{FORBIDDEN}"]
effect = "edit"
reason = "nobody edits there"
remedy = "edit elsewhere"
"""
    for scope in ("all", "context")
)
INPUTS = 4
MOST_OBJECTS = 5_000  # how many more objects Python may keep after the last run than after a quarter of them
MOST_BYTES = 48 << 20  # likewise for the memory of the process


class Watcher:
    """A validator and an observer: asked and told from every thread."""

    def __init__(self):
        self.told = Counter()

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        assert len(requests)

    @hookimpl
    def hookframe_hooks_added(self, event):
        self.told["added"] += 1


@dataclass
class Soaked:
    """What was done, and what was left."""

    runs: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    hooks_left: int = 0


class Soak:
    def __init__(self, threads, runs, seconds, seed=0):
        self.threads, self.runs, self.seed = threads, runs, seed
        self.deadline = time.monotonic() + seconds
        self.model = TinyModel(d_model=4, d_vocab=5)
        self.inputs = [torch.full((1, 3), n) for n in range(INPUTS)]
        self.serial = {}
        self.result = Soaked()
        self.lock = threading.Lock()
        self.managers = [self._manager(text) for text in POLICIES]
        self.model.admission_controller = self.managers[0]

    def _manager(self, text):
        manager = hookframe.PluginManager(Watcher())
        govern(manager, Found(layers=(read_layer(text.encode(), LayerKind.USER, "user.toml"),)))
        return manager

    # Each operation is a function of small numbers, so that its result alone can be kept, and returns tensors.

    def edits(self, point, factor, tokens):
        hooks = [(POINTS[point], lambda tensor, hook: tensor * factor)]
        return [self.model.run_with_hooks(self.inputs[tokens], fwd_hooks=hooks, scope="context")]

    def nested(self, point, factor, tokens):
        with self.model.hooks([(POINTS[point], lambda tensor, hook: tensor * factor)], scope="context"):
            outer = self.model(self.inputs[tokens])
            with self.model.hooks([(POINTS[-1 - point], lambda tensor, hook: tensor + factor)], scope="context"):
                inner = self.model(self.inputs[tokens])
        return [outer, inner]

    def caches(self, point, factor, tokens):
        clone = ("never", "auto", "always")[factor % 3]
        output, cache = self.model.run_with_cache(self.inputs[tokens], scope="context", clone=clone)
        return [output, *cache.values()]

    def gradients(self, point, factor, tokens):
        hooks = [(POINTS[point], lambda gradient, hook: gradient * factor)]
        with self.model.hooks(bwd_hooks=hooks, scope="context"):
            output = self.model(self.inputs[tokens]).square().sum()
            return [output, *torch.autograd.grad(output, [self.model.W_E, self.model.W_U])]

    def observes(self, point, factor, tokens):
        """Adds a hook that everybody passes, and takes it off."""
        handle = self.model.add_hook(POINTS[point], lambda tensor, hook: None)
        output = self.model(self.inputs[tokens])
        handle.remove()
        return [output]

    def raises(self, point, factor, tokens):
        def fail(tensor, hook):
            raise KeyboardInterrupt

        try:
            self.model.run_with_hooks(self.inputs[tokens], fwd_hooks=[(POINTS[point], fail)], scope="context")
        except KeyboardInterrupt:
            return [self.model(self.inputs[tokens])]
        raise AssertionError("the interrupt was lost")

    def refused(self, point, factor, tokens):
        hooks = [(POINTS[point], lambda tensor, hook: tensor * factor), (FORBIDDEN, lambda tensor, hook: tensor)]
        try:
            self.model.run_with_hooks(self.inputs[tokens], fwd_hooks=hooks, scope="context")
        except hookframe.HookDenied:
            return [self.model(self.inputs[tokens])]
        raise AssertionError("the policy was passed by")

    def reloads(self, point, factor, tokens):
        """Another policy, read again, or other plugins, for everybody from here on."""
        if factor % 2:
            self.model.admission_controller = self._manager(POLICIES[point % 2])
        else:
            with hookframe.use_plugins(Watcher()):
                return [self.model(self.inputs[tokens])]
        return [self.model(self.inputs[tokens])]

    OPERATIONS = ("edits", "nested", "caches", "gradients", "observes", "raises", "refused", "reloads")

    def alone(self):
        """The result of every operation when nothing else runs."""
        for name in self.OPERATIONS:
            for key in self._keys():
                self.serial[name, key] = getattr(self, name)(*key)

    def _keys(self):
        return [(p, f, t) for p in range(len(POINTS)) for f in (2, 3, 4) for t in range(INPUTS)]

    def _work(self, number):
        chance, keys = random.Random(f"{self.seed}-{number}"), self._keys()
        for run in range(self.runs):
            if time.monotonic() > self.deadline:
                return
            name, key = chance.choices(self.OPERATIONS, (6, 4, 6, 4, 6, 3, 3, 1))[0], chance.choice(keys)
            try:
                found = getattr(self, name)(*key)
                right = all(map(torch.equal, found, self.serial[name, key])) and len(found) == len(
                    self.serial[name, key]
                )
                problem = None if right else "another result than alone"
            except BaseException as error:
                problem = repr(error)
            with self.lock:
                self.result.runs[name] += 1
                if problem is not None:
                    self.result.wrong.append(f"{name}{key} in run {run} of thread {number}: {problem}")

    def run(self):
        """Everything at once, in four parts; what Python keeps is counted after each."""
        self.alone()
        whole, self.runs = self.runs, max(1, self.runs // 4)
        for part in range(4):
            self.seed = part
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(self._work, range(self.threads)))
            gc.collect()
            self.result.objects.append(len(gc.get_objects()))
            self.result.resident.append(_resident())
        self.runs = whole
        self.result.hooks_left = sum(point.has_hooks() for point in self.model.hook_points())
        return self.result


def _resident():
    """The memory of this process in bytes; 0 where it is not told."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0
