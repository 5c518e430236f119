"""Files against RECORD: what changed, what is gone, what was added."""

from __future__ import annotations

import pytest

from hookframe.host.installed.integrity import check_files, recorded_files
from hookframe.host.installed.inventory import take_inventory
from hookframe.testing.fake_installations import ABSTAINS


def check(name="acme-rules"):
    return next(check_files(d) for d in take_inventory().distributions if d.name == name)


def test_what_was_installed_and_not_touched_is_intact(site):
    site.normal("acme-rules", ABSTAINS)
    assert check().intact
    assert check().describe() == "5 files match RECORD"
    assert check().digest.startswith("sha256:")


def test_each_kind_of_finding_names_its_files(site):
    fake = site.normal("acme-rules", files={"gone.py": "", "data/table.txt": "1"})
    fake.tamper()
    (fake.source.with_name("gone.py")).unlink()
    fake.plant_file()
    fake.plant_file("data/other.txt")
    (fake.source.parent / "link").symlink_to("/")
    assert check().findings == {
        "changed": ("fake_acme_rules/plugin.py",),
        "missing": ("fake_acme_rules/gone.py",),
        "unknown": ("fake_acme_rules/link", "fake_acme_rules/planted.py", "fake_acme_rules/data/other.txt"),
    }
    assert not check().intact


def test_compiled_files_are_no_finding_and_a_compiled_module_is_one(site):
    fake = site.normal("acme-rules", ABSTAINS)
    fake.plant_pyc(ABSTAINS)
    assert check().intact
    fake.plant_file("sourceless.pyc")
    assert check().unknown == ("fake_acme_rules/sourceless.pyc",)


def test_an_entry_point_file_that_nobody_installed_is_found(site):
    fake = site.normal("acme-rules")
    fake.remove_from_record("acme_rules-1.0.dist-info/entry_points.txt")
    assert check().unknown == ("acme_rules-1.0.dist-info/entry_points.txt",)


@pytest.mark.parametrize("digest", ["", "md5=00", "sha1=00", "shake_128=00", "nonsense=00"])
def test_a_file_without_a_digest_to_rely_on_is_found(digest, site):
    fake = site.normal("acme-rules")
    fake.remove_from_record("fake_acme_rules/plugin.py")
    with (fake.info / "RECORD").open("a") as record:
        record.write(f"fake_acme_rules/plugin.py,{digest},\n")
    assert check().unhashed == ("fake_acme_rules/plugin.py",)


def test_the_digest_is_that_of_the_wheel_and_not_of_its_installation(site):
    fake = site.normal("acme-rules", ABSTAINS)
    before = check().digest
    (fake.info / "INSTALLER").write_text("another\n")
    fake.remove_from_record("acme_rules-1.0.dist-info/INSTALLER")
    with (fake.info / "RECORD").open("a") as record:
        record.write("../../bin/acme,sha256=00,7\nfake_acme_rules/__pycache__/plugin.cpython-311.pyc,,\n")
    assert check().digest == before
    site.normal("acme-rules", ABSTAINS + "# another\n")
    assert check().digest != before


@pytest.mark.parametrize(
    ("kind", "reason"), [("editable", "it is an editable install"), ("without_record", "it has no RECORD")]
)
def test_what_cannot_be_compared_is_said_and_is_not_intact(kind, reason, site):
    getattr(site, kind)("acme-rules")
    assert reason in check().describe()
    assert not check().intact
    assert check().digest is None


def test_a_record_that_is_no_text_is_said(site):
    site.unreadable("acme-rules", file="RECORD")
    assert "its RECORD cannot be read (UnicodeDecodeError)" in check().describe()


def test_the_lines_of_record_are_values(site):
    site.normal("acme-rules")
    (distribution,) = [d for d in take_inventory().distributions if d.name == "acme-rules"]
    recorded = {file.path: file.digest for file in recorded_files(distribution)}
    assert recorded["acme_rules-1.0.dist-info/RECORD"] == ""
    assert recorded["fake_acme_rules/plugin.py"].startswith("sha256=")


def test_a_long_list_of_findings_is_shortened_in_a_phrase_and_not_in_the_value(site):
    fake = site.normal("acme-rules")
    for number in range(5):
        fake.plant_file(f"planted_{number}.py")
    assert "and 2 more" in check().describe()
    assert len(check().unknown) == 5
