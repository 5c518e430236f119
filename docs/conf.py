"""How the documentation is built. Every example on its pages is run: ``sphinx-build -b doctest``."""

from __future__ import annotations

import doctest
import json
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

from click.testing import CliRunner
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import hookframe
from hookframe import hookspecs
from hookframe.cli.main import cli
from hookframe.policy.language.vocabulary import FACTS, PLACES

sys.path.insert(0, str(Path(__file__).parent / "examples" / "acme-hooks"))
sys.path.insert(0, str(Path(__file__).parent / "examples" / "acme-families"))

project = "hookframe"
author = "the hookframe authors"
copyright = author
version = release = hookframe.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"hookframe {release}"
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
add_module_names = False

# Messages of errors are compared in full; lines may be wrapped, and "..." stands for what differs from run to run.
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.DONT_ACCEPT_TRUE_FOR_1
doctest_global_setup = f"""
readme = {str(Path(__file__).parents[1] / "README.md")!r}
import warnings
import torch
import hookframe
_plugins_of_the_page = hookframe.use_plugins()  # installed plugins stay out of the examples
_warnings_of_the_page = warnings.catch_warnings()
_warnings_of_the_page.__enter__()
warnings.simplefilter("always")
warnings.showwarning = lambda message, category, *place: print(category.__name__, message, sep=": ")
torch.manual_seed(0)
"""
doctest_global_cleanup = """
_warnings_of_the_page.__exit__(None, None, None)
_plugins_of_the_page.close()
"""


class SpecReference(SphinxDirective):
    """``.. specs:: VALIDATORS``: the documentation of each spec that this tuple of ``hookspecs`` names."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, object]] = {}

    def run(self) -> list[nodes.Node]:
        """Document each spec with autodoc."""
        names = [hookspecs.PREFIX + name for name in getattr(hookspecs, self.arguments[0])]
        lines = [line for name in names for line in (f".. autofunction:: hookframe.hookspecs.{name}", "")]
        return self.parse_text_to_nodes(StringList(lines, source="hookframe/hookspecs.py"))


class FactReference(SphinxDirective):
    """``.. facts::``: a table of every fact that a policy can look at."""

    option_spec: ClassVar[dict[str, object]] = {}

    def run(self) -> list[nodes.Node]:
        """Make the table from the declarations."""
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "",
            "   * - fact",
            "     - type",
            "     - known at",
            "     - what it says",
        ]
        for kind in FACTS.values():
            lines += [f"   * - ``{kind.path}``", f"     - {kind.type}"]
            places = "everywhere" if kind.places == PLACES else ", ".join(kind.places)
            lines += [f"     - {places}", f"     - {kind.about}"]
        return self.parse_text_to_nodes(StringList(lines, source="hookframe/policy/language/vocabulary.py"))


class CommandHelp(SphinxDirective):
    """``.. command:: policy check``: what this verb's ``--help`` prints; without a verb, that of the command itself."""

    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, object]] = {}

    def run(self) -> list[nodes.Node]:
        """Ask the command."""
        words = self.arguments[0].split() if self.arguments else []
        command = " ".join(["hookframe", *words, "--help"])
        done = CliRunner().invoke(cli, [*words, "--help"], prog_name="hookframe", terminal_width=80)
        if done.exit_code:
            raise self.error(f"{command} failed: {done.output}")
        text = f"$ {command}\n{done.output}"
        return [nodes.literal_block(text, text, language="console")]


class Figures(SphinxDirective):
    """``.. figures:: counts``, ``faults``, ``rooms`` or ``found``: what runs of the tests counted, from ``docs/figures``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, object]] = {}

    def run(self) -> list[nodes.Node]:
        """Make a table of counts, or a list of what was found."""
        place = Path(__file__).parent / "figures"
        soak = json.loads((place / "soak.json").read_text())
        runs = [json.loads(file.read_text()) for file in sorted(place.glob("tests*.json"))]
        wanted = self.arguments[0]
        if wanted == "found":
            lines = [
                line for text in sorted({text for run in runs for text in run["found"]}) for line in (f"* {text}", "")
            ]
        elif wanted == "counts":
            added = _added(runs, "counts") | {"injected faults": sum(_added(runs, "faults").values())}
            long = {name: count for name, count in soak["counts"].items() if not name.startswith("tests ")}
            lines = _table("what", "how many", dict(sorted((added | long).items())))
        else:
            what = {"rooms": ("tests of", "passed"), "faults": ("injected fault", "times")}[wanted]
            lines = _table(*what, _added(runs, wanted))
        return self.parse_text_to_nodes(StringList(lines, source="docs/figures"))


def _added(runs: list[dict[str, dict[str, int]]], what: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run.get(what, {}))
    return dict(sorted(total.items()))


def _table(what: str, how_many: str, counts: dict[str, int]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "", f"   * - {what}", f"     - {how_many}"]
    return lines + [line for name, count in counts.items() for line in (f"   * - {name}", f"     - {count:,}")]


def _warn_of_markup(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """A page that shows the words of a directive has it where nothing reads it."""
    for node in doctree.findall(nodes.paragraph):
        if node.astext().startswith(".. "):
            logging.getLogger(__name__).warning("%s shows markup: %s", page, node.astext()[:60])


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("doctree-resolved", _warn_of_markup)
    app.add_directive("specs", SpecReference)
    app.add_directive("facts", FactReference)
    app.add_directive("figures", Figures)
    app.add_directive("command", CommandHelp)
