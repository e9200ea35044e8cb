"""Who joins, in which order, and for how long someone can be overtaken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.batch_policy import (
    COMPILED_ROWS,
    MAX_OVERTAKEN_S,
    MAX_PADDING,
    Admission,
    Capacity,
    PendingRequest,
    admit,
    padded_rows,
    rows_to_compile,
    saturation_rows,
    split_rows,
)


def _waiting(*costs: float, profile: str = "a", claimed_at: float = 0.0) -> list[PendingRequest]:
    return [PendingRequest(id=n, profile=profile, cost=cost, claimed_at=claimed_at) for n, cost in enumerate(costs, 1)]


def test_everyone_who_fits_joins_at_once() -> None:
    capacities = {"a": Capacity(capacity=12, used_capacity=4)}
    assert admit(_waiting(4, 4, 4), capacities=capacities, now=0) == Admission(admitted=(1, 2))


def test_nobody_overtakes_within_a_model_even_if_smaller() -> None:
    assert admit(_waiting(8, 1), capacities={"a": Capacity(capacity=12, used_capacity=8)}, now=0) == Admission()


def test_an_idle_engine_takes_a_request_that_is_heavier_than_its_room() -> None:
    assert admit(_waiting(64, 1), capacities={"a": Capacity(capacity=12, used_capacity=0)}, now=0) == Admission(
        admitted=(1,)
    )


def test_a_model_is_loaded_when_the_card_is_idle_and_its_request_is_first() -> None:
    other = {"b": Capacity(capacity=12, used_capacity=0)}
    assert admit(_waiting(4), capacities=other, now=0) == Admission(load_profile="a")
    assert admit(_waiting(4), capacities={}, now=0) == Admission(load_profile="a")


def test_a_request_of_another_model_is_overtaken_for_a_bounded_time_only() -> None:
    line = [
        PendingRequest(id=1, profile="other", cost=4, claimed_at=0),
        PendingRequest(id=2, profile="a", cost=4, claimed_at=MAX_OVERTAKEN_S - 1),
    ]
    busy = {"a": Capacity(capacity=12, used_capacity=4)}
    assert admit(line, capacities=busy, now=MAX_OVERTAKEN_S - 0.1) == Admission(admitted=(2,))
    assert admit(line, capacities=busy, now=MAX_OVERTAKEN_S) == Admission()
    assert admit(line, capacities={"a": Capacity(capacity=12, used_capacity=0)}, now=MAX_OVERTAKEN_S) == Admission(
        load_profile="other"
    )


def test_a_request_that_must_be_alone_waits_for_an_idle_card_and_then_joins_alone() -> None:
    line = [PendingRequest(id=1, profile="a", cost=4, claimed_at=20, is_alone=True), *_waiting(4, claimed_at=20)]
    assert admit(line, capacities={"a": Capacity(capacity=12, used_capacity=0)}, now=20) == Admission(admitted=(1,))
    # Loaded first where its model is not.
    assert admit(line, capacities={}, now=20) == Admission(load_profile="a")
    # Overtaken by the one behind it for ten seconds, however late on the clock that is.
    busy = {"a": Capacity(capacity=12, used_capacity=4)}
    assert admit(line[:1] + _waiting(4, claimed_at=20)[:1], capacities=busy, now=29.9) == Admission(admitted=(1,))
    assert admit(line, capacities=busy, now=30) == Admission()


def test_nobody_joins_a_request_that_must_stay_alone() -> None:
    assert (
        admit(_waiting(1), capacities={"a": Capacity(capacity=12, used_capacity=1)}, now=0, has_exclusive=True)
        == Admission()
    )


def test_room_is_taken_to_the_last_bit() -> None:
    assert Capacity(capacity=12, used_capacity=8).can_take(4)
    assert not Capacity(capacity=12, used_capacity=8).can_take(4.1)
    assert Capacity(capacity=12, used_capacity=0).can_take(64)


_lines = st.lists(
    st.builds(
        PendingRequest,
        id=st.integers(1, 10**6),
        profile=st.sampled_from("abc"),
        cost=st.floats(0.1, 64),
        claimed_at=st.floats(0, 30),
    ),
    unique_by=lambda each: each.id,
    max_size=20,
)
_capacities = st.dictionaries(
    st.sampled_from("abc"), st.builds(Capacity, capacity=st.floats(1, 64), used_capacity=st.just(0) | st.floats(0, 64))
)


@given(_lines, _capacities, st.floats(0, 60))
def test_an_idle_card_never_leaves_its_line_waiting_and_room_is_kept(
    line: list[PendingRequest], capacities: dict[str, Capacity], now: float
) -> None:
    admission = admit(line, capacities=capacities, now=now)
    if line and not any(capacity.used_capacity for capacity in capacities.values()):
        assert admission.admitted or admission.load_profile
    for profile, capacity in capacities.items():
        joined = [each.cost for each in line if each.id in admission.admitted and each.profile == profile]
        assert (
            not joined
            or capacity.used_capacity + sum(joined) <= capacity.capacity + 1e-6
            or (len(joined) == 1 and not capacity.used_capacity)
        )


@given(st.integers(0, 500), st.integers(1, 64))
def test_slices_cover_all_rows_once_evenly_and_in_as_few_as_possible(rows: int, largest: int) -> None:
    cut = split_rows(rows, largest=largest)
    assert [row for part in cut for row in range(rows)[part]] == list(range(rows))
    sizes = [part.stop - part.start for part in cut]
    assert all(0 < size <= largest for size in sizes)
    assert len(cut) == -(-rows // largest)
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_a_card_is_measured_up_to_where_company_no_longer_pays_and_no_further() -> None:
    measured: list[int] = []

    def seconds_a_row(rows: int) -> float:
        measured.append(rows)
        return max(1.0, 16 / rows)  # a call takes as long for 16 rows as for one

    assert saturation_rows(seconds_a_row, max_rows=64) == 16
    assert measured == [2, 4, 8, 16, 32]
    assert saturation_rows(seconds_a_row, max_rows=12) == 8
    assert saturation_rows(lambda rows: 1.0, max_rows=64) == 2
    # As far as rows still fit, and no further.
    assert [saturation_rows(lambda rows: 1 / rows, max_rows=limit) for limit in (2, 3, 4, 7, 8, 16)] == [
        2,
        2,
        4,
        4,
        8,
        16,
    ]
    # 7 % less for each row is worth twice as many, to the letter.
    assert saturation_rows(lambda rows: {2: 1.0, 4: 0.93}.get(rows, 1.0), max_rows=64) == 4
    assert saturation_rows(lambda rows: {2: 1.0, 4: 0.931}.get(rows, 0.1), max_rows=64) == 2
    # Where the memory did not last as long as was reckoned, that is where it ends.
    assert saturation_rows(lambda rows: 1 / rows if rows <= 8 else float("inf"), max_rows=64) == 8


@given(st.integers(1, 80), st.sets(st.sampled_from(COMPILED_ROWS)))
def test_a_call_is_padded_to_the_nearest_compiled_shape_or_runs_uncompiled(rows: int, ready: set[int]) -> None:
    padded = padded_rows(rows, ready=ready)
    assert padded is None or (padded in ready and rows <= padded <= (1 + MAX_PADDING) * rows)
    assert padded == rows or rows not in ready


@pytest.mark.parametrize(
    ("rows", "ready", "padded"),
    [(8, {8, 16}, 8), (7, {8, 16}, 8), (8, {10}, 10), (8, {11}, None), (4, {5}, 5), (3, {4}, None), (9, {8}, None),
     (9, set(), None), (13, {16, 24}, 16), (12, {16}, None)],
)  # fmt: skip
def test_at_most_a_quarter_of_the_rows_is_padding(rows: int, ready: set[int], padded: int | None) -> None:
    assert padded_rows(rows, ready=ready) == padded


def test_what_most_requests_ask_for_is_compiled_first_and_nothing_that_does_not_fit() -> None:
    assert rows_to_compile(max_rows=16) == (8, 16, 4, 2)
    assert rows_to_compile(max_rows=64) == COMPILED_ROWS
    # Four pictures with guidance, in company of one to seven others: all of them find a shape.
    assert all(padded_rows(8 * requests, ready=rows_to_compile(max_rows=64)) for requests in range(1, 9))
