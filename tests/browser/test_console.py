"""The console in a real browser, on real nodes: each page, by keyboard, while the world changes, with hostile names."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Response, Route, expect

from actors.commands.sandbox.email_stub import StubOptions, serve
from service.adapters.redis.connection import connect
from tests.browser.stage import PATIENCE, REMOTE, Open, Watched, browser, open_page
from tests.databases import create_database, drop_database
from tests.node.harness import NodeProcess, World
from tests.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "desk:operate:0123456789abcdef"

WAVE = 300
"""Greetings that are due while the page is watched."""

FAILED = 60
"""Messages that the email service refused: more than a page of the list."""

HOSTILE = {
    "script": ("<script>alert(1)</script>", "<img src=x onerror=alert(2)>"),
    "right to left": ("محمد", "العلي"),
    "emoji": ("👩‍👩‍👧‍👦" * 14, "🎂" * 100),
}


@dataclass
class Stage:
    """A world with two nodes, of which the second needs a key, and a browser."""

    world: World
    watched: NodeProcess
    other: NodeProcess
    browser: Browser
    due: datetime

    async def origin(self, node: NodeProcess, host: str = "127.0.0.1") -> str:
        """The origin of a node, by a name of this machine."""
        return f"http://{host}:{(await node.logged('api_listening'))['port']}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Servers) -> AsyncIterator[Stage]:
    """Two nodes with a wave to come, and messages that were refused."""
    await servers.start([servers.postgres, servers.redis])
    name = f"test_{uuid.uuid4().hex}"
    await create_database(servers, name)
    redis = connect(servers.redis.url)
    await redis.commands.flushall()
    await redis.close()
    stub = await serve("127.0.0.1", 0, StubOptions(latency=(0.02, 0.02)))
    world = World(dsn=servers.postgres.dsn(name), redis_url=servers.redis.url, rabbitmq_url=None, stub=stub)
    await world.begin()
    due = await _people(world)
    watched = await world.node(EMAIL_CONCURRENCY="8")
    other = await world.node(API_KEYS=KEY, EMAIL_CONCURRENCY="7")
    await world.planned(WAVE + FAILED + len(HOSTILE))
    for node in (watched, other):
        await node.logged("node_entered")
    async with browser() as started:
        yield Stage(world, watched, other, started, due)
    await world.close()
    await drop_database(servers, name)


async def _people(world: World) -> datetime:
    """Create all users, and return the instant of the wave."""
    due = datetime.fromisoformat("2027-03-15T09:00:00+00:00")
    await world.users(WAVE, due.date())
    await world.fetch(
        """
        with made as (
            insert into users (first_name, last_name, email, email_key, timezone, created_at)
            select first, last, address, address, 'Asia/Tokyo', business_now() - interval '30 days'
            from unnest($1::text[], $2::text[]) n (first, last), lateral (select md5(first) || '@a.test' as address) a
            returning id
        )
        insert into occasion_dates (user_id, occasion, date) select id, 'birthday', $3 from made
        """,
        [first for first, _ in HOSTILE.values()],
        [last for _, last in HOSTILE.values()],
        due.date().replace(year=1992),
    )
    await world.fetch(
        """
        with made as (
            insert into users (first_name, last_name, email, email_key, timezone)
            select 'Mary', 'No ' || n, n || 'mary@a.test', n || 'mary@a.test', 'Europe/Rome'
            from generate_series(1, $1) n
            returning id
        )
        insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata,
            ended_at, dead_lettered_at, status_reason)
        select id, 'birthday', 2027, 'Europe/Rome', at, at, 'failed', 1, '2026a', at, at, '400 Bad Request'
        from made, (values (timestamptz '2027-03-14 08:00Z')) instant (at)
        """,
        FAILED,
    )  # fmt: skip
    return due


@pytest_asyncio.fixture(loop_scope="module")
async def opened(stage: Stage) -> AsyncIterator[Open]:
    """Opens pages. At the end, none of them may have an error."""
    pages: list[Watched] = []

    async def open_one(node: NodeProcess | None = None, host: str = "127.0.0.1", **options: object) -> Watched:
        pages.append(await open_page(stage.browser, await stage.origin(node or stage.watched, host), **options))
        return pages[-1]

    yield open_one
    wrong = [await page.mistakes() for page in pages]
    for page in pages:
        await page.page.context.close()
    assert wrong == [[] for _ in pages]


async def _read(page: Watched, path: str) -> dict[str, Any]:
    """Read a path of the API of the watched node. Returns the JSON document."""
    async with aiohttp.ClientSession(page.origin) as client, client.get(f"/api/v1/{path}") as answer:
        assert answer.status == 200, await answer.text()
        read: dict[str, Any] = await answer.json()
        return read


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.nightly)])
async def test_every_page_is_accessible(stage: Stage, opened: Open, theme: str) -> None:
    """axe checks names of controls, contrast, landmarks, tables and focus."""
    page = await opened(color_scheme=theme, reduced_motion="reduce")
    message = await stage.world.value("select id::text from messages where status = 'failed' limit 1")
    user = await stage.world.value("select user_id::text from messages where status = 'failed' limit 1")
    # What does not depend on colours is the same in both themes.
    rules = ("color-contrast", "link-in-text-block") if theme == "dark" else ()
    findings = {}

    for address in (
        "day",
        "messages",
        "messages?status=failed",
        f"message/{message}",
        "person?q=mary",
        f"person/{user}",
        "nodes",
        "occasions",
        "holds",
    ):
        await page.go(address)
        if found := await page.findings(rules):
            findings[address] = found
    for key in ("?", "s"):
        await page.page.keyboard.press(key)
        await page.page.wait_for_selector("dialog[open]")
        if found := await page.findings(rules):
            findings[f"the dialog of {key}"] = found
        await page.page.keyboard.press("Escape")
        await page.page.wait_for_selector("dialog[open]", state="detached")

    assert findings == {}


async def test_everything_is_done_by_keyboard(stage: Stage, opened: Open) -> None:
    """Sign in, list the keys, open a message, find a person, hold all sending, and release it."""
    page = await opened(stage.other)
    page.allowed.append("401 (Unauthorized)")  # how the console learns that it needs a key
    keyboard = page.page.keyboard
    await page.page.goto(f"{page.origin}/console")
    await page.page.wait_for_selector("input[type=password]:focus")
    await keyboard.type(KEY.rpartition(":")[2])
    await keyboard.press("Enter")
    await page.says("desk · operate")

    await keyboard.press("?")
    await page.page.wait_for_selector("dialog[open]")
    await keyboard.press("Escape")
    await page.page.wait_for_selector("dialog[open]", state="detached")

    await page.page.clock.set_fixed_time(datetime.now(UTC))  # between the two keys less than 1.5 s may pass
    await keyboard.press("g")
    await keyboard.press("m")
    await page.page.wait_for_selector("a[data-row]")
    await page.page.clock.resume()
    assert (await page.focused()).split()[0] in ("h1", "main")
    await keyboard.press("j")
    await page.page.wait_for_selector("a[data-row]:focus")
    await keyboard.press("Enter")
    await page.says("Hop by hop")

    await keyboard.press("/")
    await page.page.wait_for_selector("input[type=search]:focus")
    # On a slow machine a part of it is searched for first. The list of that search goes away.
    await page.polled_by("q=mary%40a.test", keyboard.type("mary@a.test"))
    await page.page.wait_for_selector("ul.people a")
    await keyboard.press("Tab")
    await page.page.wait_for_selector("ul.people a:focus")
    await keyboard.press("Enter")
    await page.says("Greeted, or why not")

    await keyboard.press("s")
    await page.page.wait_for_selector("dialog[open] input[name=reason]:focus")
    await keyboard.type("a mistake in the text")
    await keyboard.press("Enter")
    await page.says("All sending is held")
    assert await stage.world.value("select reason from holds where released_at is null") == "a mistake in the text"
    for _ in range(40):
        if (await page.focused()).endswith("Release"):
            break
        await keyboard.press("Shift+Tab")
    await keyboard.press("Enter")
    await page.page.get_by_text("All sending is held").wait_for(state="detached")
    assert await stage.world.value("select count(*) from holds where released_at is null") == 0


async def test_a_refresh_keeps_what_somebody_reads(stage: Stage, opened: Open) -> None:
    """The page is scrolled, a panel is open and rows are selected, while messages come and go."""
    page = await opened()
    await page.go("messages?status=failed")
    boxes = page.page.locator("tbody input[type=checkbox]")
    await boxes.nth(3).check()
    await boxes.nth(6).click(modifiers=["Shift"])
    await page.page.evaluate("scrollTo(0, 500)")
    scrolled = await page.page.evaluate("scrollY")
    rows = await page.page.locator("tbody tr").all_text_contents()
    await stage.world.fetch("update messages set status_reason = '410 Gone' where status = 'failed'")
    await page.polled("/api/v1/day", 3)

    assert await page.page.locator("tbody tr:has(:checked)").count() == 4
    assert await page.page.locator("tbody tr").all_text_contents() == rows
    assert (scrolled, await page.page.evaluate("scrollY")) == (500, 500)

    await page.go("day")
    panel = page.page.locator("details.as-table").first
    await panel.locator("summary").click()
    await panel.locator("td").first.wait_for()
    await stage.world.fetch("update messages set status = 'expired' where status = 'failed' and user_id in"
                            " (select user_id from messages where status = 'failed' limit 7)")  # fmt: skip
    await page.says("7 expired")
    assert await panel.get_attribute("open") is not None


async def test_a_redrive_takes_what_its_dialog_says(stage: Stage, opened: Open) -> None:
    """Counted first, and by the filter of the list. The button goes away with its messages, and the focus does not."""
    waiting = "select count(*) from messages where status = 'failed' and timezone = 'Europe/Rome'"
    page = await opened()
    await page.go("messages?status=failed&timezone=Europe/Rome")
    failed = await stage.world.value(waiting)
    boxes = page.page.locator("tbody input[type=checkbox]")
    await boxes.nth(0).check()
    await boxes.nth(2).click(modifiers=["Shift"])

    await page.page.get_by_role("button", name="Redrive 3 selected").click()
    await page.says("3 messages that you selected")
    await page.page.locator("dialog[open] button", has_text="Redrive 3").click()
    await page.says("3 messages redriven.")
    assert await stage.world.value(waiting) == failed - 3

    await page.page.get_by_role("button", name="Redrive all that match").click()
    await page.page.locator("dialog .large", has_text=f"{failed - 3} messages that are failed").wait_for()
    await page.page.locator("dialog[open] button", has_text=f"Redrive {failed - 3}").click()
    await page.says(f"{failed - 3} messages redriven.")
    assert await stage.world.value(waiting) == 0
    await page.page.wait_for_selector("main:focus, main :focus")


async def test_what_a_role_may_not_do_is_not_offered(stage: Stage, opened: Open) -> None:
    """The key may stop and redrive, and neither erase nor read the audit log."""
    page = await opened(stage.other)
    user = await stage.world.value("select user_id::text from messages limit 1")
    secret = KEY.rpartition(":")[2]
    await page.page.add_init_script(f"if (location.host) sessionStorage.setItem('heyday.key', '{secret}')")

    await page.go(f"person/{user}")
    await page.page.get_by_role("button", name="Suppress").wait_for()
    assert await page.page.get_by_role("button", name="Erase").count() == 0
    await page.go("holds")
    await page.says("A key with the role admin reads the audit log.")
    assert page.polls.get("/api/v1/audit") is None


async def test_hostile_names_are_shown_as_they_are(stage: Stage, opened: Open) -> None:
    """A name is shown as text, and does not change the page around it."""
    page = await opened()
    for first, last in HOSTILE.values():
        user = await stage.world.value("select id::text from users where first_name = $1", first)
        await page.go(f"person/{user}")
        await page.page.locator("h1", has_text=first).wait_for()
        assert await page.page.locator("h1").text_content() == f"{first} {last}"
        assert await page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    assert await page.page.locator("script:not([src]), img").count() == 0


async def test_a_long_word_stays_within_the_page(stage: Stage, opened: Open) -> None:
    """The reason of a hold is in the banner, and in what the page of a person says."""
    user = await stage.world.value("select user_id::text from messages where status = 'scheduled' limit 1")
    page = await opened(viewport={"width": 320, "height": 640})
    async with aiohttp.ClientSession(page.origin) as client:
        async with client.post("/api/v1/holds", json={"reason": "w" * 300}) as answer:
            hold = (await answer.json())["id"]
        for address in ("day", f"person/{user}", "holds"):
            await page.go(address)
            await page.page.wait_for_selector(".banner.held")
            assert await page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        async with client.post(f"/api/v1/holds/{hold}:release") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(("preference", "seconds"), [("no-preference", "1s"), ("reduce", "0s")])
async def test_nothing_glides_for_those_who_prefer_less_motion(opened: Open, preference: str, seconds: str) -> None:
    """The line of now jumps instead, and nothing else moves either."""
    page = await opened(reduced_motion=preference)
    await page.go("day")
    await page.page.wait_for_selector(".world .now")

    durations = "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
    assert seconds in await page.page.evaluate(durations)
    if preference == "reduce":
        assert set(await page.page.evaluate(durations)) == {"0s"}


async def test_a_hidden_tab_asks_nothing(opened: Open) -> None:
    """It asks again as soon as its tab is shown. The page's timers go by a clock that the test moves."""
    page = await opened()
    await page.page.clock.install()
    await page.go("nodes")
    await page.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=5))
    await page.polled_by("/api/v1/nodes", page.page.clock.run_for(4_000))

    await page.hide(True)
    await page.answered("/api/v1/nodes")
    await page.page.clock.run_for(4_000)  # the next look is skipped
    await page.answered("/api/v1/nodes")
    asked = page.polls["/api/v1/nodes"]
    await page.page.clock.run_for(60_000)
    await page.polled_by("/api/v1/nodes", page.hide(False))

    assert page.polls["/api/v1/nodes"] == asked + 1


