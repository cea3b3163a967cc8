"""A browser, and pages in it that record every error of a page of the console."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from playwright.async_api import Browser, Page, Request, async_playwright
from playwright.async_api import TimeoutError as NotInTime

from tests.node.harness import eventually
from tests.servers import install_with_apt, one_process_at_a_time

PATIENCE = 90_000
"""Milliseconds to wait for what a page is to show, on a busy machine."""

REMOTE = "heyday.test"
"""A name of this machine. Other than 127.0.0.1, a browser trusts it only with TLS."""

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Names of Chromium's program. The first has no windows, and its pages take two thirds of the processor time."""

_VIOLATIONS = """
window.violations = [];
addEventListener('securitypolicyviolation', (one) => violations.push(`${one.violatedDirective} ${one.blockedURI}`));
"""


def chromium() -> str:
    """The path of the browser. Installs it on Debian as root. Raises FileNotFoundError."""
    with one_process_at_a_time():
        if found := _installed():
            return found
        # Older releases of Debian have no package of the headless shell.
        for package in ("chromium-headless-shell", "chromium"):
            if install_with_apt(package) and (found := _installed()):
                return found
    raise FileNotFoundError("tests in a browser need Chromium: install your system's package of it")


def _installed() -> str | None:
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        # A process of root has no sandbox, nor has one in most containers.
        started = await playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP {REMOTE} 127.0.0.1"],
            timeout=120_000,
        )
        yield started
        await started.close()


_HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
}"""


class Watched:
    """A page and its errors. `allowed` are parts of browser messages that a test expects."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.wrong: list[str] = []
        self.allowed: list[str] = []
        self.polls: dict[str, int] = {}
        """The number of requests for each path."""
        self._open: Counter[str] = Counter()
        self._loaded = 0
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self._note(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("dialog", lambda dialog: self._note(f"dialog: {dialog.message}"))
        page.on("request", self._asked)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def _note(self, text: str) -> None:
        self.wrong.append(text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.origin):
            self._note(f"left the origin: {request.url}")
        path = self._path(request)
        self.polls[path] = self.polls.get(path, 0) + 1
        self._open[path] += 1

    def _ended(self, request: Request) -> None:
        self._open[self._path(request)] -= 1

    def _path(self, request: Request) -> str:
        return request.url.removeprefix(self.origin).partition("?")[0]

    async def go(self, address: str) -> None:
        """Go to a page of the console, and wait until it shows something."""
        self._loaded += 1  # else only the part after # changes, and the page before is still there
        await self.page.goto(f"{self.origin}/console?{self._loaded}#/{address}")
        await self.page.wait_for_selector("h1")
        await self.page.wait_for_selector("[aria-busy=true]", state="detached")

    async def polled(self, path: str, times: int) -> None:
        """Wait until that path has been requested this many times more."""
        for _ in range(times):
            async with self.page.expect_response(lambda response: path in response.url, timeout=PATIENCE):
                pass

    async def polled_by(self, part: str, act: Awaitable[None]) -> None:
        """Wait until a request with that part in its URL is answered because of what is done."""
        async with self.page.expect_response(lambda response: part in response.url, timeout=PATIENCE):
            await act

    async def answered(self, path: str) -> None:
        """Wait until no request for that path is under way."""

        async def none_is_open() -> bool:
            return self._open[path] == 0

        await eventually(none_is_open)

    async def hide(self, hidden: bool) -> None:
        """Tell the page that its tab is hidden, or seen again."""
        await self.page.evaluate(_HIDE, hidden)

    async def says(self, text: str) -> None:
        """Wait until the page shows this text. Raises AssertionError with what it shows instead."""
        try:
            await self.page.get_by_text(text).first.wait_for()
        except NotInTime as error:
            raise AssertionError(f"not shown: {text!r}, but: {await self.page.inner_text('body')}") from error

    async def focused(self) -> str:
        """The role and text of the element that has the focus."""
        text: str = await self.page.evaluate(
            "document.activeElement.tagName.toLowerCase() + ' ' + document.activeElement.textContent.trim()"
        )
        return text

    async def findings(self, rules: Sequence[str] = ()) -> list[str]:
        """The violations of these rules, or of all, that axe finds on the page: the rule, and the elements."""
        options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        await self.page.evaluate(_axe())
        found: dict[str, Any] = await self.page.evaluate(f"axe.run({json.dumps(options)})")
        return [
            f"{one['id']}: {', '.join(str(node['target']) + ' ' + node['html'][:120] for node in one['nodes'][:3])}"
            for one in found["violations"]
        ]

    async def mistakes(self) -> list[str]:
        """Every error of the page so far."""
        violations: list[str] = await self.page.evaluate("window.violations || []")
        wrong = [text for text in self.wrong if not any(part in text for part in self.allowed)]
        return wrong + [f"violation: {one}" for one in violations]


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


Open = Callable[..., Awaitable[Watched]]


async def open_page(browser: Browser, origin: str, **options: Any) -> Watched:
    """A page with its own storage."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
    await context.add_init_script(_VIOLATIONS)
    return Watched(await context.new_page(), origin)
