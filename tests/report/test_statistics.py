"""Statistics by hand, and as `rliable` 1.2.0 gives them."""

from __future__ import annotations

import numpy as np
import pytest

from spar_lightning.report import statistics
from spar_lightning.report.statistics import estimate, expected_best

ONE = np.array([[10.0, 20.0, 15.0, 30.0], [50.0, 55.0, 70.0, 40.0], [90.0, 95.0, 85.0, 100.0]])
TWO = np.array([[12.0, 8.0, 25.0, 5.0], [45.0, 52.0, 30.0, 65.0], [60.0, 88.0, 70.0, 92.0]])


def test_aggregates_by_hand() -> None:
    # in order: 10 15 20 | 30 40 50 55 70 85 | 90 95 100
    assert statistics.interquartile_mean(ONE) == pytest.approx(55.0)
    assert statistics.mean(ONE) == pytest.approx(55.0)
    assert statistics.median(ONE) == pytest.approx(53.75)  # of 18.75, 53.75, 92.5
    won = [np.mean([[x > y for y in other] for x in row]) for row, other in zip(ONE, TWO, strict=True)]
    assert statistics.improvement_probability(ONE, TWO) == pytest.approx(np.mean(won))
    assert statistics.share_above(50.0)(ONE) == pytest.approx(6 / 12)


def test_intervals_are_those_of_rliable() -> None:
    """Which were drawn 20,000 times; its and these differ by chance."""
    expected = {
        statistics.interquartile_mean: (47.5, 62.5),
        statistics.mean: (50.417, 59.583),
        statistics.median: (43.75, 65.0),
    }
    for statistic, bounds in expected.items():
        found = estimate(statistic, ONE)
        assert (found.low, found.high) == pytest.approx(bounds, abs=1.0)


def test_a_tie_counts_half() -> None:
    same = np.array([[1.0, 1.0], [2.0, 2.0]])
    assert statistics.improvement_probability(same, same) == pytest.approx(0.5)


def test_one_method_is_as_likely_better_as_the_other_is_worse() -> None:
    there, back = (statistics.improvement_probability(*pair) for pair in ((ONE, TWO), (TWO, ONE)))
    assert there + back == pytest.approx(1.0)


def test_intervals_draw_runs_within_tasks() -> None:
    """Tasks far apart, runs alike: drawn over tasks as well, the mean would vary by tens."""
    found = estimate(statistics.mean, np.array([[0.0, 1.0], [1000.0, 1001.0]]))
    assert found.value == pytest.approx(500.5)
    assert (found.low, found.high) == pytest.approx((500.0, 501.0))


def test_one_run_a_task_has_no_interval() -> None:
    found = estimate(statistics.mean, ONE[:, :1])
    assert found == (pytest.approx(50.0), None, None)


def test_the_same_report_comes_out_the_same() -> None:
    assert estimate(statistics.interquartile_mean, ONE) == estimate(statistics.interquartile_mean, ONE)


def test_expected_best_by_hand() -> None:
    # of 1, 2, 3 with replacement: the best of two is 1, 2, 3 with 1, 3 and 5 chances of 9
    assert expected_best([2.0, 3.0, 1.0]) == pytest.approx([2.0, 22 / 9, (1 + 2 * 7 + 3 * 19) / 27])
    assert expected_best([5.0]) == [5.0]