async def test_an_id_is_copied_without_tls(stage: Stage, opened: Open) -> None:
    """A browser has no clipboard API there."""
    user = await stage.world.value("select user_id::text from messages limit 1")
    page = await opened(host=REMOTE)
    page.allowed.append("Cross-Origin-Opener-Policy")  # a browser ignores this header there, and says so
    await page.go(f"person/{user}")
    assert await page.page.evaluate("isSecureContext || 'clipboard' in navigator") is False

    # The word is shown for 1.5 s only, so the wait for it begins first.
    await asyncio.gather(page.says("Copied"), page.page.get_by_role("button", name="Copy the id").click())
    await page.go("person")
    await page.page.locator("input[type=search]").press("Control+V")

    assert await page.page.locator("input[type=search]").input_value() == user


async def test_an_edit_keeps_what_two_people_changed(stage: Stage, opened: Open) -> None:
    """The change of another operator is shown, and the typed text is kept."""
    user = await stage.world.value("select user_id::text from messages where timezone = 'Europe/Rome' limit 1")
    page = await opened()
    page.allowed.append("412 (Precondition Failed)")
    await page.go(f"person/{user}")
    await page.page.get_by_role("button", name="Edit").click()
    await page.page.get_by_label("Last name").fill("Shelley")
    async with aiohttp.ClientSession(page.origin) as client:
        merge = {"Content-Type": "application/merge-patch+json"}
        change = client.patch(f"/api/v1/users/{user}", data='{"locationCity": "Bologna"}', headers=merge)
        async with change as answer:
            assert answer.status == 200, await answer.text()

    await page.page.get_by_role("button", name="Save").click()
    await page.says("Location city is now “Bologna”")
    assert await page.page.get_by_label("Last name").input_value() == "Shelley"
    await page.page.get_by_role("button", name="Save").click()
    await page.page.wait_for_selector("dialog[open]", state="detached")

    names = await stage.world.fetch("select last_name, location_city from users where id = $1", uuid.UUID(user))
    assert [tuple(one) for one in names] == [("Shelley", "Bologna")]


