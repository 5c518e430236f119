from pathlib import Path

import pytest
from hookframe_timing.options import TimingOptions


def test_without_options_nothing_is_written_or_warned_of():
    assert TimingOptions.read({}) == TimingOptions.read({"file": None}) == TimingOptions(file=None, slow_us=None)


def test_a_relative_file_stays_where_it_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TimingOptions.read({"file": "times.jsonl", "slow_us": 50}) == TimingOptions(
        file=tmp_path / "times.jsonl", slow_us=50.0
    )
    assert TimingOptions.read({"file": "~/times"}).file == Path.home() / "times"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"file": 3}, "option 'file' is 3: use the path of a file"),
        ({"file": ""}, "option 'file' is '': use the path of a file"),
        ({"file": "."}, "it is a directory"),
        ({"file": "none/times"}, "there is no directory '.*none': make it first"),
        ({"slow_us": 0}, "option 'slow_us' is 0: use a number of microseconds above 0"),
        ({"slow_us": True}, "use a number of microseconds"),
        ({"slow_us": "5"}, "use a number of microseconds"),
        ({"slow_us": float("nan")}, "use a number of microseconds"),
        ({"slow_us": float("inf")}, "use a number of microseconds"),
        ({"slow": 5}, "there is no option 'slow': did you mean 'slow_us'?"),
        ({"xyz": 5}, r"there is no option 'xyz': they are \['file', 'slow_us'\]"),
        ({"xyz": 5, "slow_us": -1}, "'xyz'.*; option 'slow_us' is -1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=text):
        TimingOptions.read(options)
