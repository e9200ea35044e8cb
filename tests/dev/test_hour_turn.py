"""A test starts in one hour and ends in it."""

import pytest

from tests import hour_turn


@pytest.mark.parametrize("left_s", [19.9, 5, 0.001])
def test_near_the_end_of_an_hour_a_test_waits_for_the_next(left_s):
    ends_at = 1_796_083_200
    now = ends_at - left_s
    assert ends_at < now + hour_turn.pause_s(now) < ends_at + 1


@pytest.mark.parametrize("into_s", [0, 1, 1800, 3579])
def test_at_any_other_time_it_starts_at_once(into_s):
    assert hour_turn.pause_s(1_796_083_200 + into_s) == 0
