"""The least that creates a user over HTTP: an aiohttp handler and one INSERT, without validation.

    python -m loadtest.bare_api postgresql://… --connections 10

It prints its URL. The API of a node is compared with it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import asyncpg
import uvloop
from aiohttp import web

INSERT = """
    insert into users (first_name, last_name, email, email_key, timezone) values ($1, $2, $3, $3, $4) returning id
"""

SELECT = "select id, first_name, last_name, email, timezone from users where id = $1"


async def serve(dsn: str, connections: int) -> None:
    """Serve until the process is ended."""
    pool = await asyncpg.create_pool(dsn, min_size=connections, max_size=connections)

    async def create(request: web.Request) -> web.Response:
        user = await request.json()
        row = await pool.fetchrow(INSERT, user["firstName"], user["lastName"], user["email"], user["timezone"])
        assert row is not None
        return web.json_response({"id": str(row["id"]), **user}, status=201)

    async def read(request: web.Request) -> web.Response:
        row = await pool.fetchrow(SELECT, request.match_info["id"])
        return web.json_response({name: str(value) for name, value in row.items()} if row is not None else None)

    app = web.Application()
    app.add_routes([web.post("/api/v1/users", create), web.get("/api/v1/users/{id}", read)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stdout.write(f"listening on http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn")
    parser.add_argument("--connections", type=int, default=10, help="connections to PostgreSQL")
    args = parser.parse_args()
    uvloop.run(serve(args.dsn, args.connections))


if __name__ == "__main__":
    main()
