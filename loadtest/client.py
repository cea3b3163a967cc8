"""Replaces wrk if it is not installed: makes requests to one HTTP server over many connections for some seconds.

    python -m loadtest.client http://127.0.0.1:8080 --connections 1000 --seconds 10 -- POST prefix plain paths.txt

As a Python program it uses more processor time than the server under test leaves on two cores. Its rates are lower than
wrk's, so compare only ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from itertools import count
from pathlib import Path

import aiohttp
import uvloop

BODY = (
    '{{"firstName":"Ada","lastName":"Lovelace","email":"{prefix}{number}@example.com","timezone":"Europe/London",'
    '"birthdayDate":"1990-12-10","locationCity":"London"}}'
)


async def ask(args: argparse.Namespace) -> dict[str, float]:
    """Let every connection make a request, wait for the answer, and repeat."""
    paths = args.paths.read_text(encoding="utf-8").split()
    numbers, latencies, refused, unanswered = count(1), [], 0, 0
    until = time.perf_counter() + args.seconds

    async def connection(http: aiohttp.ClientSession) -> None:
        nonlocal refused, unanswered
        while (asked_at := time.perf_counter()) < until:
            number = next(numbers)
            headers = {"Content-Type": "application/json"}
            if args.keyed == "keyed":
                headers["Idempotency-Key"] = f"{args.prefix}{number}"
            body = BODY.format(prefix=args.prefix, number=number) if args.method == "POST" else None
            try:
                async with http.request(args.method, paths[number % len(paths)], data=body, headers=headers) as answer:
                    await answer.read()
                    refused += answer.status > 399
            except (aiohttp.ClientError, TimeoutError):
                unanswered += 1
            else:
                latencies.append(time.perf_counter() - asked_at)

    began = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=args.connections)
    async with aiohttp.ClientSession(args.url, connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as http:
        await asyncio.gather(*(connection(http) for _ in range(args.connections)))
    took = time.perf_counter() - began
    latencies.sort()
    shares = {
        f"p{share}": latencies[len(latencies) * share // 100] * 1e6 if latencies else 0.0 for share in (50, 95, 99)
    }
    return {
        "requests": len(latencies),
        "microseconds": took * 1e6,
        "unanswered": unanswered,
        "refused": refused,
        **shares,
    }


def main() -> None:
    """Make the requests, and print the result as one line of JSON; times are in microseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("method", choices=("GET", "POST"))
    parser.add_argument("prefix", help="makes addresses and keys unique for this run")
    parser.add_argument("keyed", choices=("keyed", "plain"), help="with an Idempotency-Key, or without")
    parser.add_argument("paths", type=Path, help="a file of paths, requested in turn")
    sys.stdout.write(json.dumps(uvloop.run(ask(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    main()
