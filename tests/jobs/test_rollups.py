"""A chart's quantiles, from counts in buckets of which each is a quarter wider than the one before."""

import math

import pytest

from jobs import rollups


@pytest.mark.parametrize(("bucket", "seconds"), [(0, 0.25), (1, 0.3125), (2, 0.390625), (10, 0.25 * 1.25**10)])
def test_a_buckets_longest_time(bucket, seconds):
    assert rollups.bucket_bound(bucket) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("counts", "share", "bucket"),
    [
        ([(7, 1)], 0.5, 7),
        ([(7, 1)], 1.0, 7),
        # Half of ten are in the first two buckets, in whatever order these come.
        ([(1, 2), (2, 3), (3, 5)], 0.5, 2),
        ([(3, 5), (1, 2), (2, 3)], 0.5, 2),
        ([(1, 2), (2, 3), (3, 5)], 0.51, 3),
        ([(1, 2), (2, 3), (3, 5)], 0.2, 1),
        ([(1, 95), (9, 5)], 0.95, 1),
        ([(1, 94), (9, 6)], 0.95, 9),
    ],
)
def test_a_quantile_is_the_middle_of_the_bucket_it_falls_into(counts, share, bucket):
    # The middle of a bucket's ratio: the square root of a quarter's step below its end.
    assert rollups.quantile(counts, share) == pytest.approx(0.25 * 1.25 ** (bucket - 0.5))


def test_the_middle_is_as_far_from_a_buckets_start_as_from_its_end():
    middle = rollups.quantile([(4, 1)], 0.5)
    assert (
        middle / rollups.bucket_bound(3)
        == pytest.approx(rollups.bucket_bound(4) / middle)
        == pytest.approx(math.sqrt(1.25))
    )


def test_without_requests_there_is_no_quantile():
    assert rollups.quantile([], 0.5) is None
    assert rollups.quantile([(3, 0)], 0.5) is None
