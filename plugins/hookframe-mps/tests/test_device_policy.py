import pytest
from hookframe_mps.device_policy import DENIED, FALLBACK, LINEAR_DEFECT, UNTRUSTED, DevicePolicy

from hookframe import Action, DeviceRequest

GOOD, BAD = "2.9.0", "2.8.0+cpu"


def ask(on_mps="warn", device="mps", purpose="cache", *, torch=GOOD, model=None, said=(), silenced=False):
    policy = DevicePolicy.from_options({"on_mps": on_mps}, torch_release=lambda: torch)
    request = DeviceRequest(device=device, purpose=purpose, route="to")
    return policy.review(request, model, said=said, silenced=silenced)


def outcome(objections):
    return [(o.rule, o.action, o.device) for o in objections]


@pytest.mark.parametrize("on_mps", ["warn", "cpu", "deny"])
@pytest.mark.parametrize("device", ["cpu", "cuda:0", "meta", "mpsx"])
def test_other_devices_are_none_of_its_business(on_mps, device):
    assert ask(on_mps, device, torch=BAD) == []


@pytest.mark.parametrize("device", ["mps", "mps:0"])
@pytest.mark.parametrize("purpose", ["model", "cache"])
def test_mps_is_warned_of(device, purpose):
    assert outcome(ask("warn", device, purpose)) == [(UNTRUSTED, Action.WARN, None)]


def test_warning_is_the_default():
    assert DevicePolicy.from_options({}) == DevicePolicy.from_options({"on_mps": "warn"})


def test_a_warning_that_was_given_is_not_given_again():
    assert ask(said={UNTRUSTED}) == []


def test_the_user_can_silence_the_warning():
    assert ask(silenced=True) == []


def test_nobody_can_silence_the_warning_of_torch_2_8():
    assert outcome(ask(torch=BAD, silenced=True)) == [(LINEAR_DEFECT, Action.WARN, None)]


def test_torch_2_8_is_warned_of_besides_mps_as_such():
    assert [o.rule for o in ask(torch=BAD)] == [UNTRUSTED, LINEAR_DEFECT]


def test_torch_2_8_is_warned_of_once():
    assert ask(torch=BAD, said={UNTRUSTED, LINEAR_DEFECT}) == []


def test_the_warning_of_torch_2_8_says_what_is_wrong_and_where_to_read_it():
    (objection,) = ask(torch="2.8.0+cpu", silenced=True)
    assert "torch 2.8.0+cpu" in objection.message
    assert "pytorch issue 161640" in objection.message


@pytest.mark.parametrize(("said", "silenced"), [((), False), ({UNTRUSTED, FALLBACK}, False), ((), True)])
def test_denying_goes_on_whatever_was_said_or_silenced(said, silenced):
    assert outcome(ask("deny", said=said, silenced=silenced)) == [(DENIED, Action.DENY, None)]


def test_the_fallback_is_the_cpu_with_a_warning():
    assert outcome(ask("cpu")) == [(FALLBACK, Action.WARN, "cpu")]


def test_later_fallbacks_are_silent_and_still_fall_back():
    assert outcome(ask("cpu", said={FALLBACK})) == [(FALLBACK, Action.AUDIT, "cpu")]


def test_the_user_cannot_switch_the_fallback_off():
    assert outcome(ask("cpu", silenced=True)) == [(FALLBACK, Action.WARN, "cpu")]


def test_torch_2_8_does_not_matter_to_a_model_that_is_kept_off_mps(model, model_on_mps):
    assert [o.rule for o in ask("cpu", purpose="model", torch=BAD, model=model)] == [FALLBACK]
    assert [o.rule for o in ask("cpu", purpose="cache", torch=BAD, model=model)] == [FALLBACK]
    assert [o.rule for o in ask("cpu", purpose="model", torch=BAD, model=model_on_mps)] == [FALLBACK]


def test_torch_2_8_matters_where_only_the_cache_goes_to_the_cpu(model_on_mps):
    assert [o.rule for o in ask("cpu", torch=BAD, model=model_on_mps)] == [FALLBACK, LINEAR_DEFECT]


def test_the_version_of_torch_is_not_asked_for_other_devices():
    policy = DevicePolicy(torch_release=lambda: pytest.fail("asked"))
    assert policy.review(DeviceRequest(device="cpu", purpose="model", route="to"), None, said=(), silenced=False) == []


@pytest.mark.parametrize("value", ["dney", "", "WARN", None, 1, ["cpu"]])
def test_an_unknown_value_is_an_error_that_names_the_known_ones(value):
    with pytest.raises(ValueError, match=r"on_mps = .* is unknown: use one of \['warn', 'cpu', 'deny'\]"):
        DevicePolicy.from_options({"on_mps": value})


def test_an_unknown_option_is_an_error():
    with pytest.raises(ValueError, match="no option 'onmps': the only one is 'on_mps'"):
        DevicePolicy.from_options({"onmps": "cpu"})
