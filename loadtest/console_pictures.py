"""Photographs the console: runs `heyday demo` into its first day, and saves every page in both themes.

The pictures are of a real node in Chromium, with the demo's made-up users.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import sys
import tempfile
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import uvloop
from PIL import Image
from playwright.async_api import Browser, async_playwright
from rich.console import Console

from actors.commands.demo.options import DemoOptions
from actors.commands.demo.scene import Scene
from actors.commands.demo.screen import Screen
from actors.commands.demo.story import Story

SHARE_OF_DAY = 0.5
"""Pictures are taken when this share of the first day has passed: half of the world has had its 09:00."""

WIDTH, HEIGHT = 1280, 840
"""Pixels of a picture. The page of the day is higher."""

DAY_HEIGHT = 1130

COLORS = 128
"""Colors of a picture: a page has few, and the files stay small."""

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Page:
    """A page to photograph: its file, its address after `#`, and what it shows when it is ready."""

    name: str
    address: str
    shows: str


class Watcher(Screen):
    """A screen that says when the wanted share of the day has passed, and prints what the demo says."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.reached = asyncio.get_running_loop().create_future()

    def show(self, scene: Scene) -> None:
        """Keep the address of the node when the time has come."""
        if not self.reached.done() and scene.day.elapsed(scene.now) >= SHARE_OF_DAY:
            self.reached.set_result(scene.urls.api)


async def prepare(node: str) -> list[Page]:
    """Give the pages something to show, and choose a message that was not sent at the first attempt."""
    async with aiohttp.ClientSession(node, raise_for_status=True) as session:

        async def call(method: str, path: str, body: object = None) -> Any:
            async with session.request(method, f"/api/v1/{path}", json=body) as response:
                return await response.json()

        hold = await call("POST", "holds", {"occasion": "anniversary", "reason": "The text has a mistake"})
        german = {"text": "Liebe(r) {first_name}, alles Gute zum Geburtstag", "subject": "Alles Gute"}
        await call("PATCH", "occasions/birthday", {"texts": {"de": german}})
        await call("POST", f"holds/{hold['id']}:release")
        sent = (await call("GET", "messages?status=sent&limit=500&expand=user"))["items"]
    # A name that every computer has letters for.
    message = max(sent, key=lambda one: (one["user"]["firstName"].isascii(), one["attempts"]))
    return [
        Page("day", "/day", ".world .cell"),
        Page("messages", "/messages?status=sending,sent,retrying&order=asc", "a[data-row]"),
        Page("message", f"/message/{message['id']}", ".hops"),
        Page("person", f"/person/{message['userId']}", ".verdicts"),
        Page("nodes", "/nodes", ".tree"),
        Page("occasions", "/occasions/birthday", ".letter"),
        Page("holds", "/holds", "table"),
    ]


async def photograph(browser: Browser, node: str, pages: list[Page], folder: Path) -> None:
    """Save every page in both themes."""
    for theme in THEMES:
        context = await browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme=theme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/London",
        )
        shown = await context.new_page()
        for page in pages:
            await shown.set_viewport_size({"width": WIDTH, "height": DAY_HEIGHT if page.name == "day" else HEIGHT})
            await shown.goto(f"{node}/console#{page.address}")
            await shown.wait_for_selector(page.shows)
            await shown.wait_for_selector("[aria-busy]", state="detached")
            save(await shown.screenshot(), folder / f"{page.name}-{theme}.png")
        await context.close()


def save(picture: bytes, file: Path) -> None:
    """Save a picture with few colors, as a small file."""
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


async def take(folder: Path, chromium: str, seconds_per_day: float) -> None:
    """Run a demo until its noon, save the pictures, and end it."""
    watcher = Watcher(Console(highlight=False))
    telling = asyncio.ensure_future(Story(DemoOptions(seconds_per_day=seconds_per_day), watcher).tell())
    try:
        await asyncio.wait((telling, watcher.reached), return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await telling
            raise RuntimeError("the demo ended before its noon")
        node = watcher.reached.result()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            await photograph(browser, node, await prepare(node), folder)
            await browser.close()
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling


def main() -> int:
    """Write the pictures; exit code 1 without Chromium."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images/console"), help="(%(default)s)")
    parser.add_argument("--seconds-per-day", type=float, default=240.0, help="seconds that a day takes (%(default)g)")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("Install Chromium first; on Debian: apt-get install chromium", file=sys.stderr)  # noqa: T201 - a command
        return 1
    with tempfile.TemporaryDirectory(prefix="heyday-picture-", dir="/var/tmp") as directory, chdir(directory):
        Path(directory).chmod(0o755)  # the account of the embedded servers has to get through
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(take(folder, chromium, args.seconds_per_day))
    print(f"{args.folder} written")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
