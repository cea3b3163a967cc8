"""When a job is due by its cron expression, in UTC: never for 09:00 in somebody's zone, which is the calendar's."""

from __future__ import annotations

from datetime import datetime

from croniter import croniter


class Cadence:
    """One cron expression. It remembers up to when it has been asked."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._asked: datetime | None = None
        self._next: datetime | None = None
        """The first instant after the latest call: until then the answer is no, and it is asked every second."""

    def due(self, now: datetime) -> datetime | None:
        """The latest instant of the expression since the last call, or None.

        Instants passed over in between are not made up for: one run makes up for all. A clock that was put back
        begins anew from there.
        """
        before, self._asked = self._asked, now
        if before is None or now <= before:
            self._next = croniter(self._expression, now).get_next(datetime)
            return None
        if self._next is not None and now < self._next:
            return None
        self._next = croniter(self._expression, now).get_next(datetime)
        latest: datetime = croniter(self._expression, now).get_prev(datetime)
        # get_prev excludes `now` itself when it is an instant of the expression.
        if croniter.match(self._expression, now) and now.second == 0 and now.microsecond == 0:
            latest = now
        return latest if latest > before else None
