"""The inventory: every way in which an installation can be odd is survived, and said."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hookframe import PluginManager
from hookframe.host.installed import inventory
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.modules import locate
from hookframe.host.installed.origin import InstallOrigin, OriginKind
from hookframe.host.installed.survey import survey
from hookframe.testing.fake_installations import ABSTAINS, FakeSite


def found(name):
    return [distribution for distribution in take_inventory().distributions if distribution.name == name]


def records(name, **options):
    return [record for record in survey(**options).records if record.distribution == name]


def test_a_distribution_is_described_by_its_metadata_alone(site):
    fake = site.normal("Acme.Rules", "raise SystemExit", requires=("hookframe>=0.1", "hookframe-log", "torch"))
    (plugin,) = found("acme-rules")
    assert (plugin.version, plugin.installer, plugin.api) == ("1.0", "pip", "~=1.0")
    assert [(point.name, point.value) for point in plugin.entry_points] == [("Acme.Rules", fake.module)]
    assert plugin.requires_hookframe == ("hookframe>=0.1",)
    assert plugin.origin.kind == "index"
    assert fake.package not in sys.modules


@pytest.mark.parametrize(
    ("direct_url", "kind", "commit"),
    [
        ({"url": "file:///somewhere", "dir_info": {"editable": True}}, "editable", None),
        ({"url": "file:///somewhere", "dir_info": {}}, "local", None),
        ({"url": "file:///somewhere/a.whl", "archive_info": {}}, "local", None),
        ({"url": "https://example.org/a.whl", "archive_info": {"hash": "sha256=00"}}, "archive", None),
        ({"url": "https://example.org/a", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}, "vcs", "c0ffee"),
        ({"url": 7}, "unknown", None),
        ({}, "unknown", None),
    ],
)
def test_the_origin_is_what_direct_url_says(direct_url, kind, commit, site):
    site.normal("acme-rules", direct_url=direct_url)
    (plugin,) = found("acme-rules")
    assert (plugin.origin.kind, plugin.origin.commit) == (kind, commit)


def test_a_damaged_direct_url_is_an_unknown_origin():
    assert InstallOrigin.of("{") == InstallOrigin.of("[]") == InstallOrigin(OriginKind.UNKNOWN)


def test_the_first_of_two_distributions_of_one_name_counts(site, tmp_path, monkeypatch):
    site.normal("acme-rules")
    second = FakeSite(tmp_path / "second").normal("acme-rules", version="2.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(second.root)])
    first, other = records("acme-rules")
    assert [(r.version, str(r.state)) for r in (first, other)] == [("1.0", "found"), ("2.0", "duplicate")]
    assert str(site.root) in other.reason


def test_the_order_of_the_path_decides_and_not_the_version(site, tmp_path, monkeypatch):
    site.normal("acme-rules", version="2.0")
    second = FakeSite(tmp_path / "second").normal("acme-rules", version="1.0")
    monkeypatch.setattr(sys, "path", [str(second.root), *sys.path])
    assert [(r.version, str(r.state)) for r in records("acme-rules")] == [("1.0", "found"), ("2.0", "duplicate")]


@pytest.mark.parametrize("intact", ["1.0", "2.0"])
def test_of_two_in_one_directory_the_one_whose_files_are_there_counts(intact, site):
    other = {"1.0": "2.0", "2.0": "1.0"}[intact]
    site.normal("acme-rules", version=other)
    site.normal("acme-rules", ABSTAINS, version=intact)  # the package is the same: its files are now these
    assert [(r.version, str(r.state)) for r in records("acme-rules")] == [(intact, "found"), (other, "duplicate")]


def test_a_path_that_is_listed_twice_makes_no_duplicate(site, tmp_path, monkeypatch):
    site.normal("acme-rules")
    (tmp_path / "link").symlink_to(site.root)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "link"), str(site.root)])
    assert len(records("acme-rules")) == 1


def test_an_empty_left_over_does_not_hide_the_real_one(site):
    info = site.empty_dist_info("acme-rules", "0.9")
    site.normal("acme-rules")
    states = {str(record.state): record for record in records("acme-rules")}
    assert states["found"].version == "1.0"
    assert f"{info} is left over, without metadata" in states["duplicate"].reason
    (loaded,) = [r for r in PluginManager.installed().records if r.distribution == "acme-rules" and r.version]
    assert loaded.state == "loaded"


def test_metadata_without_a_name_is_reported_and_not_imported(site):
    fake = site.without_name("acme-rules")
    (record,) = [r for r in PluginManager.installed().records if r.distribution == "acme-rules"]
    assert (record.state, record.step) == ("broken", "metadata")
    assert "its metadata has no name" in record.reason
    assert fake.package not in sys.modules


@pytest.mark.parametrize("file", ["METADATA", "entry_points.txt", "INSTALLER"])
def test_metadata_that_is_no_text_is_reported_and_not_imported(file, site):
    fake = site.unreadable("acme-rules", file=file)
    (record,) = [r for r in PluginManager.installed().records if r.distribution == "acme-rules"]
    assert (record.state, record.step) == ("broken", "metadata")
    assert fake.package not in sys.modules


def test_entry_points_that_may_not_be_read_are_a_fault(site):
    fake = site.normal("acme-rules")
    (fake.info / "entry_points.txt").unlink()
    (fake.info / "entry_points.txt").mkdir()  # as unreadable as a file without permission, for root as well
    (fault,) = [fault for fault in take_inventory().faults if fault.name == "acme-rules"]
    assert "it may be a plugin" in str(fault)


def test_entry_points_that_cannot_be_parsed_are_reported(site):
    fake = site.normal("acme-rules")
    (fake.info / "entry_points.txt").write_text("[hookframe.plugins]\nno equals sign\n")
    (record,) = records("acme-rules")
    assert record.state == "broken"


@pytest.mark.parametrize("value", ["", "not a module!", ":attribute"])
def test_an_entry_point_that_names_no_module_is_broken(value, site):
    site.normal("acme-rules", entry_points={"acme": value})
    (record,) = records("acme-rules")
    assert record.state == "broken"
    assert PluginManager.installed().records


def test_two_plugins_that_claim_one_entry_point_name_both_load_and_it_is_said(site):
    site.claiming("log", "acme-one", "acme-two", source=ABSTAINS)
    manager = PluginManager.installed()
    for name, rival in (("acme-one", "acme-two"), ("acme-two", "acme-one")):
        (record,) = [r for r in manager.records if r.distribution == name]
        assert record.state == "loaded"
        assert "its entry point 'log' is claimed by" in record.reason
        assert rival in record.reason


def test_two_plugins_of_one_distribution_have_names_of_their_own(site):
    points = {"first": "fake_acme_rules.plugin", "second": "fake_acme_rules.other"}
    site.normal("acme-rules", ABSTAINS, entry_points=points, files={"other.py": ABSTAINS})
    loaded = [
        r.name for r in PluginManager.installed().records if r.state == "loaded" and r.distribution == "acme-rules"
    ]
    assert loaded == ["acme-rules:first", "acme-rules:second"]


def test_a_plain_file_where_a_directory_is_expected_is_a_fault(site, tmp_path, monkeypatch):
    info = site.plain_file("acme-file")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "file")])
    texts = [str(fault) for fault in take_inventory().faults]
    assert f"{info} is a plain file where a directory is expected: delete it" in texts
    assert f"{tmp_path / 'file'} is on sys.path, and is a plain file where a directory is expected" in texts


def test_what_an_interrupted_uninstall_renamed_is_no_plugin(site):
    fake = site.normal("acme-rules")
    fake.info.rename(fake.info.with_name("~cme_rules-1.0.dist-info"))
    assert found("acme-rules") == []
    assert any("interrupted uninstall" in str(fault) for fault in take_inventory().faults)


def test_an_editable_install_is_seen_as_one(site):
    site.editable("acme-rules", ABSTAINS)
    (record,) = [r for r in PluginManager.installed().records if r.distribution == "acme-rules"]
    assert (record.origin, str(record.state)) == ("editable", "loaded")


def test_a_module_is_located_without_importing_its_parents(site):
    fake = site.normal("acme-rules", files={"inner/__init__.py": "", "inner/deep.py": ""})
    (fake.source.parent / "__init__.py").write_text("raise SystemExit('imported')")
    assert locate(fake.module).origin == str(fake.source)
    assert locate(f"{fake.package}.inner.deep").origin.endswith("deep.py")
    assert locate(f"{fake.package}.nothing") is None
    assert locate(f"{fake.package}.plugin.json") is None  # not the json that is on the path
    assert locate("no_such_package.plugin") is None
    assert fake.package not in sys.modules


def test_a_module_in_nested_namespace_packages_is_located(site):
    file = site.root / "fake_space" / "inner" / "plugin.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert locate("fake_space.inner.plugin").origin == str(file)
    assert "fake_space" not in sys.modules


def test_a_plugin_whose_module_is_gone_is_broken_before_it_is_imported(site):
    site.normal("acme-rules", entry_points={"acme": "fake_acme_rules.gone"})
    (record,) = records("acme-rules")
    assert (record.state, record.step) == ("broken", "module")
    assert "fake_acme_rules.gone is nowhere on the path" in record.reason


def test_listing_sixty_plugins_imports_none_of_them(site):
    fakes = [site.normal(f"acme-{number:02}", "raise SystemExit('imported')") for number in range(60)]
    script = (
        "import sys\nfrom hookframe.cli.main import cli\n"
        "cli(['plugins', 'list', '--json'], standalone_mode=False)\n"
        "print('imported:', sorted(m for m in sys.modules if m.startswith(('fake_', 'hookframe_'))), file=sys.stderr)\n"
        "print('heavy:', sorted({'torch', 'pluggy', 'rich'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(site.root)}, capture_output=True, text=True, check=True
    )
    assert all(f'"{fake.name}"' in done.stdout for fake in fakes)
    assert done.stderr.splitlines()[-2:] == ["imported: []", "heavy: []"]


def test_files_are_not_hashed_for_a_list(site, monkeypatch):
    site.tampered("acme-rules")
    monkeypatch.setattr("hookframe.host.installed.judging.check_files", lambda distribution: pytest.fail("hashed"))
    monkeypatch.setattr(inventory, "check_files", lambda distribution: pytest.fail("hashed"))
    assert records("acme-rules")[0].state == "found"
