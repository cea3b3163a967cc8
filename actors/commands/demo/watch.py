"""Reads the state of the demo, lets users join, and judges each day at its end."""

from __future__ import annotations

import time
from collections import deque
from datetime import timedelta
from uuid import UUID

import aiohttp

from actors.commands.demo.clock import DemoClock
from actors.commands.demo.days import Day
from actors.commands.demo.directory import DemoDirectory
from actors.commands.demo.due import read_due
from actors.commands.demo.figures import Figures, read_figures
from actors.commands.demo.node_metrics import AWAY, read_circuit
from actors.commands.demo.options import DemoOptions
from actors.commands.demo.people import Crowd, SignUpFailed, sign_up
from actors.commands.demo.scene import Scene, Service, Urls
from actors.commands.demo.servers import Servers
from actors.commands.rehearsal.node_process import NodeProcess
from actors.commands.rehearsal.records import count_unplanned, read_tried, read_work
from actors.commands.rehearsal.verdict import Verdict, judge
from service.adapters.postgres.connection import Database
from service.ports import Unavailable

POLL_INTERVAL = 0.4
"""Seconds between two reads, or four times the duration of a read if that is more."""

SETTLE_TIMEOUT = 120.0
"""Seconds of real time after the end of a day until a message that has not ended counts as late.

Recovery finds after 90 s what was lost in a queue.
"""

RATE_OVER = 2.0
"""Seconds over which the rate is averaged."""

NEWCOMERS = 0.5
"""Users who join in a day, as a share of the greetings of the first day. Their own days are on the next day."""

JOIN_AHEAD = timedelta(minutes=10)
"""Time from the end of a day to the first greeting of its new users, so that the last of them are not too late."""


class Watch:
    """The observed state of the demo."""

    def __init__(
        self,
        options: DemoOptions,
        place: DemoDirectory,
        servers: Servers,
        database: Database,
        clock: DemoClock,
        node: NodeProcess,
        session: aiohttp.ClientSession,
        day: Day,
        crowd: Crowd,
    ) -> None:
        self.node = node
        self.urls = Urls(node.url, servers.stub.url, place.shown(place.log))
        self._options = options
        self._servers = servers
        self._ledger = servers.stub.ledger
        self._database = database
        self._clock = clock
        self._session = session
        self._began = day.start
        self._day = day
        self._crowd = crowd
        self._joined = 0
        self._figures = Figures()
        self._circuit = AWAY
        self._trouble: str | None = None
        self._look_at = 0.0
        self._settle_until: float | None = None
        self._verdicts: list[tuple[Day, Verdict]] = []
        self._accepted: deque[tuple[float, int]] = deque()
        # Positions in the ledger: at the begin of the day, and at the last read before its end.
        self._day_from = self._next_from = 0

    async def look(self) -> None:
        """Start again what has ended, and read the state if it is time to. Raises EmbeddedError."""
        if self._clock.now < self._day.end:
            self._next_from = self._ledger.accepted
        self.node.look_after()
        await self._servers.look_after()
        began = time.monotonic()
        if began < self._look_at:
            return
        try:
            await self._clock.read()
            self._figures = await read_figures(self._database, self._day, since=self._began)
            self._circuit = await read_circuit(self._session)
            self._trouble = None if self.node.pid else "the node has ended; a new one starts soon"
            await self._let_people_join()
        except Unavailable as error:
            self._trouble = str(error)
        except (SignUpFailed, aiohttp.ClientError, TimeoutError) as error:
            self._trouble = f"the API does not answer: {error or type(error).__name__}"
        self._look_at = began + max(POLL_INTERVAL, 4 * (time.monotonic() - began))

    async def judged(self) -> tuple[Day, Verdict] | None:
        """The day and its verdict, when its last greeting has arrived. Then the next day begins. None before that."""
        if self._clock.now < self._day.end:
            return None
        now = time.monotonic()
        if self._settle_until is None:
            self._settle_until, self._look_at = now + SETTLE_TIMEOUT, 0.0
            return None
        if not self._figures.is_settled(self._day) and now < self._settle_until:
            return None
        try:
            found = self._day, await self._judge()
        except Unavailable as error:
            self._trouble = str(error)
            return None
        self._verdicts.append(found)
        self._day, self._settle_until, self._joined = self._day.next, None, 0
        self._day_from = self._next_from
        return found

    def scene(self) -> Scene:
        """The state for a frame."""
        return Scene(
            day=self._day,
            now=self._clock.now,
            seconds_per_day=self._options.seconds_per_day,
            figures=self._figures,
            service=self._service(),
            urls=self.urls,
            circuit=self._circuit,
            restarts=self.node.restarts,
            trouble=self._trouble,
            verdicts=tuple(self._verdicts),
        )

    def _service(self) -> Service:
        ledger, now = self._ledger, time.monotonic()
        self._accepted.append((now, ledger.accepted))
        while now - self._accepted[0][0] > RATE_OVER:
            self._accepted.popleft()
        since, accepted = self._accepted[0]
        rate = (ledger.accepted - accepted) / (now - since) if now > since else 0.0
        return Service(ledger.requests, ledger.errors, ledger.hangs, ledger.cut, ledger.duplicates, rate)

    async def _let_people_join(self) -> None:
        now = self._clock.now
        wanted = int(self._day.elapsed(now) * self._options.users * NEWCOMERS)
        if wanted > self._joined:
            people = self._crowd.invite(wanted - self._joined, since=self._day.end + JOIN_AHEAD)
            self._joined = wanted
            await sign_up(self._session, people)

    async def _judge(self) -> Verdict:
        day = self._day
        accepted = [one for block in self._ledger.acceptances(since=self._day_from) for one in block]
        keys = {UUID(one.key) for one in accepted if one.key}
        due = await read_due(self._database, day)
        return judge(
            await read_work(self._database, day.start, day.end),
            [(one.key, one.at) for one in accepted],
            since=day.start,
            due=len(due),
            unplanned=await count_unplanned(self._database, due),
            tried={str(id_) for id_ in await read_tried(self._database, keys)},
            business_time=self._clock.at,
        )
