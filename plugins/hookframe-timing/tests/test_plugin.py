"""The plugin on the bus, with a real model."""

import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from functools import partial
from importlib import import_module
from pathlib import Path

import hookframe_timing
import pytest
import torch
import torch._dynamo
from hookframe_timing.plugin import TimingPlugin, plugin
from hookframe_timing.summary import read_summaries

from hookframe import HookEffectError, PluginManager, PluginRejected, read_only

from .conftest import double, fail, sleep

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))


def calls(timing):
    return {row.qualname: (row.calls, row.failures) for row in timing.rows}


# ---- what is measured -----------------------------------------------------------------------------------------------


def test_functions_are_timed_wherever_they_are_attached(model, x, timing, using):
    with using():
        for _ in range(3):
            output = model.run_with_hooks(x, fwd_hooks=[("hook_in", double), ("hook_out", double), ("hook_out", sleep)])
    assert output == x.sum() * 8  # and they do what they do without a timer
    assert calls(timing) == {"sleep": (3, 0), "double": (6, 0)}
    slowest, _ = timing.rows
    assert 50_000 <= slowest.mean_us <= slowest.longest_ns / 1000
    assert slowest.module == sleep.__module__


def test_backward_hooks_and_partials_are_timed(model, x, timing, using):
    with using(), model.hooks(bwd_hooks=[("hook_out", partial(double))]):
        model(x).backward()
    assert calls(timing) == {"double": (1, 0)}
    assert torch.equal(x.grad, torch.full((1, 4), 4.0))


def test_a_call_that_raises_counts_and_is_told(model, x, timing, using):
    with using(), pytest.raises(ValueError, match="cannot use"):
        model.run_with_hooks(x, fwd_hooks=[("hook_in", fail)])
    assert calls(timing) == {"fail": (1, 1)}


def test_caching_hooks_are_left_as_they_are(model, x, timing, using):
    with using():
        _, cache = model.run_with_cache(x)
    assert list(cache) == ["hook_in", "hook_out"]
    assert timing.rows == []


