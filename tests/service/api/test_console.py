"""The files of the console, the redirect to it, and the tags for polling."""

from __future__ import annotations

import gzip

import aiohttp
import pytest
from yarl import URL

from service.api_keys import parse_api_keys
from tests.service.api.conftest import Api, Serve

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def test_a_browser_is_led_to_the_console_without_a_key(serve: Serve) -> None:
    """The address is relative, so it works behind a proxy with a prefix, too."""
    api = await serve({"api_keys": parse_api_keys("ops:read:0123456789abcdef")})

    async with api.client.get("/", headers={"Accept": BROWSER}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"], answer.headers["Vary"]) == (303, "console", "Accept")
    async with api.client.get("/", headers={"Accept": BROWSER}) as page:
        assert (page.status, page.url.path, page.content_type) == (200, "/console", "text/html")
    async with api.client.get("/console/") as page:
        assert (page.status, page.url.path) == (200, "/console")


async def test_a_program_is_told_where_everything_is(api: Api) -> None:
    """The answer has the links of RFC 8631, too."""
    async with api.client.get("/") as answer:
        paths = await answer.json()
        links = answer.headers["Link"]

    assert paths == {"console": "/console", "docs": "/docs", "openapi": "/openapi.json", "health": "/health"}
    assert '</openapi.json>; rel="service-desc"' in links
    for path in paths.values():
        async with api.client.get(path) as found:
            assert found.status == 200


async def test_without_the_console_its_files_are_not_found(serve: Serve) -> None:
    """A browser is redirected to the documentation."""
    api = await serve({"console": False})

    for path in ("/console", "/console/", "/console/main.js"):
        assert (await api.call("GET", path))[0] == 404
    assert (await api.call("GET", "/"))[1]["console"] is None
    async with api.client.get("/", headers={"Accept": BROWSER}) as page:
        assert page.url.path == "/docs"


async def test_files_forbid_what_the_console_does_not_need(api: Api) -> None:
    """A name that contains a script must stay text, even if a page has an error."""
    async with api.client.get("/console") as page:
        policy = page.headers["Content-Security-Policy"]
        text = await page.text()

    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "http" not in text  # neither scripts nor styles of other origins


async def test_files_are_kept_until_they_change(api: Api) -> None:
    """A browser asks each time, and loads only changed files, so an update never mixes two versions."""
    plain = {"Accept-Encoding": "identity"}
    async with api.client.get("/console/main.js", headers=plain) as first:
        body = await first.read()
    tag = first.headers["ETag"]
    async with api.client.get("/console/main.js", headers={**plain, "If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        url = f"{api.url}/console/main.js"
        async with client.get(url, headers={"Accept-Encoding": "gzip", "If-None-Match": tag}) as zipped:
            assert gzip.decompress(await zipped.read()) == body

    assert (first.content_type, first.headers["Cache-Control"]) == ("text/javascript", "no-cache")
    assert zipped.headers["ETag"] != tag


@pytest.mark.parametrize("path", ["nothing.js", "../routes/docs.py", "%2e%2e/routes/docs.py", "vendor", "a%00b"])
async def test_no_other_file_is_served(api: Api, path: str) -> None:
    """Names are looked up among the files of the console, and never become paths."""
    url = URL(f"{api.url}/console/{path}", encoded=True)
    async with aiohttp.ClientSession() as client, client.get(url, allow_redirects=False) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("path", ["users", "messages", "holds", "occasions", "me", "audit", "suppressions"])
async def test_everything_that_is_read_has_a_tag(api: Api, path: str) -> None:
    """A client that polls gets a body only after a change."""
    async with api.client.get(f"/api/v1/{path}") as first:
        tag = first.headers["ETag"]
    async with api.client.get(f"/api/v1/{path}", headers={"If-None-Match": tag}) as again:
        body = await again.read()
    for given, status in (({}, 200), ({"If-None-Match": tag}, 304)):
        async with api.client.head(f"/api/v1/{path}", headers=given) as head:
            assert (head.status, head.headers["ETag"]) == (status, tag)

    assert (first.status, again.status, body, again.headers["ETag"]) == (200, 304, b"", tag)


async def test_a_tag_changes_with_the_content(api: Api) -> None:
    """Otherwise a page would never change."""
    async with api.client.get("/api/v1/holds") as before:
        tag = before.headers["ETag"]
    await api.call("POST", "/api/v1/holds", json={"reason": "a test"})

    async with api.client.get("/api/v1/holds", headers={"If-None-Match": tag}) as after:
        assert (after.status, after.headers["ETag"] != tag) == (200, True)
