"""Calculates what a number of users needs of nodes, PostgreSQL and the email service, with measured rates.

    python -m loadtest.scaling --nodes 4 --email-rate 1000

This is arithmetic; nothing is started. Each figure below names its measurement. Replace them by those of your machines.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

NODE = 3_300.0
"""Greetings/s of one node with immediate answers, on two cores shared with its servers and the email service:
`python -m loadtest.wave`. It used 241 µs of processor time per greeting: a core of its own would do a quarter more."""

PLANNED = 35_000.0
"""Messages/s that one PostgreSQL plans for two nodes, on the same two cores: `python -m loadtest.planning`."""

POSTGRES = 11_500.0
"""Greetings/s of one core of PostgreSQL, with two claims and a record: 87 µs each, from the same measurement."""

USER = 309 + 2 * 203
"""Bytes of a user with two dates, with indexes: pg_total_relation_size of 50,000 users."""

MESSAGE = 290 + 172
"""Bytes of a message and its attempt; the same."""

OCCASIONS = 2
"""Birthday and anniversary: greetings of a user in a year."""

SHARES = {
    -8: 1.0, -7: 0.5, -6: 3.5, -5: 5.0, -4: 1.5, -3: 3.5, 0: 5.0, 1: 12.0, 2: 7.0, 3: 9.0, 3.5: 1.0, 5: 5.0, 5.5: 18.0,
    6: 3.0, 7: 5.0, 8: 21.0, 9: 3.0, 10: 0.6,
}  # fmt: skip
"""Users by hours east of Greenwich, as parts of the sum: about the world's population. Replace it by your own users."""


@dataclass(frozen=True, slots=True)
class Day:
    """The result of a day: greetings, the largest wave, and the lateness of the last greeting of any wave."""

    greetings: float
    largest: float
    latest: float
    """The greatest lateness in seconds."""


def rate(*, nodes: int, calls: float, latency: float, email_rate: float) -> dict[str, float]:
    """Return the greetings/s of each part; the smallest one is the rate of the whole."""
    return {
        "nodes": nodes * NODE,
        "PostgreSQL": POSTGRES,
        "calls at a time": nodes * calls / latency,
        "the email service": email_rate,
    }


def play(greetings: float, per_second: float) -> Day:
    """Calculate a day of greetings at a rate; each wave joins what is left of earlier ones."""
    total = sum(SHARES.values())
    now, backlog, latest, largest = float("-inf"), 0.0, 0.0, 0.0
    # East first, where 09:00 comes earlier.
    for east, share in sorted(SHARES.items(), reverse=True):
        at = -3600.0 * east
        backlog = max(0.0, backlog - (at - now) * per_second)
        wave = greetings * share / total
        now, backlog, largest = at, backlog + wave, max(largest, wave)
        latest = max(latest, backlog / per_second)
    return Day(greetings, largest, latest)


def table(sizes: Sequence[int], rates: dict[str, float], same_day: float) -> str:
    """Return a row per number of users: an ordinary day, and a day that a given share of them has in common."""
    limit = min(rates, key=lambda name: rates[name])
    heads = (
        *("users", "greetings a day", "largest wave", "gone after"),
        *(f"{same_day:.0%} on one day: largest wave", "gone after", "planned in", "users, GB", "a year's messages, GB"),
    )
    lines = [
        f"At most {rates[limit]:,.0f} greetings/s, limited by {limit}.",
        "",
        f"| {' | '.join(heads)} |",
        "| --- " * len(heads) + "|",
    ]
    for users in sizes:
        usual, shared = (play(count, rates[limit]) for count in (users * OCCASIONS / 365, users * same_day))
        cells = (
            *(f"{figure:,.0f}" for figure in (users, usual.greetings, usual.largest)),
            span(usual.latest),
            f"{shared.largest:,.0f}",
            *(span(seconds) for seconds in (shared.latest, shared.greetings / PLANNED)),
            *(f"{users * bytes_each / 1e9:,.2f}" for bytes_each in (USER, OCCASIONS * MESSAGE)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def span(seconds: float) -> str:
    """Return a duration as text."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--calls", type=float, default=100, help="HEYDAY_EMAIL_CONCURRENCY of a node")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the email service takes for a call")
    parser.add_argument("--email-rate", type=float, default=float("inf"), help="calls/s that it accepts at most")
    parser.add_argument("--same-day", type=float, default=0.05, help="share of users with the worst day in common")
    parser.add_argument("users", type=int, nargs="*", default=[10**n for n in range(4, 9)])
    args = parser.parse_args()
    rates = rate(nodes=args.nodes, calls=args.calls, latency=args.latency, email_rate=args.email_rate)
    sys.stdout.write(table(args.users, rates, args.same_day))


if __name__ == "__main__":
    main()
