"""Fake installations: each is what it says it is, to the plugin host."""

from __future__ import annotations

import sys

import pytest

from hookframe import PluginManager
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.inventory import take_inventory
from hookframe.testing import fake_site
from hookframe.testing.fake_installations import ABSTAINS, DENIES


def found(name):
    return [distribution for distribution in take_inventory().distributions if distribution.name == name]


def states():
    return {record.name: str(record.state) for record in PluginManager.installed().records}


def test_a_normal_one_is_loaded_and_asked(fake_install, make_hookframe_manager, tiny_model, assert_decision):
    fake = fake_install.normal("acme-rules")
    assert check_files(found("acme-rules")[0]).intact
    assert fake.module not in sys.modules
    manager = PluginManager.installed()
    assert fake.module in sys.modules
    make_hookframe_manager(manager)
    with pytest.raises(PermissionError, match="refused by an installed plugin") as refusal:
        tiny_model.add_hook("hook_embed", print)
    assert_decision.denied(refusal, by="acme-rules", rules="no", points="hook_embed")


def test_nothing_is_left_afterwards(tmp_path):
    before = list(sys.path)
    with fake_site(tmp_path / "site") as site:
        fake = site.normal("acme-rules")
        PluginManager.installed()
        assert fake.module in sys.modules
    assert sys.path == before
    assert fake.module not in sys.modules
    assert found("acme-rules") == []


@pytest.mark.parametrize(
    ("make", "states_of_it"),
    [
        ("editable", "loaded"),
        ("from_vcs", "loaded"),
        ("wrong_api", "incompatible"),
        ("without_name", "broken"),
        ("without_metadata", "broken"),
        ("unreadable", "broken"),
        ("without_record", "loaded"),
    ],
)
def test_the_host_sees_what_is_wrong(make, states_of_it, fake_install):
    getattr(fake_install, make)("acme-rules")
    assert states()["acme-rules"] == states_of_it


@pytest.mark.parametrize(("make", "kind"), [("editable", "editable"), ("from_vcs", "vcs"), ("normal", "index")])
def test_the_origin_is_told(make, kind, fake_install):
    getattr(fake_install, make)("acme-rules")
    assert found("acme-rules")[0].origin.kind == kind


def test_a_duplicate_comes_later_on_the_path(fake_install):
    fake_install.normal("acme-rules")
    fake_install.duplicate("acme-rules")
    first, second = found("acme-rules")
    assert (first.version, second.version) == ("1.0", "2.0")
    assert second.copy_of == first.path


def test_tampering_and_planting_are_seen(fake_install):
    changed = fake_install.tampered("acme-changed")
    planted = fake_install.normal("acme-planted")
    planted.plant_file()
    assert check_files(found("acme-changed")[0]).changed == (f"{changed.package}/plugin.py",)
    assert check_files(found("acme-planted")[0]).unknown == (f"{planted.package}/planted.py",)


def test_a_planted_pyc_runs_and_record_cannot_tell(fake_install):
    fake = fake_install.planted_pyc("acme-rules", ABSTAINS, DENIES + "\nplanted = True\n")
    assert check_files(found("acme-rules")[0]).intact
    PluginManager.installed()
    assert sys.modules[fake.module].planted


def test_left_overs_are_faults(fake_install):
    paths = [fake_install.empty_dist_info("acme-empty"), fake_install.plain_file("acme-file")]
    assert {str(path) for path in paths} <= {fault.path for fault in take_inventory().faults}


def test_two_can_claim_one_name(fake_install):
    fake_install.claiming("rules", "acme-one", "acme-two")
    rivals = [candidate.rivals for candidate in take_inventory().candidates if candidate.name.startswith("acme-")]
    assert rivals == [("acme-two",), ("acme-one",)]
