"""`heyday migrate`, called as on the command line."""

from __future__ import annotations

import json

from tests.actors.commands.conftest import Run
from tests.service.adapters.postgres.conftest import Store


async def test_the_migrations_of_a_newer_version_are_named(store: Store, heyday: Run) -> None:
    """An operator who went back to an older version must learn that the database did not."""
    await store.fetch("insert into schema_migrations (number, name, checksum) values (9999, '9999_next.sql', '')")

    code, out, _ = await heyday("migrate")
    _, as_json, _ = await heyday("migrate", "--json")

    assert (code, out) == (0, "nothing to apply\na newer version of heyday has applied 9999_next.sql\n")
    assert json.loads(as_json) == {"applied": [], "newer": ["9999_next.sql"]}


async def test_a_database_of_this_version_has_nothing_to_apply(database: str, heyday: Run) -> None:
    code, out, _ = await heyday("migrate")

    assert (code, out) == (0, "nothing to apply\n")