async def test_an_edit_of_a_text_keeps_what_two_people_changed(stage: Stage, opened: Open) -> None:
    """The same holds for an occasion, for each of its languages, and for the mark that it is active."""
    code = "house_warming"
    german, french, italian = ({"text": text} for text in ("Hallo", "Salut", "Ciao"))
    url = f"/api/v1/occasions/{code}"
    page = await opened()
    page.allowed.append("412 (Precondition Failed)")
    async with aiohttp.ClientSession(page.origin) as client:
        async with client.put(url, json={"text": "Hey, {first_name}", "texts": {"de": german, "fr": french}}) as answer:
            assert answer.status == 201, await answer.text()
        await page.go(f"occasions/{code}")
        await page.page.get_by_label("Active").uncheck()
        await page.page.get_by_label("Text", exact=True).first.fill("Welcome home, {first_name}")
        await page.page.get_by_label("Text", exact=True).last.fill("Bonjour")
        merge = {"Content-Type": "application/merge-patch+json"}
        async with client.patch(
            url, data=json.dumps({"subject": "Your new house", "texts": {"fr": french, "it": italian}}), headers=merge
        ) as answer:
            assert answer.status == 200, await answer.text()

    await page.page.get_by_role("button", name="Save").click()
    await page.says("Subject is now “Your new house”")
    assert await page.page.get_by_label("Text", exact=True).first.input_value() == "Welcome home, {first_name}"
    await page.page.get_by_role("button", name="Save").click()
    await page.page.locator(".letter b", has_text="Your new house").first.wait_for()
    await page.says("Saved")

    async with aiohttp.ClientSession(page.origin) as client, client.get(url) as answer:
        stored = await answer.json()
    assert (stored["subject"], stored["text"], stored["active"]) == (
        "Your new house", "Welcome home, {first_name}", False,
    )  # fmt: skip
    assert {tag: one["text"] for tag, one in stored["texts"].items()} == {"fr": "Bonjour", "it": "Ciao"}