def test_read_only_functions_are_still_held_to_it(model, x, using):
    @read_only
    def edit(tensor, hook):
        return tensor * 2

    with using(), pytest.raises(HookEffectError, match=r"edit .* returned a Tensor"):
        model.run_with_hooks(x, fwd_hooks=[("hook_in", edit)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, while dynamo loads
def test_a_compiled_model_is_one_graph_with_the_functions_in_it(model, x, timing, using):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter = CompileCounter()
    with using():
        model.add_hook("hook_in", double)
        expected = model(x)
        compiled = torch.compile(model, fullgraph=True, backend=counter)
        assert all(torch.equal(compiled(x), expected) for _ in range(3))
    assert counter.frame_count == 1
    assert calls(timing) == {"double": (1, 0)}  # the one call that was not compiled
    torch._dynamo.reset()


def test_a_hook_that_stays_goes_on_counting_after_what_was_written(model, x, timing, using, tmp_path):
    with using(file=str(tmp_path / "times")):
        model.add_hook("hook_in", double)
        for _ in range(2):
            model(x)
            timing.write()
        timing.write()
        assert timing.rows == []
    assert len((tmp_path / "times").read_text().splitlines()) == 2
    assert [row.calls for row in read_summaries(tmp_path / "times")] == [2]


# ---- what is said ---------------------------------------------------------------------------------------------------


ENDS = {
    "run": lambda model, x: model.run_with_hooks(x, fwd_hooks=[("hook_in", sleep)]),
    "removal": lambda model, x: (handle := model.add_hook("hook_in", sleep), model(x), handle.remove()),
    "reset": lambda model, x: (model.add_hook("hook_in", sleep), model(x), model.reset_hooks()),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_slow_function_is_warned_of_once_when_the_model_is_no_longer_running(end, model, x, using, caplog):
    with using(slow_us=45_000):
        model.run_with_hooks(x, fwd_hooks=[("hook_in", double)])
        ENDS[end](model, x)
        ENDS[end](model, x)
    (record,) = [record for record in caplog.records if record.name == "hookframe.timing"]
    assert record.levelno == logging.WARNING
    told = re.fullmatch(
        r"hook function \S+\.sleep takes (\S+) us on average \(1 calls\), more than 45000 us", record.getMessage()
    )
    assert float(told[1]) >= 50_000


def test_after_a_context_slow_functions_are_warned_of(model, x, using, caplog):
    with using(slow_us=45_000), model.hooks(fwd_hooks=[("hook_in", sleep)]):
        model(x)
        assert "on average" not in caplog.text
    assert caplog.text.count("on average") == 1


def test_no_tensor_value_and_no_message_is_written(model, x, timing, using, tmp_path):
    with using(file=str(tmp_path / "times")), pytest.raises(ValueError, match=r"tensor.*4938"):
        model.run_with_hooks(x, fwd_hooks=[("hook_out", double), ("hook_out", fail)])
    timing.write()
    (line,) = (tmp_path / "times").read_text().splitlines()
    texts = {value for function in json.loads(line)["functions"] for value in function.values()}
    assert {value for value in texts if not isinstance(value, int)} == {double.__module__, "double", "fail"}


def test_a_file_that_cannot_be_written_is_logged_and_stops_nothing(model, x, timing, using, tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    with using(file=str(folder / "times")):
        model.run_with_hooks(x, fwd_hooks=[("hook_in", double)])
        folder.rmdir()
        timing.write()
    assert "the timings cannot be written to" in caplog.text
    assert "No such file or directory" in caplog.text


def test_configuring_again_counts_from_zero_and_keeps_what_was_measured(model, x, timing, using, tmp_path):
    with using(file=str(tmp_path / "times")):
        model.run_with_hooks(x, fwd_hooks=[("hook_in", double)])
    with using():
        assert timing.rows == []
    assert [row.calls for row in read_summaries(tmp_path / "times")] == [1]


SCRIPT = """
    import os, sys, torch
    from hookframe import HookedRootModule, HookPoint, use_plugins
    from hookframe_timing.plugin import TimingPlugin

    class Model(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a = HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_a(x)

    def double(tensor, hook):
        return tensor * 2

    with use_plugins(TimingPlugin(), options={"hookframe-timing": {"file": sys.argv[1]}}):
        Model().run_with_hooks(torch.zeros(1), fwd_hooks=[("hook_a", double)])
        FORK
"""


def script(path, fork=""):
    folders = [folder for folder in sys.path if folder]
    code = textwrap.dedent(SCRIPT).replace("FORK", fork)
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path[:0] = {folders!r}\n{code}", str(path)]
    subprocess.run(command, check=True, timeout=120)


def test_the_end_of_the_process_writes_the_summary(tmp_path):
    script(tmp_path / "times")
    script(tmp_path / "times")
    (row,) = read_summaries(tmp_path / "times")
    assert (str(row), row.calls) == ("__main__.double", 2)
    lines = [json.loads(line) for line in (tmp_path / "times").read_text().splitlines()]
    assert len({line["process"] for line in lines}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_writes_nothing_of_its_parents(tmp_path):
    script(tmp_path / "times", "child = os.fork()\n    if child: os.waitpid(child, 0)")
    assert [row.calls for row in read_summaries(tmp_path / "times")] == [1]


# ---- how it is packed -----------------------------------------------------------------------------------------------


def test_a_wrong_option_keeps_the_plugin_out_with_its_reason():
    with pytest.raises(PluginRejected, match="there is no option 'slow': did you mean 'slow_us'"):
        PluginManager(TimingPlugin(), options={"hookframe-timing": {"slow": 5}})


def test_the_entry_point_names_the_plugin():
    (place,) = PYPROJECT["project"]["entry-points"]["hookframe.plugins"].values()
    module, _, attribute = place.partition(":")
    assert getattr(import_module(module), attribute) is plugin
    record = PluginManager(plugin).records[0]
    assert record.name == PYPROJECT["project"]["name"]
    assert {"wrap_hook", "add_commands", "configure"} <= set(record.specs)


def test_every_dependency_is_declared_and_the_version_has_one_place():
    names = {dependency.partition(">")[0] for dependency in PYPROJECT["project"]["dependencies"]}
    assert names == {"hookframe", "click"}
    assert PYPROJECT["project"]["license"] == "MIT"
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hookframe_timing.__version__"}
    assert hookframe_timing.__version__


def test_importing_the_plugin_imports_no_torch():
    folders = [folder for folder in sys.path if folder]
    code = f"import sys; sys.path[:0] = {folders!r}\nimport hookframe_timing.plugin\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
