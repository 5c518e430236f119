"""The soak: short in every run of the tests, and long with ``--soak`` (``tox -e soak``)."""

from __future__ import annotations

import pytest

from .soaking import MOST_BYTES, MOST_OBJECTS, Soak


@pytest.fixture
def size(request):
    """Threads, runs of each, and seconds at most."""
    return (8, 2_000, 120) if request.config.getoption("soak") else (4, 40, 60)


def test_everything_at_once_is_what_each_is_alone_and_nothing_is_left(size, tally):
    threads, runs, seconds = size
    soak = Soak(threads, runs, seconds)
    found = soak.run()
    assert found.wrong == []
    assert found.hooks_left == 0
    assert soak.model.context_level == 0
    assert set(found.runs) == set(Soak.OPERATIONS)
    assert found.objects[-1] - found.objects[0] < MOST_OBJECTS
    assert found.resident[-1] - found.resident[0] < MOST_BYTES
    tally("threads in the soak", threads)
    tally("runs in the soak", found.runs.total())
    tally("objects more after the soak than after its first quarter", max(0, found.objects[-1] - found.objects[0]))
    tally("bytes of memory more", max(0, found.resident[-1] - found.resident[0]))
