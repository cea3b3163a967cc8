"""The verdict: compares the records of the database with the ledger of the email service."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from actors.commands.rehearsal.records import Work
from service.domain.messages import OPEN, Status

Acceptances = Iterable[tuple[str | None, int]]
"""Keys as the email service received them, each with the time of an acceptance in ms since the epoch."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of a day or of a wave. Durations are in business time."""

    due: int
    """Greetings due by the calendar."""
    planned: int
    """Messages of the day, and those still open from the day before."""
    sent: int
    retried: int
    """Sent messages with more than one attempt."""
    rejected: int
    """Attempts answered with an error."""
    unknown: int
    """Attempts without an answer. heyday cannot know if the service accepted them."""
    repeated: int
    """Acceptances of a key beyond the first that an attempt without an answer explains."""
    duplicates: int
    """Acceptances of a key beyond the first that no attempt without an answer explains."""
    early: int
    """Greetings that left, or arrived at the service, before 09:00."""
    unplanned: int
    """Greetings due by the calendar that have no message."""
    late: int
    """Messages that have not ended. They are late, and not lost."""
    unsent: int
    """Messages that expired, or are unknown without a refusal."""
    refused: int
    """Messages that the service refused, up to the allowed number: failed, or unknown after an unknown outcome."""
    wrongly_failed: int
    """Failed messages that the service did not refuse, or beyond that number."""
    unconfirmed: int
    """Messages recorded as sent that the service never accepted."""
    unrecorded: int
    """Acceptances of the service for which no attempt is recorded."""
    latest: timedelta
    """Longest time from 09:00 to the begin of the accepted attempt. `latest_attempts` is the number of attempts."""
    latest_attempts: int
    latest_first: timedelta
    """Longest time from 09:00 to the begin of the first attempt."""

    @property
    def accepted(self) -> int:
        """Messages recorded as sent that the service accepted."""
        return self.sent - self.unconfirmed

    @property
    def lost(self) -> int:
        """Greetings that a user should have received and did not."""
        return self.unplanned + self.unsent + self.wrongly_failed + self.unconfirmed

    @property
    def good(self) -> bool:
        """True if no greeting is lost, late, early or duplicated, and both records agree."""
        return not (self.lost or self.late or self.early or self.duplicates or self.unrecorded)


def judge(
    work: Sequence[Work],
    acceptances: Acceptances,
    *,
    since: datetime,
    due: int,
    unplanned: int,
    tried: Collection[str],
    business_time: Callable[[int], datetime],
    failures_allowed: int = 0,
) -> Verdict:
    """Compare the `work` of a day with the acceptances of the service since its start.

    `since` is the start of the day: attempts before it may be in the ledger of another run. `tried` are the accepted
    keys with a recorded attempt. `business_time` converts times of the ledger into business time. A message may fail
    only if the service refused it. While the service refuses every message, `failures_allowed` is the limit.
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
    failed = [one for one in work if one.status is Status.FAILED or (one.status is Status.UNKNOWN and one.refused)]
    open_ = sum(one.status in OPEN for one in work)
    refused = min(failures_allowed, sum(one.refused > 0 for one in failed))
    latest, latest_attempts = max(late, default=(timedelta(), 0))
    return Verdict(
        due=due,
        planned=len(work),
        sent=len(sent),
        retried=sum(one.attempts > 1 for one in sent),
        rejected=sum(one.rejected for one in work),
        unknown=sum(one.unknown for one in work),
        repeated=sum(min(beyond[one.id], one.unknown) for one in work),
        # An answer may come after its attempt was recorded as unknown. Both are recorded, and one explains the other.
        duplicates=sum(max(max(beyond[one.id], one.accepted - 1) - one.unknown, 0) for one in work),
        early=sum(_early(one, times.get(str(one.id), ()), business_time) for one in work),
        unplanned=unplanned,
        late=open_,
        unsent=len(work) - open_ - len(sent) - len(failed),
        refused=refused,
        wrongly_failed=len(failed) - refused,
        unconfirmed=sum(one.status is Status.SENT and str(one.id) not in times for one in fresh),
        unrecorded=nameless + len(times.keys() - set(tried)),
        latest=latest,
        latest_attempts=latest_attempts,
        latest_first=max((one.first_began - one.send_at for one in fresh if one.first_began), default=timedelta()),
    )


def _early(one: Work, accepted: Iterable[int], business_time: Callable[[int], datetime]) -> bool:
    # The ledger cuts its times to milliseconds: the instant may be as late as the end of its millisecond.
    ends = (business_time(at + 1) for at in accepted)
    return (one.first_began is not None and one.first_began < one.send_at) or any(end < one.send_at for end in ends)