async def test_what_is_typed_stays_when_the_key_ends(opened: Open) -> None:
    """The page stays behind a dialog that asks for a valid key."""
    page = await opened()
    page.allowed.append("401 (Unauthorized)")
    ended = False

    async def answer(route: Route) -> None:
        if ended:
            await route.fulfill(status=401, content_type="application/problem+json", body="{}")
        else:
            await route.continue_()

    await page.page.route(lambda url: "/api/v1/" in url, answer)
    await page.go("occasions/birthday")
    await page.page.get_by_label("Text", exact=True).first.fill("A long text")
    ended = True
    await page.says("Your key is not valid any more")
    await page.page.get_by_label("API key").fill(KEY.rpartition(":")[2])
    ended = False
    await page.page.keyboard.press("Enter")
    await page.page.wait_for_selector("dialog[open]", state="detached")

    assert await page.page.get_by_label("Text", exact=True).first.input_value() == "A long text"


async def test_an_occasion_that_is_there_is_not_created_again(opened: Open) -> None:
    page = await opened()
    page.allowed.append("412 (Precondition Failed)")
    await page.go("occasions")
    await page.page.get_by_label("Code").fill("birthday")
    await page.page.get_by_role("button", name="Create, not active").click()

    await page.says("There is an occasion birthday.")


async def test_a_search_goes_on_beyond_the_users_of_one_page(opened: Open) -> None:
    """A page looks at a bounded number of users, so it may have none although there are some."""
    page = await opened()
    found = {"id": str(uuid.UUID(int=5)), "firstName": "Zeb", "email": "zeb@a.test", "timezone": "UTC"}

    async def answer(route: Route) -> None:
        there = "&cursor=two" in route.request.url
        listed = {"items": [found] if there else [], "nextCursor": "three" if there else "two"}
        await route.fulfill(
            status=200, json=listed if "&q=" in route.request.url else {"items": [], "nextCursor": None}
        )

    await page.page.route(lambda url: "/users?" in url, answer)
    await page.go("person?q=zeb")

    await page.says("1 person so far")
    assert await page.page.get_by_role("button", name="Search on").is_visible()


async def test_no_link_leads_beyond_the_first_and_the_last_day(opened: Open) -> None:
    """The day after the last one had an address that no day has, and its page was that of today."""
    page = await opened()
    before, after = (page.page.get_by_label(label, exact=True) for label in ("Day before", "Day after"))

    await page.go("day?date=9999-12-31")
    await expect(before).to_have_attribute("href", "#/day?date=9999-12-30")
    assert await after.get_attribute("href") is None
    await page.go("day?date=0001-01-01")
    await expect(after).to_have_attribute("href", "#/day?date=0001-01-02")
    assert await before.get_attribute("href") is None


async def test_the_focus_stays_in_the_page(stage: Stage, opened: Open) -> None:
    """A button that is pressed by keyboard keeps the focus, and hands it to the page when it goes away."""
    page = await opened()
    page.allowed.append("422 (Unprocessable")
    keyboard = page.page.keyboard
    await page.go("day")
    await page.page.focus("a[aria-label='Day after']")
    await page.polled_by("/api/v1/day?date", keyboard.press("Enter"))
    await page.page.get_by_text("Nothing is planned").or_(page.page.locator(".world")).first.wait_for()
    assert await page.page.locator("a[aria-label='Day after']:focus").count() == 1

    await page.go("occasions/birthday")
    await page.page.get_by_label("Text", exact=True).fill("Hey, {fullname}")
    await page.page.get_by_role("button", name="Save").focus()
    await keyboard.press("Enter")
    await page.says("column 6: expected {full_name}")
    assert await page.focused() == "button Save"

    user = await stage.world.value("select user_id::text from messages where timezone = 'Europe/Rome' limit 1")
    await page.go(f"person/{user}")
    await page.page.get_by_role("button", name="Suppress").focus()
    await keyboard.press("Enter")
    await page.page.locator("dialog[open] button", has_text="Suppress").focus()
    await keyboard.press("Enter")
    await page.says("The address gets nothing")
    assert await page.focused() == "button Suppress"
    await page.page.get_by_role("button", name="Remove the suppression").focus()
    await keyboard.press("Enter")
    await page.page.get_by_text("The address gets nothing").wait_for(state="detached")
    await page.page.wait_for_selector("main:focus")


async def test_the_focus_returns_from_a_dialog_before_the_next_frame(opened: Open) -> None:
    """Once this page is drawn, no frame comes at which a script could act."""
    page = await opened()
    await page.go("nodes")
    await page.page.evaluate("window.requestAnimationFrame = () => 0")
    await page.page.get_by_role("button", name="Keys and settings").focus()

    await page.page.keyboard.press("Enter")
    await page.page.wait_for_selector("dialog[open]")
    await page.page.keyboard.press("Escape")

    await page.page.wait_for_selector("dialog", state="detached")
    assert await page.focused() == "button ?"


