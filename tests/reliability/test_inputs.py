"""Whatever is read from disk, or comes from another process: bounded, parsed as data, read or refused, and nothing else."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookframe import FunctionInfo, HookRequest, Objection
from hookframe.admission.wire import objection_to_json
from hookframe.errors import InvalidLoadingRules, PluginError, PluginRejected, PolicyError
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.origin import InstallOrigin
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.running.isolation import IsolatedPlugin
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.in_force.found import read_layers
from hookframe.policy.tools.cases import read_cases
from hookframe.testing import fake_site

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
LINES = (
    "schema = 1\n", "[[cases]]\n", 'name = "x"\n', 'expect = "deny"\n', "[cases.facts]\n", 'policy = ["../../etc/passwd"]\n',
    "place = 3\n", "today = 2026-01-01\n", '"request.point" = "a.b"\n', "rules = []\n", "[facts]\n", "cfg = {a = {b = 1}}\n",
    'allow = ["acme"]\n', "strict = true\n", '[plugins.acme]\nversion = ">=1"\n', "deny = 5\n", "\x00", "[[[\n", "a.b.c = 1\n",
)  # fmt: skip
tomls = (
    st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=8)
    .map("".join)
    .map(lambda t: t.encode("utf-8", "replace"))
)
content = tomls | st.binary(max_size=80)


@many
@given(data=content)
def test_a_file_of_cases_is_read_or_refused(tmp_path, data):
    file = tmp_path / "cases.toml"
    file.write_bytes(data)
    try:
        read_cases(file)
    except PolicyError as error:
        assert str(file) in str(error)


@many
@given(data=content)
def test_a_file_of_loading_rules_is_read_or_refused(tmp_path, data):
    file = tmp_path / "rules.toml"
    file.write_bytes(data)
    try:
        LoadingRules.from_toml(file)
    except InvalidLoadingRules as error:
        assert str(file) in str(error)


@pytest.mark.found("a file of loading rules with one long key took time that grows with the square of its length")
@pytest.mark.parametrize(
    "data",
    [b"a = " + b"[" * 5_000, b"a = " + b"9" * 10_000, b"x" * 300_000, b"a" + b".a" * 20_000 + b" = 1"],
    ids=["deep", "long number", "large", "long key"],
)
def test_files_of_rules_are_bounded(tmp_path, data):
    file = tmp_path / "rules.toml"
    file.write_bytes(data)
    begin = time.perf_counter()
    with pytest.raises(InvalidLoadingRules, match="rules '"):
        LoadingRules.from_toml(file)
    assert time.perf_counter() - begin < 10


@many
@given(
    entry_points=st.binary(max_size=60)
    | st.text(max_size=40).map(lambda t: f"[hookframe.plugins]\na = {t}\n".encode("utf-8", "replace")),
    metadata=st.binary(max_size=60)
    | st.text(max_size=40).map(lambda t: f"Name: {t}\nVersion: 1\n".encode("utf-8", "replace")),
    direct_url=st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()),
)
def test_metadata_of_any_kind_is_a_plugin_a_fault_or_nothing_and_is_not_imported(
    tmp_path_factory, entry_points, metadata, direct_url
):
    before = set(sys.modules)
    with fake_site(tmp_path_factory.mktemp("site") / "site") as site:
        info = site.root / "acme-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(entry_points)
        (info / "METADATA").write_bytes(metadata)
        (info / "direct_url.json").write_bytes(direct_url)
        found = take_inventory()
        for candidate in found.candidates:
            assert isinstance(candidate.label, str)
        assert all(str(fault) for fault in found.faults)
    assert not [name for name in set(sys.modules) - before if "acme" in name]


@pytest.mark.found("the metadata of a plugin was read whatever its size")
def test_metadata_is_bounded(tmp_path):
    with fake_site(tmp_path / "site") as site:
        info = site.root / "acme-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text("[hookframe.plugins]\na = acme\n" + "#" * (9 << 20))
        (fault,) = take_inventory().faults
        assert "larger than 8388608 characters" in str(fault)


@pytest.mark.found("deeply nested metadata ended the listing of plugins with a RecursionError")
def test_a_direct_url_may_be_as_deep_as_it_likes():
    assert str(InstallOrigin.of("[" * 100_000)).startswith("unknown")


REQUEST = HookRequest(index=0, point="a.b", function=FunctionInfo(module="m", qualname="f"), route="add_hook")
SOUND = objection_to_json(Objection.deny(REQUEST, rule="r", message="m", remedy="d"))


class Converses(IsolatedPlugin):
    """An isolated plugin whose process says what the test wants."""

    def __init__(self):
        self.name, self.answer = "acme", {}
        self._lock = threading.Lock()
        self._child, self._owner, self._compiled = object(), os.getpid(), None

    def _exchange(self, line):
        return self.answer

    def _kill(self):
        pass


@many
@given(st.data())
def test_an_isolated_process_answers_objections_or_is_an_error(data):
    plugin = Converses()
    plugin.answer = data.draw(
        st.dictionaries(st.sampled_from(["objections", "failed"]), anything, max_size=2)
        | st.fixed_dictionaries(
            {"objections": st.lists(st.dictionaries(st.sampled_from([*SOUND]), anything).map(lambda d: SOUND | d))}
        )
    )
    try:
        objections = plugin.ask("check_hooks_to_add", (REQUEST,))
    except PluginError as error:
        assert "acme" in str(error)
    else:
        assert all(isinstance(objection, Objection) and objection.request is REQUEST for objection in objections)


@pytest.mark.found("an isolated validator that began with nonsense raised an AttributeError")
@many
@given(st.dictionaries(st.sampled_from(["specs", "failed"]), anything, max_size=2))
def test_what_an_isolated_process_says_at_the_start_is_specs_or_an_error(hello):
    try:
        specs = Converses()._checked(hello)
    except PluginError:
        return
    assert set(specs) <= {"check_hooks_to_add", "check_cache", "check_device", "check_reset", "check_run"}


@pytest.mark.found("an isolated validator that answered no text raised a UnicodeDecodeError")
def test_an_isolated_process_that_says_no_text_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "acme_garbles.py").write_text(
        "import os\nfor handle in range(3, 20):\n    try:\n        os.write(handle, b'\\xff\\xfe\\n')\n"
        "    except OSError:\n        pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginRejected, match="answered no text"):
        IsolatedPlugin("acme_garbles", "acme-garbles")


@pytest.mark.found("files of a plugin were read whole, whatever their size, to compare them with RECORD")
def test_what_is_compared_with_record_is_bounded(tmp_path):
    with fake_site(tmp_path / "site") as site:
        site.normal("acme-large")
        (found,) = [d for d in take_inventory().distributions if d.name == "acme-large"]
        assert check_files(found).intact
        module = next(file for file in site.root.rglob("*.py"))
        with module.open("ab") as file:
            file.truncate(2 << 30)  # takes no room on the disk
        check = check_files(found)
    assert "its files have 2,147,4" in str(check.impossible)
    assert "and at most 1,073,741,824 are compared" in str(check.impossible)
    assert not check.intact


def test_a_shared_file_of_any_length_is_read_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.policy.files.layers._LONGEST_SHARED", 4096)
    file = tmp_path / "pyproject.toml"
    places = LayerPlaces(project=tmp_path, machine=tmp_path / "none", user=tmp_path / "none")
    file.write_text("[tool.hookframe]\nschema = 1\n")
    assert len(read_layers(places).layers) == 1
    file.write_text("#" * 5000 + "\n[tool.hookframe]\nschema = 1\n")
    assert not read_layers(places)
