"""Caches on disk come back equal, and nothing that a file says can run code or lead out of its directory."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hookframe
from hookframe import ActivationCache, CacheFileError
from hookframe.capture.manifest import CacheManifest, ModelRecord
from hookframe.capture.provenance import model_facts
from hookframe.capture.shards import read_shard, write_shard

DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


@pytest.fixture
def saved(tmp_path, decoder, tokens):
    decoder.cfg = type("Config", (), {"model_name": "tiny-decoder", "_commit_hash": "abc123"})()
    _, cache = decoder.run_with_cache(tokens)
    cache.skipped["elsewhere"] = "gated"
    cache.save(tmp_path / "cache")
    return tmp_path / "cache", cache


def change(directory, **facts):
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_what_is_saved_comes_back(saved):
    directory, cache = saved
    loaded = ActivationCache.load(directory, verify=True)
    assert list(loaded) == list(cache)
    assert all(torch.equal(loaded[key], cache[key]) and not loaded[key].requires_grad for key in cache)
    assert loaded.skipped == {"elsewhere": "gated"}
    assert loaded.report.model == "Decoder"
    manifest = CacheManifest.read(directory / "manifest.json")
    assert (manifest.model.kind, manifest.model.id, manifest.model.revision) == ("Decoder", "tiny-decoder", "abc123")
    assert manifest.hookframe == hookframe.__version__
    assert manifest.plugins.startswith("sha256:")
    loaded.save(directory, overwrite=True)
    assert CacheManifest.read(directory / "manifest.json").model == manifest.model
    assert torch.equal(ActivationCache.load(directory, device="cpu")["embed"], cache["embed"])


@pytest.mark.parametrize(
    "known_as",
    ["/srv/models/secret", "./models/x", "../x", "~/x", "C:\\models\\x", "a/b/c", "models/here", "", None, 3],
)
def test_a_path_is_not_written_into_a_manifest(tmp_path, decoder, tokens, monkeypatch, known_as):
    (tmp_path / "models" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    facts = []
    for width in (8, 8, 9):
        decoder.config = SimpleNamespace(
            _name_or_path=known_as,
            width=width,
            dtype=torch.float32,
            act=torch.relu,
            parts=[{"a": (1, None)}],
            _commit_hash="x",
        )
        _, cache = decoder.run_with_cache(tokens)
        cache.save(tmp_path / "cache", overwrite=True)
        facts.append(CacheManifest.read(tmp_path / "cache" / "manifest.json").model)
    assert (facts[0].kind, facts[0].id, facts[0].revision) == ("Decoder", None, None)
    assert facts[0] == facts[1] != facts[2]
    assert facts[0].config.startswith("sha256:")


def test_a_name_on_a_hub_is_kept_with_its_revision_and_a_model_without_a_configuration_has_its_class(decoder):
    assert model_facts(decoder) == ModelRecord(kind="Decoder")
    decoder.config = SimpleNamespace(_name_or_path="org/a-model.v2", _commit_hash="../up")
    assert model_facts(decoder) == ModelRecord(kind="Decoder", id="org/a-model.v2")
    decoder.config._commit_hash = "0f" * 20
    assert model_facts(decoder) == ModelRecord(kind="Decoder", id="org/a-model.v2", revision="0f" * 20)
    decoder.config = 3
    assert model_facts(decoder) == ModelRecord(kind="Decoder")


def test_the_plugins_in_force_are_part_of_the_manifest(tmp_path, decoder, tokens):
    class Other:
        @hookframe.hookimpl
        def hookframe_run_finished(self, event):
            pass

    found = set()
    for plugins in ([], [Other()]):
        with hookframe.use_plugins(*plugins):
            _, cache = decoder.run_with_cache(tokens)
            cache.save(tmp_path / "cache", overwrite=True)
        found.add(CacheManifest.read(tmp_path / "cache" / "manifest.json").plugins)
    assert len(found) == 2


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=4)),
        max_size=6,
    )
)
def test_any_names_shapes_and_kinds_of_number_come_back(tmp_path, tensors):
    cache = ActivationCache({k: torch.randint(0, 2, shape).to(dtype) for k, (dtype, shape) in tensors.items()})
    cache.save(tmp_path / "cache", overwrite=(tmp_path / "cache").exists())
    loaded = ActivationCache.load(tmp_path / "cache")
    assert list(loaded) == list(cache)
    assert all(torch.equal(loaded[k], cache[k]) and loaded[k].dtype == cache[k].dtype for k in cache)


def test_views_transposed_and_shared_tensors_come_back(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    cache = ActivationCache(a=whole, b=whole, c=whole[1:3], d=whole.T, e=whole[:, ::2])
    cache.save(tmp_path / "cache")
    loaded = ActivationCache.load(tmp_path / "cache")
    assert all(torch.equal(loaded[key], cache[key]) for key in cache)


def test_large_caches_are_split(tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.capture.saving._SHARD_BYTES", 100)
    cache = ActivationCache({str(number): torch.full((10,), float(number)) for number in range(5)})
    cache.save(tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 3
    assert [value[0].item() for value in ActivationCache.load(tmp_path / "cache").values()] == [0, 1, 2, 3, 4]


def test_loaded_tensors_are_mapped_and_writing_to_them_leaves_the_file(saved):
    directory, cache = saved
    loaded = ActivationCache.load(directory)
    loaded["embed"].zero_()
    assert torch.equal(ActivationCache.load(directory, verify=True)["embed"], cache["embed"])


def test_nothing_is_overwritten_unasked(saved, tmp_path):
    directory, cache = saved
    with pytest.raises(CacheFileError, match="pass overwrite=True"):
        cache.save(directory)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("x")
    with pytest.raises(CacheFileError, match="no saved cache to replace"):
        cache.save(tmp_path / "own", overwrite=True)
    assert (tmp_path / "own" / "thesis.tex").exists()
    with pytest.raises(CacheFileError, match="cannot be written"):
        cache.save(directory / "manifest.json" / "below")


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.ones(2, 2).to_sparse(), r"'b' is a sparse tensor \(sparse_coo\).*to_dense\(\)"),
        (torch.ones(2, device="meta"), ""),
    ],
    ids=["sparse", "meta"],
)
def test_what_cannot_be_saved_leaves_nothing_behind(tmp_path, tensor, why):
    with pytest.raises(CacheFileError, match=f"cannot be written: .*{why}"):
        ActivationCache(a=torch.ones(1), b=tensor).save(tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_a_reserved_name_is_refused(tmp_path):
    with pytest.raises(CacheFileError, match="'__metadata__' is no name"):
        write_shard(tmp_path / "x.safetensors", {"__metadata__": torch.ones(1)})


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "..",
        "x.bin",
        "a\x00.safetensors",
        "C:x.safetensors",
    ],
)
def test_no_name_leads_out_of_the_directory(saved, name):
    directory, _ = saved
    write_shard(directory.parent / "secret.safetensors", {"hook_embed": torch.ones(1)})
    facts = json.loads((directory / "manifest.json").read_text())
    change(
        directory, files=[{**facts["files"][0], "name": name}], tensors=[{**t, "file": name} for t in facts["tensors"]]
    )
    with pytest.raises(CacheFileError, match="not what it should be"):
        ActivationCache.load(directory)


def test_no_link_leads_out_of_the_directory(saved, tmp_path):
    directory, _ = saved
    file = next(directory.glob("*.safetensors"))
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheFileError, match="not a plain file in its own directory"):
        ActivationCache.load(directory)


def test_pickles_are_not_read(saved, tmp_path):
    directory, _ = saved
    file = next(directory.glob("*.safetensors"))
    file.write_bytes(pickle.dumps(Evil(tmp_path / "evil")))
    facts = json.loads((directory / "manifest.json").read_text())
    change(directory, files=[{**facts["files"][0], "nbytes": file.stat().st_size}])
    with pytest.raises(CacheFileError, match="cannot be read"):
        ActivationCache.load(directory)
    assert not (tmp_path / "evil").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "evil")))  # it would have
    assert (tmp_path / "evil").exists()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_each_lie_of_a_manifest_is_found(saved):
    directory, _ = saved
    facts = json.loads((directory / "manifest.json").read_text())
    file, tensor = facts["files"][0], facts["tensors"][0]
    lies = {
        "manifest says": {"files": [{**file, "nbytes": 3}]},
        "holds no tensor 'nope'": {"tensors": [{**tensor, "name": "nope"}]},
        "in the manifest": {"tensors": [{**tensor, "shape": [1]}]},
        "is .*float32.* in the manifest": {"tensors": [{**tensor, "dtype": "int8"}]},
        "there twice": {"tensors": [tensor, tensor]},
        "files that it does not list": {"tensors": [{**tensor, "file": "other.safetensors"}]},
        "5 positions has 5 cut": {"steps": [{"phase": "prompt", "past": 0, "batch": 2, "length": 5, "cut": 5}]},
        "format: ": {"format": "something"},
        "version: ": {"version": 2},
        "surprise: ": {"surprise": 1},
        "not a plain file": {"files": [{**file, "name": "gone.safetensors"}], "tensors": []},
    }
    for says, lie in lies.items():
        (directory / "manifest.json").write_text(json.dumps(facts | lie))
        with pytest.raises(CacheFileError, match=says):
            ActivationCache.load(directory)
    (directory / "manifest.json").write_text(json.dumps(facts | {"files": [{**file, "digest": "sha256:" + "0" * 64}]}))
    ActivationCache.load(directory)
    with pytest.raises(CacheFileError, match="its digest is another one"):
        ActivationCache.load(directory, verify=True)


@pytest.mark.parametrize(
    "text", [b"", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b"0" * (65 << 20)], ids=range(6)
)
def test_a_manifest_that_is_none_is_refused(saved, text):
    directory, _ = saved
    (directory / "manifest.json").write_bytes(text)
    with pytest.raises(CacheFileError, match="not what it should be|longer than"):
        ActivationCache.load(directory)


def test_a_directory_without_a_manifest_says_so(tmp_path):
    with pytest.raises(CacheFileError, match="manifest.json' cannot be read: No such file"):
        ActivationCache.load(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_a_manifest_with_anything_in_it_is_read_or_refused(saved, data):
    directory, cache = saved
    path, first = directory / "manifest.json", directory / "first.json"
    if not first.exists():
        first.write_bytes(path.read_bytes())
    facts = json.loads(first.read_text())
    key = data.draw(st.sampled_from([*facts, "other"]))
    path.write_text(json.dumps(facts | {key: data.draw(json_values)}))
    try:
        loaded = ActivationCache.load(directory)
    except CacheFileError:
        return
    assert all(torch.equal(loaded[name], cache[name]) for name in loaded)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_file_of_tensors_with_any_damage_is_read_or_refused(tmp_path, where, noise, cut):
    path = tmp_path / "x.safetensors"
    write_shard(path, {"a": torch.ones(3), "b": torch.zeros(2, 2, dtype=torch.int64)}, "facts")
    raw = bytearray(path.read_bytes())
    place = int(where * len(raw))
    raw[place : len(raw) if cut else place + len(noise)] = noise
    path.write_bytes(raw)
    try:
        found = read_shard(path)
    except CacheFileError:
        return
    assert all(isinstance(value, torch.Tensor) for value in found.values())
