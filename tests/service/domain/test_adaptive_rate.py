"""The rate that adapts to what the email service accepts, on a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from service.domain.adaptive_rate import DECREASE_EVERY, FIRST_RATE, LIFTED_AT, MIN_RATE, AdaptiveRate


def test_the_first_throttle_sets_the_rate_below_what_was_accepted() -> None:
    """Without a configured limit, the accepted calls are the only measure."""
    rate = AdaptiveRate()
    before = rate.at(10)

    rate.throttled(10, taken=100, share=0.5, pause=0)

    assert (before, rate.at(10), rate.epoch) == (math.inf, 90, 1)


def test_a_throttle_before_anything_was_accepted_begins_low() -> None:
    """A limit of zero would never end."""
    rate = AdaptiveRate()

    rate.throttled(10, taken=0, share=1, pause=0)

    assert rate.at(10) == FIRST_RATE


@pytest.mark.parametrize(("share", "left"), [(1.0, 0.5), (0.4, 0.8), (0.01, 0.9)])
def test_further_throttles_lower_the_rate_by_their_share(share: float, left: float) -> None:
    """Few throttled calls mean that the rate is nearly right."""
    rate = AdaptiveRate()
    rate.throttled(10, taken=100, share=1, pause=0)
    before = rate.at(10 + DECREASE_EVERY)

    rate.throttled(10 + DECREASE_EVERY, taken=100, share=share, pause=0)

    assert rate.at(10 + DECREASE_EVERY) == pytest.approx(left * before)


def test_the_answers_to_one_burst_lower_the_rate_once() -> None:
    """A hundred calls are under way when the first is throttled."""
    rate = AdaptiveRate()
    for answer in range(100):
        rate.throttled(10 + answer / 1000, taken=100, share=1, pause=0)

    assert rate.epoch == 1
    assert rate.at(10.1) == pytest.approx(90, rel=0.01)


def test_the_rate_grows_evenly_after_the_pause_and_the_limit_ends() -> None:
    """A service that has recovered must not stay limited."""
    rate = AdaptiveRate()
    rate.throttled(10, taken=100, share=1, pause=30)

    assert (rate.paused_until, rate.at(40)) == (40, 90)
    assert rate.at(50) - rate.at(45) == pytest.approx(rate.at(55) - rate.at(50))
    assert rate.at(41) > 90
    assert rate.at(40 + LIFTED_AT * 90) == math.inf


def test_however_often_it_is_throttled_a_few_calls_are_made() -> None:
    """Only a call can show that the service accepts messages again."""
    rate = AdaptiveRate()
    for second in range(100):
        rate.throttled(second, taken=0, share=1, pause=0)

    assert rate.at(99) == MIN_RATE
    assert rate.at(109) >= 10 * MIN_RATE


def test_a_configured_rate_is_a_ceiling() -> None:
    """Neither acceptances nor the end of a throttle raise the rate above it."""
    rate = AdaptiveRate(50)
    rate.throttled(10, taken=1000, share=0.1, pause=0)
    lowered = rate.at(10)

    assert lowered == 45
    assert rate.at(1000) == 50
