"""The queries that run per message, user, second or request, with parameter values to plan or run them."""

from __future__ import annotations

from typing import TypedDict

from service.adapters.postgres.queries import load

IDS = "{ids}"
BIRTHDAY = "array['birthday'], array[2026::smallint], array[now() + interval '1 hour']"

INSTANTS = """'{{"UTC": "2026-03-15T09:00Z", "Asia/Tokyo": "2026-03-15T00:00Z"}}'"""
OF_DAY = f"'birthday', {{year}}, 315, {INSTANTS}"

HOT = [
    ("messages", "read_clock", "true"),
    ("messages", "outstanding", "20000"),
    (
        "messages",
        "claim_due",
        "1000000, 1, 500, interval '48 hours', null",
    ),  # a fencing token above those of all tickers so far
    ("messages", "claim_for_sending", f"{IDS}, 1, 7, interval '48 hours', null, {IDS}"),
    (
        "messages",
        "record",
        "array[1], array[{sending}], array[{year}], array[1::smallint], array['sent'], array[0], array['accepted'], "
        "array[1], array[1], array[200::smallint], array[null], array[true], array[null], "
        "array['primary'], array[false], array[null::bigint]",
    ),
    ("messages", "sending_for", "60"),
    ("messages", "release_claims", f"false, {IDS}, array[1::smallint, 1::smallint], null, false"),
    ("messages", "requeue_lost", "90, null"),
    ("messages", "requeue_claims", f"{IDS}, 1"),
    ("messages", "requeue_claim", "1, null"),
    ("messages", "awaiting_dead_letter", ""),
    ("messages", "mark_dead_lettered", IDS),
    ("messages", "redrive", IDS),
    ("messages", "open_by_status", "10000, 100000"),
    ("messages", "oldest_due", ""),
    ("planning", "split", "'birthday', 315, 5000"),
    (
        "planning",
        "plan_range",
        f"'birthday', {{year}}, 315, null, {{user}}, {INSTANTS}, 'test'",
    ),
    ("planning", "plan_users", f"array[{{user}}], {BIRTHDAY}, interval '48 hours', 'test'"),
    ("planning", "cancel_user", "{user}"),
    (
        "users",
        "create_users",
        "array['A'], array['B'], array['a@b.c'], array['a@b.c'], array['UTC'], array[null], array[null], array[1], "
        f"array[1], array['birthday'], array[date '2000-03-15'], array[1], {BIRTHDAY}, 'test', "
        "array[null::uuid], null, array[null], array[null], array[true], null, null, '-infinity'",
    ),
    ("users", "get_users", "array[{user}, gen_random_uuid()]"),
    ("users", "lock_user", "{user}"),
    ("users", "lock_user_or_deleted", "{user}"),
    ("users", "lock_users", "array[{user}]"),
    (
        "users",
        "update_users",
        "array[{user}], array['Ada'], array['Smith'], array['a@b.c'], array['a@b.c'], array['UTC'], array[null], "
        "array[null], array[null], array[null]",
    ),
    ("users", "drop_dates", "array[{user}], array[{user}], array['birthday']"),
    ("users", "put_dates", "array[{user}], array['birthday'], array[date '2000-03-15'], array[true]"),
    ("users", "delete_user", "{user}"),
    ("preview", "days_with_users", "array['birthday', 'anniversary'], array[315, 315]"),
    ("preview", "of_day", f"{OF_DAY}, null, 501, now(), now(), now(), now(), false"),
    ("preview", "of_day", f"{OF_DAY}, {{user}}, 501, now(), now(), now(), now(), true"),
    ("preview", "person", "{user}, array[2026, 2027]::smallint[]"),
    ("preview", "user_of", "'user7@example.com'"),
    ("preview", "on_the_way", "interval '48 hours'"),
    ("preview", "to_plan_by_instant", OF_DAY),
    ("history", "knows_user", "{user}"),
    ("history", "message", "{message}"),
    ("history", "attempts", "{message}, {year}"),
    ("retention", "forget_responses", "1000"),
    ("cluster", "look", ""),
    ("cluster", "mark", "gen_random_uuid(), 1, 1, 'here', 1, null, 10"),
]
"""File, name, and parameter values; the values name rows of `Known`."""


class Known(TypedDict):
    """Rows that the values name, as SQL: a user, a message and its year, a message being sent, and several ids."""

    user: str
    message: str
    year: str
    sending: str
    ids: str


def statements(file: str, name: str, values: str, known: Known) -> tuple[str, str]:
    """Return the statement that prepares a query as `asked`, and the one that executes it with these values."""
    arguments = f"({values.format_map(known)})" if values else ""
    return f"prepare asked as {getattr(load(f'{file}.sql'), name)}", f"execute asked {arguments}"
