"""The queries that run for every message, user, second or request, with values to plan or run them for."""

from __future__ import annotations

from typing import TypedDict

from service.adapters.postgres.queries import load

IDS = "{ids}"
BIRTHDAY = "array['birthday'], array[2026::smallint], array[now() + interval '1 hour']"

OF_DAY = """'birthday', {year}, 315, '{{"UTC": "2026-03-15T09:00Z", "Asia/Tokyo": "2026-03-15T00:00Z"}}'"""

HOT = [
    ("messages", "pulse", ""),
    ("messages", "outstanding", "20000"),
    ("messages", "claim_due", "1000000, 1, 500, interval '48 hours'"),  # a fence above that of every ticker so far
    ("messages", "claim_for_sending", f"{IDS}, 1"),
    (
        "messages",
        "record",
        "array[1], array[{sending}], array[{year}], array[1::smallint], array['sent'], array[0], array['accepted'], "
        "array[1], array[1], array[200::smallint], array[null]",
    ),
    ("messages", "sending_for", "60"),
    ("messages", "free_claims", f"false, 5, {IDS}, array[1::smallint, 1::smallint]"),
    ("messages", "take_back_queued", "90"),
    ("messages", "take_back_claims_of", f"{IDS}, 1"),
    ("messages", "take_back_claim", "1"),
    ("messages", "unburied", ""),
    ("messages", "buried", IDS),
    ("messages", "redrive", IDS),
    ("messages", "open_by_status", ""),
    ("messages", "oldest_due", ""),
    ("planning", "split", "'birthday', 315, 5000"),
    (
        "planning",
        "plan_range",
        "'birthday', {year}, 315, null, {user}, array['UTC', 'Asia/Tokyo'], array[now(), now()], 'test'",
    ),
    ("planning", "plan_user", f"{{user}}, {BIRTHDAY}, interval '48 hours', 'test'"),
    ("planning", "cancel_user", "{user}"),
    (
        "users",
        "create_users",
        "array['A'], array['B'], array['a@b.c'], array['a@b.c'], array['UTC'], array[null], array[null], array[1], "
        f"array[1], array['birthday'], array[date '2000-03-15'], array[1], {BIRTHDAY}, 'test'",
    ),
    ("users", "get_user", "{user}"),
    ("users", "get_users", "array[{user}, gen_random_uuid()]"),
    ("users", "lock_user", "{user}"),
    ("users", "lock_user_or_deleted", "{user}"),
    ("users", "update_user", "{user}, 'Ada', 'Smith', 'a@b.c', 'a@b.c', 'UTC', null, null"),
    ("users", "drop_dates", "{user}, array['birthday']"),
    ("users", "put_dates", "{user}, array['birthday'], array[date '2000-03-15']"),
    ("users", "delete_user", "{user}"),
    ("preview", "of_day", f"{OF_DAY}, null, 501, now(), now(), now(), now(), false"),
    ("preview", "of_day", f"{OF_DAY}, {{user}}, 501, now(), now(), now(), now(), true"),
    ("preview", "person", "{user}, array[2026, 2027]::smallint[]"),
    ("preview", "user_of", "'user7@example.com'"),
    ("preview", "on_the_way", "interval '48 hours'"),
    ("preview", "to_plan_by_instant", OF_DAY),
    ("history", "knows_user", "{user}"),
    ("history", "message", "{message}"),
    ("history", "attempts", "{message}, {year}"),
    ("idempotency", "forget_expired", "1000"),
    ("cluster", "look", ""),
    ("cluster", "mark", "gen_random_uuid(), 1, 1, 'here', 1, null, 10"),
]
"""File, name, and values for the parameters, in which known rows are named: see `Known`."""


class Known(TypedDict):
    """Rows that the values name, as SQL: a user, a message and its year, one that is being sent, and several ids."""

    user: str
    message: str
    year: str
    sending: str
    ids: str


def statements(file: str, name: str, values: str, known: Known) -> tuple[str, str]:
    """The statement that prepares a query as `asked`, and the one that executes it for these values."""
    arguments = f"({values.format_map(known)})" if values else ""
    return f"prepare asked as {getattr(load(f'{file}.sql'), name)}", f"execute asked {arguments}"