async def test_what_is_typed_stays_while_the_page_is_drawn_again(stage: Stage, opened: Open) -> None:
    """Of a filter, and of a date, which is chosen part by part."""
    page = await opened(locale="en-US")
    await page.go("messages")
    zones = page.page.get_by_label("Zones")
    await zones.press_sequentially("Europe/Ro")
    async with aiohttp.ClientSession(page.origin) as client:
        async with client.post("/api/v1/holds", json={"reason": "drawn again"}) as answer:
            hold = (await answer.json())["id"]
        await page.says("drawn again")
        async with client.post(f"/api/v1/holds/{hold}:release") as answer:
            assert answer.status == 200
    await page.page.get_by_text("drawn again").wait_for(state="detached")
    assert await zones.input_value() == "Europe/Ro"
    await page.page.keyboard.type("me")
    await page.page.keyboard.press("Enter")
    await expect(page.page).to_have_url(re.compile("timezone=Europe%2FRome$"))
    await page.page.get_by_role("link", name="Clear").click()
    await expect(zones).to_have_value("")

    await page.go("day")
    await page.page.focus("input[type=date]")
    await page.page.keyboard.type("1125", delay=30)
    await page.page.get_by_text("Nothing is planned").wait_for()  # nothing is drawn for that day
    await page.page.keyboard.type("2026", delay=30)
    await expect(page.page).to_have_url(re.compile("date=2026-11-25$"))
    await page.page.locator("h1", has_text="25 2026".replace(" ", ", ")).wait_for()
    assert await page.page.locator("input[type=date]:focus").input_value() == "2026-11-25"


@pytest.mark.parametrize("address", ["person/%", "constructor", "day?date=never"])
async def test_a_wrong_address_leaves_a_page(opened: Open, address: str) -> None:
    page = await opened()
    page.allowed += ["404 (Not Found)", "422 (Unprocessable"]

    await page.go(address)

    assert await page.page.get_by_role("navigation", name="Pages").is_visible()


async def test_a_key_that_no_header_can_carry_is_refused(stage: Stage, opened: Open) -> None:
    """As any other wrong key, and the page can be loaded again."""
    page = await opened(stage.other)
    page.allowed.append("401 (Unauthorized)")
    await page.page.goto(f"{page.origin}/console")
    await page.page.get_by_label("API key").fill("pasted…")
    await page.page.keyboard.press("Enter")
    await page.says("The API key is not valid.")

    await page.page.reload()
    await page.page.get_by_label("API key").fill(KEY.rpartition(":")[2])
    await page.page.keyboard.press("Enter")

    await page.says("desk · operate")


async def test_what_failed_once_is_asked_again(opened: Open) -> None:
    """Within seconds: also what is polled rarely, what is read once, and what rests during an edit."""
    page = await opened()
    page.allowed.append("503 (Service Unavailable)")
    away = '{"title": "Unavailable", "detail": "The database is away."}'
    down = True

    async def answer(route: Route) -> None:
        if down:
            await route.fulfill(status=503, content_type="application/problem+json", body=away)
        else:
            await route.continue_()

    await page.page.route(lambda url: "/api/v1/forecast" in url, answer)
    search, occasion = await opened(), await opened()
    for one in (search, occasion):
        one.allowed.append("503 (Service Unavailable)")
        await one.page.route(lambda url: "/users?" in url or "/occasions/birthday" in url, answer)
    await page.go("day")
    await search.go("person?q=mary")
    await occasion.go("occasions/birthday")
    for one in (page, search, occasion):
        await one.says("The database is away.")
    down = False

    await page.says("to come,")
    await search.page.wait_for_selector("ul.people a")
    await occasion.page.get_by_label("Text", exact=True).first.wait_for()


async def test_a_hold_is_shown_as_soon_as_it_is_made(opened: Open) -> None:
    """A node knows a hold a quarter of a second later. Who sees nothing of it makes another."""
    page = await opened()
    day = await _read(page, "day")
    hold = {"id": str(uuid.UUID(int=7)), "occasion": None, "author": "desk", "until": None, "reason": "a wrong text"}
    clock = asyncio.get_running_loop().time
    held_at = float("inf")
    looks = 0

    async def answer(route: Route) -> None:
        nonlocal held_at, looks
        if route.request.method == "POST":
            held_at = clock()
            await route.fulfill(status=201, json=hold)
            return
        known = clock() >= held_at + 0.25
        looks += clock() >= held_at
        # Of the looks after the hold only the first is answered.
        if looks < 2:
            held = [{**hold, "since": day["now"]}] if known else []
            await route.fulfill(json={**day, "attention": {**day["attention"], "held": held}})

    await page.page.route(lambda url: url.endswith(("/api/v1/day", "/api/v1/holds")), answer)
    await page.go("nodes")
    await page.page.get_by_role("button", name="Stop sending").click()
    await page.page.get_by_label("Reason").fill("a wrong text")
    await page.page.keyboard.press("Enter")

    await page.says("All sending is held")


async def test_a_person_who_cannot_be_read_is_not_shown_as_deleted(stage: Stage, opened: Open) -> None:
    """The explanation may be known from before, while the database is away."""
    user = await stage.world.value("select user_id::text from messages where timezone = 'Asia/Tokyo' limit 1")
    page = await opened()
    page.allowed.append("503 (Service Unavailable)")
    explained = asyncio.Event()
    down = True

    async def answer(route: Route) -> None:
        if down:
            await asyncio.wait_for(explained.wait(), PATIENCE / 1000)
            await route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "It is away."}')
        else:
            await route.continue_()

    def note(response: Response) -> None:
        if "/explanation" in response.url:
            explained.set()

    page.page.on("response", note)
    await page.page.route(lambda url: url.endswith(f"/users/{user}"), answer)
    await page.page.goto(f"{page.origin}/console#/person/{user}")
    await page.polled(f"/users/{user}", 3)

    await page.says("It is away.")
    assert await page.page.get_by_text("deleted").count() == 0
    down = False
    await page.page.get_by_role("button", name="Edit").wait_for()


