"""Names in every script, from the request to the email service: each greeting has its name unchanged."""

from __future__ import annotations

import json
import sys
import unicodedata
from datetime import timedelta

from tests.node.harness import NOON, World

GIVEN = [
    "Zoe\u0308",  # with a combining mark of its own: composed (NFC) when it is stored
    "Nguyễn Thị Ánh",
    "محمد\u200dعلي",
    "משה",
    "क्षत्रिय",
    "👩\u200d👩\u200d👧\u200d👦",
    "O'Brien-Smith {full_name} %s $1 \\n",
    "李" * 100,
    "a\u0301\u0323\u0308",  # several marks, in no canonical order
]
"""Names that are known to break services."""


def names_of_every_script() -> list[str]:
    """Return a name of five letters for each script, by the first word of their Unicode names."""
    letters: dict[str, str] = {}
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(char := chr(code)) in ("Lu", "Ll", "Lo", "Lt"):
            script = unicodedata.name(char, "UNNAMED").split()[0]
            letters[script] = (letters.get(script, "") + char)[:5]
    # Fillers are letters by category, but invisible.
    return [name for name in letters.values() if not any("FILLER" in unicodedata.name(char, "") for char in name)]


async def test_a_name_of_any_script_is_in_the_greeting_as_it_was_given(small_world: World) -> None:
    """A name is normalised to NFC and otherwise unchanged."""
    await small_world.begin()
    node = await small_world.node(EMAIL_TIMEOUT="20s")
    due = NOON + timedelta(hours=21)
    names = {f"{n}@example.com": name for n, name in enumerate(GIVEN + names_of_every_script())}
    rows = [
        {"firstName": name, "lastName": name, "email": email, "timezone": "UTC", "birthdayDate": f"1992-{due:%m-%d}"}
        for email, name in names.items()
    ]

    status, one = await node.call("POST", "/api/v1/users", json=rows[0])
    body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[1:]).encode()
    header = {"Content-Type": "application/x-ndjson"}
    imported, results = await node.call("POST", "/api/v1/users:import", data=body, headers=header)
    assert (status, imported) == (201, 200), one
    assert [json.loads(line)["status"] for line in results.splitlines()] == [201] * (len(rows) - 1)
    await small_world.planned(len(rows))
    await small_world.clock.set(due)
    await small_world.all_are("sent", len(rows))

    greeted = {one.email: one.message for one in small_world.acceptances()}
    composed = {email: unicodedata.normalize("NFC", name) for email, name in names.items()}
    assert greeted == {email: f"Hey, {name} {name} it's your birthday" for email, name in composed.items()}
    assert len(names) > 150
