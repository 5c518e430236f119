"""Finding the layers: machine, organisation, project, user, session; and what an unreadable one does."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

import hookframe
from hookframe import HookDenied
from hookframe.policy.files import layers
from hookframe.policy.files.layers import VARIABLE, LayerPlaces
from hookframe.policy.in_force.found import read_layers
from hookframe.policy.in_force.governing import governed_manager
from hookframe.policy.language.vocabulary import LayerKind
from tests.policy.conftest import BARE


def found():
    return read_layers(LayerPlaces.standard())


def kinds(result):
    return [layer.kind.label for layer in result.layers], [file.kind.label for file, _ in result.unreadable]


def why(result):
    ((_, error),) = result.unreadable
    return str(error)


def named(text, name):
    return f'name = "{name}"\n{text}'


def test_without_a_file_there_is_no_policy(places):
    result = found()
    assert not result
    assert not result.managed
    assert result.policy.rules == ()


def test_every_layer_is_found_strongest_first(places, wheel, monkeypatch):
    for kind in ("machine", "user", "project", "session"):
        path = places.write(kind, named(BARE, kind))
    monkeypatch.setenv(VARIABLE, str(path))
    wheel(named(BARE, "organisation"))
    result = found()
    assert [layer.name for layer in result.layers] == ["machine", "organisation", "project", "user", "session"]
    assert [rule.name for rule in result.policy.rules][:2] == ["machine:r", "organisation:r"]
    assert result.managed
    assert kinds(result.only_managed()) == (["machine", "organisation"], [])


def test_layers_of_the_person_alone_are_not_managed(places):
    places.write("user", BARE)
    assert found()
    assert not found().managed
    assert not found().only_managed()


def test_the_machines_directory_does_not_follow_the_environment(monkeypatch):
    before = layers.machine_directory()
    monkeypatch.setenv("XDG_CONFIG_DIRS", "/tmp/elsewhere")  # noqa: S108  # only a name
    monkeypatch.setenv("XDG_CONFIG_HOME", "/tmp/elsewhere")  # noqa: S108
    assert layers.machine_directory() == before == LayerPlaces.standard().machine.parent
    if sys.platform == "linux":
        assert before == Path("/etc/hookframe")


def test_session_files_are_several_and_each_has_to_be_there(places, monkeypatch):
    places.write("session", BARE)
    monkeypatch.setenv(VARIABLE, f"{places.root / 'session.toml'}:{places.root / 'none.toml'}:")
    result = found()
    assert kinds(result) == (["session"], ["session"])
    assert "none.toml: cannot be read: No such file" in why(result)


# ---- the project ------------------------------------------------------------------------------------


def test_the_projects_file_is_the_nearest_upwards_and_not_beyond_the_repository(places, monkeypatch):
    inner = places.root / "work" / "a" / "b"
    inner.mkdir(parents=True)
    (places.root / "hookframe.toml").write_text(named(BARE, "outside"))
    monkeypatch.chdir(inner)
    assert not found()
    places.write("project", named(BARE, "root"))
    assert [layer.name for layer in found().layers] == ["root"]
    (inner.parent / "pyproject.toml").write_text("[tool.hookframe]\nschema = 1\nname = 'nearer'")
    assert [layer.name for layer in found().layers] == ["nearer"]
    (inner.parent / "hookframe.toml").write_text(named(BARE, "own file first"))
    assert [layer.name for layer in found().layers] == ["own file first"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[tool.ruff]\nline-length = 3", ([], [])),
        ("[project]\nname = 'hookframe'", ([], [])),
        ("# hookframe\ntool = 3", ([], [])),
        ("tool = 'hookframe'", ([], [])),
        ("# hookframe\n[tool", ([], [])),  # broken, and nothing says that a policy is in it
        ("[tool.hookframe]\n[", ([], ["project"])),
        ("[tool.hookframe]\nschema = " + "1" * 5000, ([], ["project"])),
        ("[tool]\nhookframe = 3", ([], ["project"])),
        ("[tool.hookframe]\nschema = 1", (["project"], [])),
    ],
)
def test_a_shared_file_is_a_layer_if_it_speaks_of_us(places, text, expected):
    (places.root / "work" / "pyproject.toml").write_text(text)
    assert kinds(found()) == expected


def test_a_shared_file_that_cannot_be_opened_is_somebody_elses(places):
    (places.root / "work" / "pyproject.toml").mkdir()
    assert not found()


def test_a_deleted_working_directory_has_no_project(places, monkeypatch):
    gone = places.root / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert LayerPlaces.standard().project is None
    places.write("machine", BARE)
    assert kinds(found()) == (["machine"], [])


# ---- the organisation -------------------------------------------------------------------------------


def test_an_organisations_policy_is_read_without_importing_it(places, wheel):
    wheel(BARE)
    (layer,) = found().layers
    assert (layer.kind, Path(layer.file).name) == (LayerKind.ORGANISATION, "policy.toml")
    assert "fake_acme_policy" not in sys.modules


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("fake_acme_policy:none.toml", "none.toml: cannot be read: No such file"),
        ("fake_acme_policy", "the entry point 'acme-policy' says 'fake_acme_policy', and there is no such package"),
        ("nowhere:policy.toml", "says 'nowhere:policy.toml', and there is no such package"),
        ("fake_acme_policy.plugin:policy.toml", "and there is no such package"),
    ],
)
def test_an_organisations_policy_that_is_not_where_it_says_is_unreadable(places, wheel, value, text):
    wheel(BARE, value=value)
    assert kinds(found()) == ([], ["organisation"])
    assert text in why(found())


def test_what_lies_earlier_on_the_path_does_not_take_its_place(places, wheel, tmp_path, monkeypatch):
    wheel(named(BARE, "the real one"))
    for content in ("", None):  # a package, and a directory that is none
        shadow = tmp_path / f"shadow-{content is None}" / "fake_acme_policy"
        shadow.mkdir(parents=True)
        (shadow / "policy.toml").write_text("schema = 1")
        if content is not None:
            (shadow / "__init__.py").write_text(content)
        with monkeypatch.context() as here:
            here.syspath_prepend(shadow.parent)
            assert [layer.name for layer in found().layers] == ["the real one"]


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_finder_that_raises_makes_it_unreadable(places, wheel, site, monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "fake_acme_policy":
                raise ZeroDivisionError("no")

    wheel(BARE)
    (site.root / "fake_acme_policy" / "policy.toml").unlink()  # as in an editable install, which finders know
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    assert "looking for fake_acme_policy raised ZeroDivisionError: no" in why(found())


def test_several_organisations_add_up_and_copies_count_once(places, wheel, site):
    wheel(named(BARE, "one"), "one-policy")
    wheel(named(BARE, "two"), "two-policy")
    site.later.normal("one-policy", files={"policy.toml": BARE}, version="2.0")
    assert [layer.name for layer in found().layers] == ["one", "two"]


def test_an_empty_left_over_does_not_hide_the_policy(places, wheel, site):
    wheel(BARE, "acme-policy")
    site.empty_dist_info("acme-policy", version="0.1")
    assert kinds(found()) == (["organisation"], [])


def test_what_pip_is_about_to_delete_is_no_layer(places, wheel):
    fake = wheel(BARE)
    fake.info.rename(fake.info.with_name("~" + fake.info.name[1:]))
    assert not found()


def test_damaged_metadata_of_others_is_passed_over(places, site, wheel):
    site.unreadable("broken-one", file="entry_points.txt")
    (site.normal("broken-two").info / "entry_points.txt").write_text("no section\n")
    odd = site.normal("broken-three")
    (odd.info / "entry_points.txt").unlink()
    (odd.info / "entry_points.txt").mkdir()
    assert not found()
    wheel(BARE)
    assert kinds(found()) == (["organisation"], [])


def test_damaged_metadata_that_speaks_of_a_policy_is_an_unreadable_layer(places, wheel):
    fake = wheel(BARE)
    entry_points = fake.info / "entry_points.txt"
    entry_points.write_bytes(entry_points.read_bytes() + b"\xff")
    assert kinds(found()) == ([], ["organisation"])
    assert "entry_points.txt speaks of hookframe.policy and cannot be read" in why(found())


# ---- unreadable -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["machine", "project", "user", "session"])
@pytest.mark.parametrize("text", ["schema = ", "schema = 1\nx = 1", "schema = 1\n[require]\nx = 'new'", None])
def test_a_layer_that_cannot_be_used_is_among_the_unreadable(places, monkeypatch, kind, text):
    path = places.write(kind, text or "")
    if text is None:
        path.unlink()
        path.symlink_to(path)  # something is there, and cannot be opened
    if kind == "session":
        monkeypatch.setenv(VARIABLE, str(path))
    result = found()
    assert kinds(result) == ([], [kind])
    assert why(result).startswith(f"{path}")
    assert result.managed is (kind == "machine")


def test_what_may_not_be_looked_at_is_there(places, monkeypatch):
    real = Path.lstat

    def lstat(path):
        if path.parent.name == "etc":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "lstat", lstat)  # as another user would find it; tests may run as root
    places.write("machine", BARE)
    assert kinds(found())[0] + kinds(found())[1] == ["machine"]


def unreadable(places):
    places.write("machine", "schema = 1\nrulez = 1\nmodez = 2")
    return governed_manager()


ROUTES = {
    "add_hook": lambda model: model.add_hook("hook_embed", print),
    "hook_point": lambda model: model.hook_embed.add_hook(print),
    "torch": lambda model: model.hook_embed.register_forward_hook(lambda *args: None),
    "hooks": lambda model: model.hooks(fwd_hooks=[("hook_embed", print)]).__enter__(),
    "run_with_hooks": lambda model: model.run_with_hooks(model.tokens, fwd_hooks=[("hook_embed", print)]),
    "run_with_cache": lambda model: model.run_with_cache(model.tokens),
    "add_caching_hooks": lambda model: model.add_caching_hooks(),
    "to": lambda model: model.to("cpu"),
}


@pytest.mark.parametrize("route", ROUTES)
def test_an_unreadable_layer_refuses_every_hook_by_name_on_every_route(places, model, route):
    with hookframe.use_plugins(unreadable(places)), pytest.raises(HookDenied) as refusal:
        ROUTES[route](model)
    path = places.root / "etc" / "policy.toml"
    (objection,) = refusal.value.decision.denials
    assert (objection.rule, objection.source) == ("policy-unreadable", "policy")
    assert f"the machine policy cannot be used: {path}:2: rulez: there is no such key" in objection.message
    assert f"{path}:3: modez" in objection.message
    assert objection.remedy == f"repair {path}, and see 'hookframe policy check'"
    assert not any(point.fwd_hooks for point in model.hook_points())


def test_an_unreadable_layer_refuses_removals_of_permanent_hooks_and_what_ran(places, model):
    model.add_perma_hook("hook_embed", print)
    with hookframe.use_plugins(unreadable(places)), pytest.raises(HookDenied, match="policy-unreadable"):
        model.reset_hooks(including_permanent=True)
    assert model.hook_embed.fwd_hooks


def test_a_refusal_shows_a_few_of_many_mistakes(places):
    places.write("machine", "schema = 1\n" + "".join(f"k{n} = 1\n" for n in range(30)))
    (refusal,) = (plugin for plugin in governed_manager().plugins if hasattr(plugin, "refusals"))
    assert refusal.refusals[0].message.endswith("; and 25 more")


def test_an_unreadable_layer_of_the_person_refuses_too_and_readable_ones_still_count(places, model):
    places.write("machine", BARE)
    places.write("user", "schema = ")
    with hookframe.use_plugins(governed_manager()), pytest.raises(HookDenied, match="the user policy cannot be used"):
        model.add_hook("hook_embed", print)


def test_text_of_a_layer_may_be_indented_or_not(layer):
    assert layer(textwrap.indent(BARE, "    ")).rules == layer(BARE).rules
