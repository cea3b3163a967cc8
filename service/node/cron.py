"""Cron schedules of jobs, in UTC. Greetings never use them: the calendar computes 09:00 in a time zone."""

from __future__ import annotations

from datetime import datetime

from croniter import croniter


class CronSchedule:
    """One cron expression, and the instant of the last call."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._parsed = croniter(expression)
        self._asked: datetime | None = None
        self._next: datetime | None = None
        """The first instant after the last call. Before it, the answer needs no parser; it is asked every second."""

    def due(self, now: datetime) -> datetime | None:
        """The latest instant of the expression since the last call, or None.

        Of several instants only the latest counts, because one run does the work of all. A clock that was set back
        starts again from there.
        """
        before, self._asked = self._asked, now
        if before is None or now <= before:
            self._next = self._parsed.get_next(datetime, start_time=now)
            return None
        if self._next is not None and now < self._next:
            return None
        self._next = self._parsed.get_next(datetime, start_time=now)
        latest: datetime = self._parsed.get_prev(datetime, start_time=now)
        # get_prev excludes `now`, also when it is an instant of the expression.
        if croniter.match(self._expression, now) and now.second == 0 and now.microsecond == 0:
            latest = now
        return latest if latest > before else None
