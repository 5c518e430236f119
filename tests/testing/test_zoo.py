"""The zoo: small bad plugins, each of which fails one check and no other; and good ones, which fail none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from hookframe.testing import Verdict, check_plugin, fake_site
from hookframe.testing.conformance.catalogue import NAMES

ZOO = Path(__file__).with_name("zoo")

BAD = {
    # plugin: the check that it fails, and a part of the reason
    "raises_at_import": ("import-succeeds", "ImportError: a library is missing"),
    "exits_at_import": ("import-succeeds", "SystemExit: 3"),
    "kills_its_process_at_import": ("import-succeeds", "ended early"),
    "opens_socket": ("import-opens-no-socket", "socket.__new__"),
    "starts_thread": ("import-starts-no-thread", "a thread was started"),
    "starts_process": ("import-starts-no-process", "subprocess.Popen"),
    "writes_file": ("import-writes-no-file", "plugin.log"),
    "seeds_random": ("import-keeps-random-state", "random"),
    "seeds_numpy": ("import-keeps-random-state", "numpy"),
    "seeds_torch": ("import-keeps-random-state", "torch"),
    "turns_gradients_off": ("import-keeps-torch-settings", "grad mode"),
    "changes_default_dtype": ("import-keeps-torch-settings", "default dtype"),
    "prints": ("import-prints-nothing", "8 bytes"),
    "configures_logging": ("import-leaves-logging-alone", "logger ''"),
    "misspells_spec": ("known-specs", "did you mean hookframe_check_hooks_to_add"),
    "invents_argument": ("known-arguments", "no argument 'user'"),
    "wraps_others": ("no-wrappers", "is a wrapper"),
    "forgets_marker": ("implementations-marked", "check_hooks_to_add lacks @hookimpl"),
    "implements_nothing": ("implementations-marked", "it implements nothing"),
    "needs_an_option": ("registers", "token"),
    "always_raises": ("ordinary-requests", "AttributeError"),
    "hangs": ("ordinary-requests", "did not come to an end within"),
    "kills_its_process": ("ordinary-requests", "exit code 7"),
    "splits_names": ("unknown-facts", "ValueError"),
    "looks_up_devices": ("unknown-facts", "KeyError"),
    "needs_a_model": ("model-may-be-none", "'NoneType' object has no attribute 'training'"),
    "stumbles_over_levels": ("generated-requests", "IndexError"),
    "answers_true": ("answers-are-objections", "a bool"),
    "answers_strings": ("answers-are-objections", "a str among its objections"),
    "objects_to_another": ("objections-about-the-batch", "was not asked about"),
    "parrots": ("objections-helpful", "repeats the message"),
    "shouts_its_rule": ("objections-helpful", "kebab-case"),
    "changes_requests": ("requests-unchanged", "changed a request"),
    "changes_the_model": ("model-unchanged", "training"),
    "hooks_the_model": ("model-unchanged", "the hooks of the model"),
    "counts_calls": ("same-answer-twice", "1 objections (enough)"),
    "keeps_to_the_first": ("same-answer-in-any-order", "objections"),
    "keeps_to_its_thread": ("threads", "raised AttributeError"),
    "hashes_names": ("child-process", "objections"),
    "relies_on_assert": ("optimized-python", "1 objections, and there 0"),
    "warns": ("warnings-as-errors", "DeprecationWarning"),
    "observer_raises": ("observers-do-not-raise", "run_finished raised RuntimeError"),
    "observer_answers": ("observers-return-none", "context_entered returned a int"),
    "wraps_with_junk": ("providers-answer", "returned a str"),
}
"""Bad code; its metadata is right."""

MISDESCRIBED = {
    "has-no-licence": ({"licence": None}, "metadata-complete", "no licence"),
    "has-no-version": ({"version": ""}, "metadata-complete", "no Version"),
    "requires-nothing": ({"requires": ()}, "requires-hookframe", "does not require hookframe"),
    "requires-the-future": ({"requires": ("hookframe>=99",)}, "requires-hookframe", "hookframe>=99"),
    "states-no-range": ({"keywords": "hooks"}, "api-range-stated", "no range is stated"),
    "states-another-range": ({"keywords": "hookframe-plugin-api >=2,<3"}, "api-range-stated", "plugin API >=2,<3"),
    "names-no-module": ({"entry_points": {"it": "fake_nowhere.plugin"}}, "entry-point-resolves", "there is no module"),
    "names-no-attribute": (
        {"entry_points": {"it": "fake_names_no_attribute.plugin:plug"}}, "entry-point-resolves", "no attribute 'plug'",
    ),
}  # fmt: skip
"""Good code; its metadata is wrong."""


def code_of(animal):
    return (ZOO / f"{animal}.py").read_text()


@pytest.fixture(scope="module")
def card_of(tmp_path_factory, request):
    """Cards of the plugins that were chosen to be tested; all are made at once."""
    chosen = {item.callspec.params["animal"] for item in request.session.items if "card_of" in item.fixturenames}
    with fake_site(tmp_path_factory.mktemp("zoo") / "site") as site, ThreadPoolExecutor(2) as pool:
        for animal in chosen - set(MISDESCRIBED):
            site.normal(f"zoo-{animal}", code_of(animal))
        for animal in chosen & set(MISDESCRIBED):
            site.normal(
                f"zoo-{animal}", code_of("quiet"), package=f"fake_{animal.replace('-', '_')}", **MISDESCRIBED[animal][0]
            )

        def check(animal):
            return check_plugin(f"zoo-{animal}", timeout=10 if animal == "hangs" else 120)

        ahead = (
            () if hasattr(request.config, "workerinput") else sorted(chosen)
        )  # under xdist all workers have all tests
        futures = {animal: pool.submit(check, animal) for animal in ahead}
        yield lambda animal: futures.setdefault(animal, futures.get(animal) or pool.submit(check, animal)).result()


def only_failure(card):
    assert [(r.name, r.reason) for r in card.failures][1:] == []
    return card.failures[0]


@pytest.mark.parametrize("animal", BAD)
def test_a_bad_plugin_fails_the_check_that_is_about_it_and_no_other(animal, card_of):
    name, reason = BAD[animal]
    failure = only_failure(card_of(animal))
    assert failure.name == name
    assert reason in failure.reason


CALLED = [a for a, (name, _) in BAD.items() if name in NAMES[NAMES.index("implementations-marked") :]]
ELSEWHERE = ("hangs", "kills_its_process", "keeps_to_the_first", "hashes_names", "relies_on_assert", "warns")
"""What one process cannot find out, or would not survive."""


@pytest.mark.parametrize("animal", [animal for animal in CALLED if animal not in ELSEWHERE])
def test_an_author_finds_the_same_in_a_test_of_their_own(animal):
    module = ModuleType(animal)
    exec(compile(code_of(animal), animal, "exec"), vars(module))  # noqa: S102  # the files of the zoo
    name, reason = BAD[animal]
    failure = only_failure(check_plugin(module))
    assert failure.name == name
    assert reason in failure.reason


@pytest.mark.parametrize("animal", MISDESCRIBED)
def test_wrong_metadata_fails_the_check_that_is_about_it_and_no_other(animal, card_of):
    _, name, reason = MISDESCRIBED[animal]
    failure = only_failure(card_of(animal))
    assert failure.name == name
    assert reason in failure.reason


@pytest.mark.parametrize("animal", ["quiet", "sound", "slow"])
def test_a_good_plugin_passes(animal, card_of):
    assert card_of(animal).failures == ()


@pytest.mark.parametrize("animal", ["slow"])
def test_a_slow_plugin_passes_with_a_warning(animal, card_of):
    (warning,) = card_of(animal).result("time-per-call").warnings
    assert "check_device takes" in warning


@pytest.mark.parametrize("animal", ["sound", "seeds_torch"])
def test_importing_torch_is_reported_and_is_no_failure(animal, card_of):
    result = card_of(animal).result("import-spares-torch")
    assert result.verdict is Verdict.PASS
    assert bool(result.warnings) == (animal == "seeds_torch")


def test_every_animal_is_tried():
    assert {file.stem for file in ZOO.glob("*.py")} == {*BAD, "quiet", "sound", "slow"}


def test_every_check_is_seen_to_bite():
    bitten = {name for name, _ in BAD.values()} | {name for _, name, _ in MISDESCRIBED.values()}
    assert set(NAMES) - bitten == {"import-spares-torch", "time-per-call"}  # which never fail