async def test_enter_adds_a_language_and_saves_nothing(opened: Open) -> None:
    """A save publishes every text of the occasion."""
    page = await opened()
    saved: list[str] = []

    async def answer(route: Route) -> None:
        if route.request.method == "PATCH":
            saved.append(route.request.url)
        await route.continue_()

    await page.page.route(lambda url: "/occasions/" in url, answer)
    await page.go("occasions/birthday")
    await page.page.get_by_label("Language").first.fill("pt-BR")
    await page.page.keyboard.press("Enter")

    await page.page.get_by_role("heading", name="pt-BR").wait_for()
    assert saved == []


async def test_a_test_of_an_occasion_sends_what_is_shown(opened: Open) -> None:
    """With a number of years, as in the text beside it. What the service refuses does not look as if it was sent."""
    page = await opened()
    page.allowed.append("503 (Service Unavailable)")
    result = {"statusCode": 202, "error": None, "providerId": None, "durationSeconds": 0.02}
    answers: list[dict[str, Any]] = [
        {"json": {**result, "outcome": "accepted"}},
        {"status": 503, "json": {"detail": "The circuit is open."}},
        {"json": {**result, "outcome": "unknown", "statusCode": None, "durationSeconds": 10}},
    ]
    asked = []

    async def answer(route: Route) -> None:
        asked.append(route.request.post_data_json)
        await route.fulfill(**answers[len(asked) - 1])

    await page.page.route(lambda url: url.endswith(":testSend"), answer)
    await page.go("occasions/birthday")
    await page.page.get_by_label("To", exact=True).fill("me@a.test")
    button = page.page.get_by_role("button", name="Send a test")
    sent = page.page.locator(".done", has_text="Accepted")

    await button.click()
    await sent.wait_for()
    assert asked == [{"to": "me@a.test", "locale": None, "years": 36}]
    await button.click()
    await page.says("The circuit is open.")
    assert await sent.count() == 0
    await button.click()
    refused = page.page.locator(".problem", has_text="Unknown")
    await refused.get_by_text("The service gave no answer after 10s").wait_for()


async def test_a_redriven_message_is_shown_as_it_is_now(stage: Stage, opened: Open) -> None:
    """Its state and why it has it, also when a look from before is still under way and answers are shared."""
    message = await stage.world.value("select id::text from messages where timezone = 'Asia/Tokyo' limit 1")
    page = await opened()
    stored = await _read(page, f"messages/{message}")
    status = "failed"
    shared: dict[str, str] = {}
    looking, gate = asyncio.Event(), asyncio.Event()
    slow = False

    async def answer(route: Route) -> None:
        nonlocal status
        if route.request.method == "POST":
            status = "scheduled"
            await route.fulfill(json={})
            return
        url = route.request.url
        if "max-age" not in route.request.headers.get("cache-control", ""):
            shared[url] = status
        shown = shared.setdefault(url, status)
        if "/explanation" in url:
            await route.fulfill(json={"days": [{"messageId": message, "why": f"It is {shown}, you see."}]})
            return
        if slow and shown == "failed":
            looking.set()
            await asyncio.wait_for(gate.wait(), PATIENCE / 1000)
        await route.fulfill(json={**stored, "status": shown})

    await page.page.route(lambda url: f"/messages/{message}" in url or "/explanation" in url, answer)
    await page.go(f"message/{message}")
    await page.says("It is failed, you see.")
    slow = True
    await asyncio.wait_for(looking.wait(), PATIENCE / 1000)
    button = page.page.get_by_role("button", name="Redrive")
    await page.polled_by(":redrive", button.click())
    await button.wait_for()
    gate.set()

    await page.says("It is scheduled, you see.")
    await page.page.locator(".title .state", has_text="scheduled").wait_for()
    await button.wait_for(state="detached")


async def test_a_message_that_is_held_is_not_shown_as_retrying(opened: Open) -> None:
    page = await opened()
    message = (await _read(page, "messages?limit=1"))["items"][0]
    explained = {"days": [{"messageId": message["id"], "why": "Sending is held.", "held": {"reason": "a wrong text"}}]}

    async def answer(route: Route) -> None:
        await route.fulfill(
            json=explained if "/explanation" in route.request.url else {**message, "status": "retrying", "timeline": []}
        )

    await page.page.route(lambda url: f"/messages/{message['id']}" in url or "/explanation" in url, answer)
    await page.go(f"message/{message['id']}")

    await expect(page.page.locator(".title .state")).to_have_text("held")


async def test_what_is_added_to_a_list_follows_what_is_shown(opened: Open) -> None:
    """No row is lost and none is double when something happens while the next page is read."""
    page = await opened()
    entry = {"at": "2026-12-01T09:00:00Z", "key": "a test", "osUser": None, "role": "admin", "action": "job.run",
             "subjectKind": "job", "requestId": None}  # fmt: skip
    newest = 100
    asked, gate = asyncio.Event(), asyncio.Event()

    async def answer(route: Route) -> None:
        _, more, cursor = route.request.url.partition("cursor=")
        first = int(cursor) if more else newest
        if more:
            asked.set()
            await asyncio.wait_for(gate.wait(), PATIENCE / 1000)
        ids = range(first, max(0, first - 50), -1)
        items = [{**entry, "id": str(one), "subjectId": f"number {one}"} for one in ids]
        await route.fulfill(json={"items": items, "nextCursor": str(first - 50) if first > 50 else None})

    # On a slow machine the page must not give up before the list has changed.
    await page.page.add_init_script("AbortSignal.timeout = () => new AbortController().signal")
    await page.page.route(lambda url: "/api/v1/audit" in url, answer)
    await page.go("holds")
    await page.page.get_by_role("button", name="Show 50 more").click()
    await asyncio.wait_for(asked.wait(), PATIENCE / 1000)
    newest = 101
    await page.says("number 101")
    gate.set()

    await page.says("The list rests while you read it.")
    rows = page.page.get_by_role("region", name="Audit log").locator("td:nth-child(4)")
    assert await rows.all_inner_texts() == [f"job number {one}" for one in range(100, 0, -1)]


