import subprocess
import sys

import pytest
from hookframe_mps.torch_release import has_linear_defect, installed_torch


@pytest.mark.parametrize("release", ["2.8.0", "2.8.0+cpu", "2.8.0+cu126", "2.8.1", "2.8.0a0+git1234"])
def test_torch_2_8_has_the_defect_whatever_its_local_version(release):
    assert has_linear_defect(release)


@pytest.mark.parametrize("release", ["2.7.1", "2.9.0+cpu", "2.18.0", "2.80", "3.8.0", "not a version", None])
def test_nothing_is_claimed_of_other_versions(release):
    assert not has_linear_defect(release)


def test_the_installed_version_is_that_of_torch_itself():
    import torch

    assert installed_torch() == torch.__version__


def test_a_torch_without_metadata_has_no_known_version(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    assert installed_torch() is None


def test_the_plugin_is_imported_without_torch():
    code = "import sys, hookframe_mps.plugin; sys.exit('torch' in sys.modules)"
    path = [place for place in sys.path if place]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=False
    )  # this interpreter, our code
    assert run.returncode == 0
