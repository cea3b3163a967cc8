"""Measures how soon the console shows something, in Chromium with its processor throttled.

    python -m loadtest.paint --throttle 4 --rounds 9

One node runs without users. Each round opens the console in a new context, so nothing is in the cache.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys

import uvloop
from playwright.async_api import Browser, async_playwright

from loadtest.bare import Figures
from loadtest.bench import bench
from loadtest.programs import node
from loadtest.watchers import wait_until_ready

PATIENCE = 60_000
"""Milliseconds for a page on a busy machine."""

_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def measure(args: argparse.Namespace) -> Figures:
    """Return the milliseconds until the first paint with content, and until the day is shown."""
    painted, shown = [], []
    async with bench(rabbitmq=False) as running, running.database() as dsn, async_playwright() as playwright:
        settings = {"EMAIL_URL": running.stub_url, "BIND": f"127.0.0.1:{args.port}"}
        log = running.servers.place / "node.log"
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        async with node(running.servers, dsn, settings, rabbitmq=False, log=log):
            url = f"http://127.0.0.1:{args.port}"
            await wait_until_ready(url)
            for _ in range(args.rounds + 1):
                first, day = await _opened(browser, f"{url}/console", throttle=args.throttle)
                painted.append(first)
                shown.append(day)
        await browser.close()
    # The first round starts processes of the browser, and reads the files into the node.
    return {
        "paintMedian": statistics.median(painted[1:]),
        "paintLeast": min(painted[1:]),
        "dayMedian": statistics.median(shown[1:]),
        "dayLeast": min(shown[1:]),
    }


async def _opened(browser: Browser, url: str, *, throttle: float) -> tuple[float, float]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    session = await context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": throttle})
    await page.goto(url)
    await page.wait_for_selector("dl.sums")
    day: float = await page.evaluate("performance.now()")
    first: float = await page.evaluate(_PAINTED)
    await context.close()
    return first, day


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="number of openings (%(default)s)")
    parser.add_argument("--port", type=int, default=18080, help="port of the node (%(default)s)")
    args = parser.parse_args()
    found = uvloop.run(measure(args))
    sys.stdout.write(
        f"first paint with content: median {found['paintMedian']:.0f} ms, least {found['paintLeast']:.0f} ms\n"
        f"the day is shown: median {found['dayMedian']:.0f} ms, least {found['dayLeast']:.0f} ms\n"
    )


if __name__ == "__main__":
    main()
