"""The states of a message and the moves between them."""

from __future__ import annotations

import pytest

from service.domain.messages import MOVES, REDRIVABLE, UNSENT, Status

ENDS = {Status.SENT, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN}


def reachable(start: Status) -> set[Status]:
    """Return every state to which moves lead from this one."""
    found: set[Status] = set()
    ahead = {start}
    while ahead:
        found |= ahead
        ahead = set().union(*(MOVES[status] for status in ahead)) - found
    return found


def test_every_state_has_its_moves_and_every_move_leads_to_a_state() -> None:
    """A missing state was forgotten."""
    assert set(MOVES) == set(Status)
    assert all(target in Status and target is not status for status in Status for target in MOVES[status])


def test_every_state_can_be_reached() -> None:
    """A state that no move reaches is dead code in several places."""
    assert reachable(Status.SCHEDULED) == set(Status)


@pytest.mark.parametrize("status", sorted(set(Status) - ENDS))
def test_every_state_on_the_way_leads_to_an_end(status: Status) -> None:
    """An earlier system put rows into a state that no query selected, so nothing was recovered."""
    assert {Status.SENT, Status.FAILED} <= reachable(status)


def test_what_was_sent_stays_sent() -> None:
    """No edit, redrive or bug may send it again."""
    assert MOVES[Status.SENT] == frozenset()


@pytest.mark.parametrize("status", sorted(ENDS - {Status.SENT}))
def test_an_end_is_left_only_to_be_scheduled_again_or_as_it_turns_out_to_be_sent(status: Status) -> None:
    """A redrive or an edit takes the whole path, with all its checks."""
    assert MOVES[status] == {Status.SCHEDULED, Status.SENT}


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.SENT}))
def test_an_acceptance_settles_a_message_wherever_it_is(status: Status) -> None:
    """The service has accepted it, however late the answer arrives."""
    assert Status.SENT in MOVES[status]


@pytest.mark.parametrize("status", sorted(UNSENT))
def test_what_was_not_sent_can_be_cancelled(status: Status) -> None:
    """A user who is deleted while a greeting waits is not greeted."""
    assert Status.CANCELLED in MOVES[status]


def test_a_waiting_message_can_expire_and_one_on_its_way_is_taken_back_first() -> None:
    """Only the ticker's claim decides what is too late, and it claims no queued message."""
    assert {status for status in UNSENT if Status.EXPIRED in MOVES[status]} == {Status.SCHEDULED, Status.RETRYING}


def test_a_message_being_sent_waits_for_its_outcome_after_any_edit() -> None:
    """The service may already have it, so it is neither sent again nor given up."""
    assert MOVES[Status.SENDING] & {Status.EXPIRED, Status.QUEUED} == set()
    assert Status.SENDING not in UNSENT


def test_only_a_claim_of_what_is_queued_begins_an_attempt() -> None:
    """There is one way to the email service."""
    assert {status for status in Status if Status.SENDING in MOVES[status]} == {Status.QUEUED}


def test_what_can_be_redriven_has_ended_unsent() -> None:
    """A cancelled greeting is revived by an edit, because its user or its day is gone."""
    assert ENDS - {Status.SENT, Status.CANCELLED} == REDRIVABLE