async def test_what_needs_you_keeps_the_focus_while_it_counts(opened: Open) -> None:
    """The text of such a link has a duration or a number, which changes with each look."""
    page = await opened()
    day = await _read(page, "day")
    seconds = 5

    async def answer(route: Route) -> None:
        away = [{"system": "redis", "seconds": seconds, "reason": "refused"}]
        await route.fulfill(json={**day, "attention": {**day["attention"], "away": away}})

    await page.page.route(lambda url: url.endswith("/api/v1/day"), answer)
    await page.go("day")
    await page.page.get_by_role("link", name="redis is away for 5s").focus()
    seconds = 50
    await page.says("redis is away for 50s")

    assert await page.focused() == "a redis is away for 50s"


async def test_the_number_of_held_messages_opens_those_of_the_held_occasion(opened: Open) -> None:
    page = await opened()
    day = await _read(page, "day")
    hold = {"id": str(uuid.UUID(int=7)), "occasion": "birthday", "since": day["now"], "author": "desk", "until": None,
            "reason": "a wrong text"}  # fmt: skip
    changed = {"total": {**day["total"], "held": 3}, "attention": {**day["attention"], "held": [hold]}}
    await page.page.route(lambda url: url.endswith("/api/v1/day"), lambda route: route.fulfill(json={**day, **changed}))
    await page.go("day")

    await expect(page.page.locator(".sums .held a")).to_have_attribute("href", re.compile("occasion=birthday"))


async def test_what_is_overdue_opens_what_has_been_due_for_a_minute(opened: Open) -> None:
    """The list ends a minute before now, as the number does: a message that has just become due is in neither."""
    page = await opened()
    day = await _read(page, "day")
    changed = {
        "now": "2027-03-14T12:00:00Z",
        "attention": {**day["attention"], "overdue": 3, "overdueSince": day["now"]},
    }
    await page.page.route(lambda url: url.endswith("/api/v1/day"), lambda route: route.fulfill(json={**day, **changed}))
    await page.go("day")

    overdue = page.page.locator(".attention a", has_text="overdue")
    await expect(overdue).to_have_attribute("href", re.compile("to=2027-03-14T11%3A59%3A00.000Z"))


async def test_an_id_finds_a_person_as_any_other_text_does(opened: Open) -> None:
    """By heyday's own id, and by the id of another system, which may look like it."""
    page = await opened()
    page.allowed.append("404 (Not Found)")
    sought = str(uuid.uuid4())
    zeb, ann = (
        {"id": one, "firstName": name, "email": f"{name}@a.test", "timezone": "UTC"}
        for one, name in ((sought, "Zeb"), (str(uuid.UUID(int=5)), "Ann"))
    )

    async def answer(route: Route) -> None:
        url = route.request.url
        if url.endswith(sought) and "?" not in url:
            await route.fulfill(json=zeb)
        elif "?" not in url:
            await route.fulfill(status=404, content_type="application/problem+json", body="{}")
        else:
            await route.fulfill(json={"items": [ann] if "externalId=" in url else [], "nextCursor": None})

    await page.page.route(lambda url: "/api/v1/users" in url, answer)
    await page.go(f"person?q={sought}")
    await page.says("2 people")

    await page.go(f"person?q={uuid.uuid4()}")
    await page.says("1 person")
    assert await page.page.locator("ul.people a").all_inner_texts() == ["Ann"]

    await page.go("person")
    await page.page.locator("input[type=search]").fill(str(uuid.uuid4()))
    await page.page.keyboard.press("Enter")
    await page.says("1 person")


async def test_an_error_of_the_whole_request_is_shown(opened: Open) -> None:
    """Of no field, as when the database refuses a row. The form can be sent again."""
    page = await opened()
    page.allowed.append("422 (Unprocessable")
    problem = {"title": "Invalid", "errors": [{"field": "", "message": "The database refuses the occasion."}]}
    await page.page.route(
        lambda url: url.endswith("/occasions/name_day"), lambda route: route.fulfill(status=422, json=problem)
    )
    await page.go("occasions")
    await page.page.get_by_label("Code").fill("name_day")
    button = page.page.get_by_role("button", name="Create, not active")
    await button.click()

    await page.says("The database refuses the occasion.")
    await button.wait_for()


async def test_no_key_acts_behind_an_open_dialog(stage: Stage, opened: Open) -> None:
    """Also where nothing of the dialog has the focus, as in some browsers after a click on its text."""
    user = await stage.world.value("select user_id::text from messages where timezone = 'Europe/Rome' limit 1")
    page = await opened()
    await page.go(f"person/{user}")
    await page.page.get_by_role("button", name="Edit").click()
    await page.page.get_by_label("Last name").fill("Shelley")
    await page.page.evaluate("document.activeElement.blur()")

    for key in ("s", "?", "/", "g", "m"):
        await page.page.keyboard.press(key)

    await page.page.get_by_label("Last name").fill("Byron")
    assert await page.page.locator("dialog").count() == 1
    await page.page.get_by_role("button", name="Cancel").click()
    await page.page.wait_for_selector("dialog[open]", state="detached")
    await expect(page.page).to_have_url(re.compile(f"person/{user}$"))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (640, 900), (320, 900), (320, 256)])
