"""Which requests join, in which order, and for how long one can be overtaken."""

from __future__ import annotations

import pytest

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
from tests.properties import given, st


def _waiting(*costs: float, profile: str = "a", claimed_at: float = 0.0) -> list[PendingRequest]:
    return [PendingRequest(id=n, profile=profile, cost=cost, claimed_at=claimed_at) for n, cost in enumerate(costs, 1)]


def test_requests_that_fit_join_at_once() -> None:
    capacities = {"a": Capacity(capacity=12, used_capacity=4)}
    assert admit(_waiting(4, 4, 4), capacities=capacities, now=0) == Admission(admitted=(1, 2))


def test_no_request_overtakes_another_of_its_model_even_if_it_costs_less() -> None:
    assert admit(_waiting(8, 1), capacities={"a": Capacity(capacity=12, used_capacity=8)}, now=0) == Admission()


def test_an_idle_engine_takes_a_request_that_costs_more_than_its_capacity() -> None:
    assert admit(_waiting(64, 1), capacities={"a": Capacity(capacity=12, used_capacity=0)}, now=0) == Admission(
        admitted=(1,)
    )


def test_a_model_is_loaded_when_the_gpu_is_idle_and_its_request_is_first() -> None:
    other = {"b": Capacity(capacity=12, used_capacity=0)}
    assert admit(_waiting(4), capacities=other, now=0) == Admission(load_profile="a")
    assert admit(_waiting(4), capacities={}, now=0) == Admission(load_profile="a")


def test_a_request_of_another_model_is_overtaken_for_a_bounded_time_only() -> None:
    pending = [
        PendingRequest(id=1, profile="other", cost=4, claimed_at=0),
        PendingRequest(id=2, profile="a", cost=4, claimed_at=MAX_OVERTAKEN_S - 1),
    ]
    busy = {"a": Capacity(capacity=12, used_capacity=4)}
    assert admit(pending, capacities=busy, now=MAX_OVERTAKEN_S - 0.1) == Admission(admitted=(2,))
    assert admit(pending, capacities=busy, now=MAX_OVERTAKEN_S) == Admission()
    assert admit(pending, capacities={"a": Capacity(capacity=12, used_capacity=0)}, now=MAX_OVERTAKEN_S) == Admission(
        load_profile="other"
    )


def test_a_request_that_must_be_alone_waits_for_an_idle_gpu_and_then_joins_alone() -> None:
    pending = [PendingRequest(id=1, profile="a", cost=4, claimed_at=20, is_alone=True), *_waiting(4, claimed_at=20)]
    assert admit(pending, capacities={"a": Capacity(capacity=12, used_capacity=0)}, now=20) == Admission(admitted=(1,))
    # Its model is loaded first where needed.
    assert admit(pending, capacities={}, now=20) == Admission(load_profile="a")
    # The request behind it overtakes it for ten seconds, counted from its own claim.
    busy = {"a": Capacity(capacity=12, used_capacity=4)}
    assert admit(pending[:1] + _waiting(4, claimed_at=20)[:1], capacities=busy, now=29.9) == Admission(admitted=(1,))
    assert admit(pending, capacities=busy, now=30) == Admission()


def test_no_request_joins_one_that_must_stay_alone() -> None:
    assert (
        admit(_waiting(1), capacities={"a": Capacity(capacity=12, used_capacity=1)}, now=0, has_exclusive=True)
        == Admission()
    )


def test_capacity_is_used_up_to_its_limit() -> None:
    assert Capacity(capacity=12, used_capacity=8).can_take(4)
    assert not Capacity(capacity=12, used_capacity=8).can_take(4.1)
    assert Capacity(capacity=12, used_capacity=0).can_take(64)


_pending_lists = st.lists(
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


@given(_pending_lists, _capacities, st.floats(0, 60))
def test_an_idle_gpu_never_lets_requests_wait_and_capacity_is_not_exceeded(
    pending: list[PendingRequest], capacities: dict[str, Capacity], now: float
) -> None:
    admission = admit(pending, capacities=capacities, now=now)
    if pending and not any(capacity.used_capacity for capacity in capacities.values()):
        assert admission.admitted or admission.load_profile
    for profile, capacity in capacities.items():
        joined = [each.cost for each in pending if each.id in admission.admitted and each.profile == profile]
        assert (
            not joined
            or capacity.used_capacity + sum(joined) <= capacity.capacity + 1e-6
            or (len(joined) == 1 and not capacity.used_capacity)
        )


@given(st.integers(0, 500), st.integers(1, 64))
def test_split_rows_covers_all_rows_once_evenly_and_in_as_few_slices_as_possible(rows: int, largest: int) -> None:
    cut = split_rows(rows, largest=largest)
    assert [row for part in cut for row in range(rows)[part]] == list(range(rows))
    sizes = [part.stop - part.start for part in cut]
    assert all(0 < size <= largest for size in sizes)
    assert len(cut) == -(-rows // largest)
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_a_gpu_is_measured_until_more_rows_save_too_little_and_no_further() -> None:
    measured: list[int] = []

    def seconds_per_row(rows: int) -> float:
        measured.append(rows)
        return max(1.0, 16 / rows)  # a call of up to 16 rows takes constant time

    assert saturation_rows(seconds_per_row, max_rows=64) == 16
    assert measured == [2, 4, 8, 16, 32]
    assert saturation_rows(seconds_per_row, max_rows=12) == 8
    assert saturation_rows(lambda rows: 1.0, max_rows=64) == 2
    # Only up to max_rows.
    assert [saturation_rows(lambda rows: 1 / rows, max_rows=limit) for limit in (2, 3, 4, 7, 8, 16)] == [
        2,
        2,
        4,
        4,
        8,
        16,
    ]
    # Exactly 7 % less for each row is enough.
    assert saturation_rows(lambda rows: {2: 1.0, 4: 0.93}.get(rows, 1.0), max_rows=64) == 4
    assert saturation_rows(lambda rows: {2: 1.0, 4: 0.931}.get(rows, 0.1), max_rows=64) == 2
    # It ends where memory runs out.
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


def test_the_commonest_numbers_of_rows_are_compiled_first_and_none_that_does_not_fit() -> None:
    assert rows_to_compile(max_rows=16) == (8, 16, 4, 2)
    assert rows_to_compile(max_rows=64) == COMPILED_ROWS
    # One to eight requests of four images with guidance all have a compiled shape.
    assert all(padded_rows(8 * requests, ready=rows_to_compile(max_rows=64)) for requests in range(1, 9))
