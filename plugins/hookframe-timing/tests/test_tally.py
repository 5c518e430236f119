"""Counting, and adding up what was counted."""

import threading

from hookframe_timing.tally import Row, Tally, Timings, merged
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 10**12)))
def test_a_tally_is_count_sum_and_maximum(times):
    tally = Tally()
    for taken in times:
        tally.add(taken)
    row = tally.row("m", "f", clear=False)
    assert (row.calls, row.total_ns, row.longest_ns) == (len(times), sum(times), max(times, default=0))
    assert row.mean_us == (sum(times) / len(times) / 1000 if times else 0)


@given(st.lists(st.tuples(st.sampled_from("fg"), st.integers(0, 10**9))), st.integers(0, 20))
def test_what_is_measured_in_parts_adds_up(times, cut):
    whole, parts = Timings(), Timings()
    rows = []
    for place, (name, taken) in enumerate(times):
        whole.of("m", name).add(taken)
        parts.of("m", name).add(taken)
        if place == cut:
            rows += parts.rows(clear=True)
    assert merged([*rows, *parts.rows()]) == whole.rows()


def test_threads_lose_no_call():
    tally = Tally()
    threads = [threading.Thread(target=lambda: [tally.add(1) for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = tally.row("m", "f", clear=True)
    assert (row.calls, row.total_ns) == (80_000, 80_000)
    assert tally.row("m", "f", clear=False) == Row(module="m", qualname="f")


def test_the_longest_in_total_come_first_and_what_never_ran_is_left_out():
    timings = Timings()
    timings.of("m", "short").add(1)
    timings.of("m", "never")
    timings.of("m", "failed").add_failure()
    timings.of("m", "long").add(5)
    assert [(str(row), row.failures) for row in timings.rows()] == [("m.long", 0), ("m.short", 0), ("m.failed", 1)]