async def test_the_bar_shows_every_page_and_hides_no_focus(opened: Open, width: int, height: int) -> None:
    """WCAG 2.2, 2.4.11: a browser scrolls what has the focus to below the bar, where the bar stays."""
    page = await opened(viewport={"width": width, "height": height})
    await page.go("day")

    bar = await page.page.evaluate(
        """() => {
            const [bar, root] = [document.querySelector('.bar'), document.documentElement].map(getComputedStyle);
            const links = [...document.querySelectorAll('.bar a')].map((one) => one.getBoundingClientRect());
            return {
                stays: bar.position === 'sticky' ? document.querySelector('.bar').offsetHeight : 0,
                kept: parseFloat(root.scrollPaddingTop),
                right: Math.max(...links.map((one) => one.right)),
            };
        }"""
    )
    assert bar["stays"] <= bar["kept"]
    assert bar["right"] <= width


async def test_a_number_opens_the_messages_that_it_counts(stage: Stage, opened: Open) -> None:
    """Also where others have the same state, and lie at another time."""
    await stage.world.fetch(
        """
        with of_rome as (
            select id, row_number() over (order by id) as place from messages where timezone = 'Europe/Rome'
        )
        update messages set
            status = case when place = 1 then 'cancelled' else 'failed' end,
            send_at = case when place = 2 then send_at - interval '9 days' else send_at end,
            ended_at = send_at, dead_lettered_at = case when place = 1 then null else send_at end
        from of_rome where messages.id = of_rome.id
        """
    )
    page = await opened()
    await page.go("day")
    await page.says(f"{FAILED - 2} failed")
    numbers = {
        await link.get_attribute("href"): (await link.inner_text()).split()[0]
        for link in await page.page.locator(".sums a, .attention .bad").all()
    }
    assert len(numbers) >= 3, numbers

    for address, number in numbers.items():
        await page.go(str(address).removeprefix("#/"))
        await page.says("essage")
        shown = await page.page.locator(".tools [role=status]").inner_text()
        assert number in shown.split() or shown.startswith("The first"), (address, number, shown)
        assert await page.page.locator("td .cancelled").count() == 0


async def test_the_page_of_somebody_who_was_erased_elsewhere(stage: Stage, opened: Open) -> None:
    """The page no longer shows the name and the address."""
    page = await opened()
    page.allowed.append("404 (Not Found)")
    user = await stage.world.value("select id::text from users where email = '60mary@a.test'")
    await page.go(f"person/{user}")
    await page.says("Mary No 60")

    async with (
        aiohttp.ClientSession(page.origin) as client,
        client.delete(f"/api/v1/users/{user}?erase=true") as answer,
    ):
        assert answer.status == 204

    await page.page.locator("h1", has_text="A deleted user").wait_for()
    assert "60mary@a.test" not in await page.page.inner_text("main")


async def test_a_key_counts_as_soon_as_the_page_is_drawn(opened: Open) -> None:
    """Also before its first frame is shown."""
    page = await opened()
    await page.page.add_init_script("""
        new MutationObserver((_, watcher) => {
            if (!document.querySelector('nav')) return;
            watcher.disconnect();
            document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '?', bubbles: true }));
        }).observe(document, { childList: true, subtree: true });
    """)

    await page.page.goto(f"{page.origin}/console")

    await page.page.get_by_role("dialog", name="Keys and settings").wait_for()


async def test_the_search_follows_its_address(opened: Open) -> None:
    page = await opened()
    await page.go("person?q=mary")
    await page.page.wait_for_selector("ul.people a")
    await page.page.locator("ul.people a").first.focus()

    await page.page.keyboard.press("/")

    await page.says("You see why somebody was greeted")
    assert await page.page.locator("input[type=search]:focus").input_value() == ""


async def test_the_audit_log_says_that_it_rests(stage: Stage, opened: Open) -> None:
    """With added pages it stands still, as any list, until the reader wants it to go on."""
    await stage.world.fetch(
        "insert into audit (key_name, role, action, subject_kind, subject_id)"
        " select 'a test', 'admin', 'job.run', 'job', 'daily' from generate_series(1, 60)"
    )
    page = await opened()
    await page.go("holds")
    await page.page.get_by_role("button", name="Show 50 more").click()
    await page.says("The list rests while you read it.")

    await page.page.get_by_role("button", name="Go on").click()

    await page.page.get_by_text("The list rests").wait_for(state="detached")
    await page.page.get_by_role("button", name="Show 50 more").wait_for()


async def test_a_low_window_is_left_to_the_page(opened: Open) -> None:
    """As a window is at a zoom of 400 %: the bar takes most of it, and goes away with the rest."""
    page = await opened(viewport={"width": 320, "height": 256})
    await page.go("nodes")
    await page.page.wait_for_selector(".card")

    await page.page.evaluate("scrollTo(0, 300)")

    assert await page.page.evaluate("document.querySelector('.bar').getBoundingClientRect().bottom") < 0


async def test_the_limits_of_a_node_have_names(opened: Open) -> None:
    page = await opened()
    await page.go("nodes")

    await page.says("Email concurrency 8 (setting)")


async def test_a_node_dies_while_somebody_watches_a_wave(stage: Stage, opened: Open) -> None:
    """The page of the other node continues: every greeting of the wave ends as sent, and the dead node is shown.

    While both live, the page says in which settings they differ.
    """
    page = await opened()
    await page.go("day")
    nodes = await opened()
    await nodes.go("nodes")
    await nodes.says("Nodes differ in email concurrency: 8, 7")

    await stage.world.clock.set(stage.due)
    await stage.world.accepted(WAVE // 4)
    await stage.other.kill()

    await nodes.says("node-2 died")
    await stage.world.all_end()
    await page.page.locator(".sums .sent dd", has_text=str(WAVE + len(HOSTILE))).wait_for()
    await page.says("node-2 died")
    await stage.world.assert_nobody_was_greeted_twice()
