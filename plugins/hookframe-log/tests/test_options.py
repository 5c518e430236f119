import logging
from pathlib import Path

import pytest
from hookframe_log.options import LogOptions
from hookframe_log.selector import Selector

EVERY_VARIABLE = {
    "HOOKFRAME_LOG_LEVEL": "warning",
    "HOOKFRAME_LOG_POINTS": "blocks.0.*, *.hook_z",
    "HOOKFRAME_LOG_FORMAT": "json",
    "HOOKFRAME_LOG_FILE": "hooks.log",
}


def test_without_options_it_logs_everything_as_text_at_info():
    assert LogOptions.read({}, {}) == LogOptions(
        level=logging.INFO, points=Selector(), format="text", file=None, stderr=False
    )


def test_the_environment_stands_in_for_options():
    assert LogOptions.read({}, EVERY_VARIABLE) == LogOptions(
        level=logging.WARNING, points=Selector(("blocks.0.*", "*.hook_z")), format="json", file=Path("hooks.log")
    )


def test_options_go_before_the_environment():
    given = {"level": "debug", "points": ["*"], "format": "text", "file": "other.log"}
    assert LogOptions.read(given, EVERY_VARIABLE) == LogOptions.read(given, {})


def test_an_empty_variable_counts_as_unset():
    assert LogOptions.read({}, dict.fromkeys(EVERY_VARIABLE, "")) == LogOptions()


@pytest.mark.parametrize("level", ["DEBUG", "debug", " Debug ", 10])
def test_a_level_is_a_name_or_a_number(level):
    assert LogOptions.read({"level": level}, {}).level == logging.DEBUG


@pytest.mark.parametrize("points", ["a.*,b.*", " a.* , b.* ,", ["a.*", "b.*"], ("a.*", "b.*")])
def test_points_are_one_glob_or_several(points):
    assert LogOptions.read({"points": points}, {}).points == Selector(("a.*", "b.*"))


def test_a_file_may_be_below_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert LogOptions.read({"file": "~/hooks.log"}, {}).file == tmp_path / "hooks.log"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"level": "loud"}, "option 'level' is 'loud': use a level"),
        ({"level": True}, "option 'level' is True: use a level"),
        ({"level": 0}, "option 'level' is 0: use a level"),
        ({"points": 3}, "option 'points' is 3: use a glob"),
        ({"points": [1]}, r"option 'points' is \[1\]: use a glob"),
        ({"points": " , "}, "option 'points' is ' , ': it holds no glob"),
        ({"format": "xml"}, r"option 'format' is 'xml': use one of \['text', 'json'\]"),
        ({"file": 1}, "option 'file' is 1: use the path"),
        ({"stderr": "yes"}, "option 'stderr' is 'yes': use true or false"),
        ({"point": "*"}, "there is no option 'point': did you mean 'points'"),
        ({"colour": 1}, r"there is no option 'colour': they are \['level', 'points', 'format', 'file', 'stderr'\]"),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_to_write(options, problem):
    with pytest.raises(ValueError, match=problem):
        LogOptions.read(options, {})


def test_a_wrong_variable_is_named():
    with pytest.raises(ValueError, match="HOOKFRAME_LOG_FORMAT is 'xml': use one of"):
        LogOptions.read({}, {"HOOKFRAME_LOG_FORMAT": "xml"})


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match=r"'format' is 'xml'.*; .*'stderr' is 1"):
        LogOptions.read({"format": "xml", "stderr": 1}, {})
