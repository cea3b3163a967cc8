"""Whether all went well: what the database has on record, held against the email service's own ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from actors.rehearsal.records import Work
from service.domain.messages import Status

Acceptances = Iterable[tuple[str | None, int]]
"""Keys, as the email service got them, with the time of each acceptance in ms since the epoch."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of a day, or of a wave. Durations are of business time."""

    due: int
    """Greetings due by the calendar alone."""
    planned: int
    """Messages of the day, with those that the day before had left open."""
    sent: int
    retried: int
    """Of those sent: after more than one attempt."""
    rejected: int
    """Attempts answered with an error."""
    unknown: int
    """Attempts without an answer: whether the service took them, heyday could not know."""
    repeated: int
    """Acceptances of a key beyond the first, after an attempt without an answer, under the same Idempotency-Key."""
    duplicates: int
    """Acceptances of a key beyond the first that no attempt without an answer explains."""
    early: int
    """Greetings that left, or arrived at the service, before 09:00."""
    unplanned: int
    """Greetings due by the calendar for which there is no message."""
    unsent: int
    """Messages that failed, expired, or have not come to an end."""
    unconfirmed: int
    """Messages on record as sent that the service never accepted."""
    unrecorded: int
    """Acceptances of the service for which no attempt is on record."""
    latest: timedelta
    """From 09:00 to the begin of the attempt that was accepted, at the most; `latest_attempts` is how many it took."""
    latest_attempts: int
    latest_first: timedelta
    """From 09:00 to the begin of the first attempt, at the most."""

    @property
    def lost(self) -> int:
        """Greetings that somebody did not get."""
        return self.unplanned + self.unsent + self.unconfirmed

    @property
    def good(self) -> bool:
        """Nothing lost, nothing early, nothing twice, and both records agree."""
        return not (self.lost or self.early or self.duplicates or self.unrecorded)


def judge(
    work: Sequence[Work],
    acceptances: Acceptances,
    *,
    since: datetime,
    due: int,
    unplanned: int,
    tried: Collection[str],
    business_time: Callable[[int], datetime],
) -> Verdict:
    """Hold a day's `work` against what the service has accepted since it was started.

    `since` is when the day began: what was tried before that, the ledger of another run may have. `tried` are those
    of the accepted keys that are on record as tried. `business_time` turns the ledger's times into business time.
    """
    times: dict[str, list[int]] = defaultdict(list)
    nameless = 0
    for key, at in acceptances:
        if key is None:
            nameless += 1
        else:
            times[key].append(at)
    sent = [one for one in work if one.status is Status.SENT]
    fresh = [one for one in work if one.first_began is None or one.first_began >= since]
    beyond = {one.id: max(0, len(times.get(str(one.id), ())) - 1) for one in work}
    late = [(one.accepted_began - one.send_at, one.attempts) for one in sent if one.accepted_began is not None]
    latest, latest_attempts = max(late, default=(timedelta(), 0))
    return Verdict(
        due=due,
        planned=len(work),
        sent=len(sent),
        retried=sum(one.attempts > 1 for one in sent),
        rejected=sum(one.rejected for one in work),
        unknown=sum(one.unknown for one in work),
        repeated=sum(min(beyond[one.id], one.unknown) for one in work),
        # An answer that comes after its attempt was called unknown is written down beside that, and explained by it.
        duplicates=sum(max(max(beyond[one.id], one.accepted - 1) - one.unknown, 0) for one in work),
        early=sum(_early(one, times.get(str(one.id), ()), business_time) for one in work),
        unplanned=unplanned,
        unsent=len(work) - len(sent),
        unconfirmed=sum(one.status is Status.SENT and str(one.id) not in times for one in fresh),
        unrecorded=nameless + len(times.keys() - set(tried)),
        latest=latest,
        latest_attempts=latest_attempts,
        latest_first=max((one.first_began - one.send_at for one in fresh if one.first_began), default=timedelta()),
    )


def _early(one: Work, accepted: Iterable[int], business_time: Callable[[int], datetime]) -> bool:
    # The ledger's times are cut to whole milliseconds: the instant may be as late as the end of its millisecond.
    ends = (business_time(at + 1) for at in accepted)
    return (one.first_began is not None and one.first_began < one.send_at) or any(end < one.send_at for end in ends)
