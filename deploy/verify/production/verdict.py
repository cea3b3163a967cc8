"""Holds the database against the email service's books, from a node's container: `python - GREETINGS SINCE`."""

import asyncio
import json
import os
import sys
import urllib.request
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from actors.commands.rehearsal.records import read_tried, read_work
from actors.commands.rehearsal.verdict import Verdict, judge
from service.adapters.postgres.connection import Database
from service.settings import read


def read_books() -> list[tuple[str, int]]:
    """Every key that the email service has accepted, as often as it has, with the time in ms."""
    with urllib.request.urlopen("http://email:8025/accepted", timeout=30) as answer:
        return [(row["key"], int(row["at"])) for row in map(json.loads, answer)]


async def compare(greetings: int, since: datetime, accepted: list[tuple[str, int]]) -> Verdict:
    """Compare the books with the rows of the day that begins with `since`. Raises Unavailable."""
    database = Database(read(os.environ).database_url, size=1)
    await database.open()
    try:
        work = await read_work(database, since, since + timedelta(days=1))
        tried = await read_tried(database, {UUID(key) for key, _ in accepted})
    finally:
        await database.close()
    return judge(
        work,
        accepted,
        since=since,
        due=greetings,
        unplanned=max(0, greetings - len(work)),
        tried={str(one) for one in tried},
        business_time=lambda at: datetime.fromtimestamp(at / 1000, UTC),
    )


if __name__ == "__main__":
    verdict = asyncio.run(compare(int(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), read_books()))
    figures = {**asdict(verdict), "lost": verdict.lost, "good": verdict.good}
    sys.stdout.write(json.dumps(figures, default=str) + "\n")
    sys.exit(0 if verdict.good else 1)
