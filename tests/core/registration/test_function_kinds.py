"""Functions that are alike to whoever plans: the same place, code and marks; found again, and never by mistake."""

from __future__ import annotations

import types

import pytest

from hookframe import guarded, read_only
from hookframe.core.registration import planning
from hookframe.core.registration.planning import kind_of_function


def made(number):
    def hook(tensor, hook):
        return tensor * number

    return hook


def test_functions_made_by_the_same_code_are_alike():
    assert kind_of_function(made(1)) is kind_of_function(made(2))


def test_another_functions_nature_is_another():
    assert kind_of_function(made(1)) is not kind_of_function(made_otherwise(1))


def test_a_mark_makes_another_nature():
    assert (
        len(
            {
                kind_of_function(made(1)),
                kind_of_function(read_only(made(1))),
                kind_of_function(guarded(shape=False)(made(1))),
            }
        )
        == 3
    )


def test_one_code_in_another_module_or_under_another_name_is_not_the_same():
    one = made(1)
    elsewhere = types.FunctionType(one.__code__, {"__name__": "elsewhere"}, closure=one.__closure__)
    renamed = made(1)
    renamed.__qualname__ = "renamed"
    assert kind_of_function(one).info.module == __name__
    assert kind_of_function(elsewhere).info.module == "elsewhere"
    assert kind_of_function(renamed).info.qualname == "renamed"


def test_a_function_of_no_module_is_described_each_time():
    nameless = types.FunctionType(made(1).__code__, {}, closure=made(1).__closure__)
    nameless.__module__ = "said"
    assert kind_of_function(nameless).info.module == "said"
    nameless.__module__ = "said otherwise"
    assert kind_of_function(nameless).info.module == "said otherwise"


def test_new_code_in_an_old_function_is_noticed():
    function = made(1)
    before = kind_of_function(function)
    function.__code__ = made_otherwise(1).__code__
    assert kind_of_function(function) is not before
    assert kind_of_function(function).info.digest != before.info.digest


def made_otherwise(number):
    def hook(tensor, hook):
        return tensor + number

    return hook


@pytest.mark.parametrize("memory", ["_of_code", "_kinds"])
def test_so_many_are_remembered_and_no_more(memory, monkeypatch):
    monkeypatch.setattr(planning, memory, {})
    monkeypatch.setattr(planning, "_MANY", 4)
    code = made(1).__code__
    for number in range(20):
        other = types.FunctionType(code.replace(co_qualname=f"hook{number}"), globals(), closure=made(1).__closure__)
        assert kind_of_function(other).info.qualname == f"hook{number}"
        assert 0 < len(getattr(planning, memory)) <= 4
