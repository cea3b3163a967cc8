"""Runs nginx with deploy/nginx: the files are valid in both setups and show only the intended routes."""

from __future__ import annotations

import asyncio
import io
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from tests.deploy.test_files import ROOT
from tests.servers import install_with_apt, one_process_at_a_time

FOLDER = ROOT / "deploy" / "nginx"


class NotInstalled(Exception):
    """nginx is missing and cannot be installed."""


def program() -> str:
    """Return nginx; as root on Debian install it. Raises NotInstalled: these tests are never skipped."""
    with one_process_at_a_time():
        found = _on_path() or (install_with_apt("nginx-light") and _on_path())
    if not found:
        raise NotInstalled("deploy/nginx is read by nginx itself: install it (on Debian: apt-get install nginx-light)")
    return found


def _on_path() -> str | None:
    # Not on every user's PATH.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def lay(folder: Path, place: str, **changes: str) -> Path:
    """Write the files of one setup into a folder, with a certificate; `changes` replace text of place.conf."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "tls_key")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls_certificate")
    authority.cert_pem.write_to_path(folder / "authority")
    text = (FOLDER / f"{place}.conf").read_text(encoding="utf-8")
    for secrets in ("/run/secrets", "/etc/heyday/secrets"):
        text = text.replace(secrets, str(folder))
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / "place.conf").write_text(text, encoding="utf-8")
    main = (FOLDER / "nginx.conf").read_text(encoding="utf-8")
    main = main.replace(" /tmp/", f" {folder}/").replace("/etc/nginx/place.conf", str(folder / "place.conf"))
    (folder / "nginx.conf").write_text(main, encoding="utf-8")
    return folder / "nginx.conf"


async def nginx(file: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        program(), "-c", str(file), *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.parametrize("place", ["swarm", "servers"])
async def test_nginx_finds_no_mistake(place: str, tmp_path: Path) -> None:
    """nginx would not start, and the old configuration would be gone."""
    process = await nginx(lay(tmp_path, place), "-t", "-q")

    _, told = await process.communicate()

    assert (process.returncode, told) == (0, b"")


async def answer(request: web.Request) -> web.Response:
    return web.json_response({"path": request.path, "for": request.headers.get("X-Forwarded-For")})


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[str]:
    """The address of nginx in front of one living and one dead node, set up as for machines."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with socket.socket() as free, socket.socket() as dead:
        free.bind(("127.0.0.1", 0))
        dead.bind(("127.0.0.1", 0))  # bound, but not listening
        port = free.getsockname()[1]
        nodes = {
            "127.0.0.1:8080": f"127.0.0.1:{dead.getsockname()[1]}",
            "127.0.0.1:8081": f"127.0.0.1:{runner.addresses[0][1]}",
        }
        file = lay(tmp_path, "servers", **nodes)
        file.write_text(
            file.read_text(encoding="utf-8").replace("listen 443", f"listen 127.0.0.1:{port}"), encoding="utf-8"
        )
        free.close()
        process = await nginx(file, "-g", "daemon off; master_process off;")
        try:
            while not await listens(port):
                assert process.returncode is None, await (process.stderr or asyncio.StreamReader()).read()
            yield f"https://localhost:{port}"
        finally:
            process.terminate()
            await process.communicate()
            await runner.cleanup()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.02)
        return False
    writer.close()
    return True


async def test_a_redirect_names_no_host_of_the_request(proxied: str, tmp_path: Path) -> None:
    """Otherwise a forged Host header sends the client to another server."""
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=tmp_path / "authority"))

    async with aiohttp.ClientSession(connector=trust, base_url=proxied) as session:
        answered = await session.get("/api", headers={"Host": "evil.example"}, allow_redirects=False)

    assert (answered.status, answered.headers["Location"]) == (301, "/api/")


async def test_the_api_is_reached_in_tls_while_a_node_is_dead_and_metrics_are_not(proxied: str, tmp_path: Path) -> None:
    """Metrics and details need no key, so they must stay inside."""
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=tmp_path / "authority"))
    shown = [
        "/api/v1/users",
        "/api/v1/users:import",
        "/api/v1/suppressions:import",
        "/docs",
        "/docs/assets",
        "/openapi.json",
        "/problems/not-found",
        "/",
        "/console",
        "/console/main.js",
        "/health",
    ]
    hidden = ["/metrics", "/health/detailed", "/health/ready", "/elsewhere"]

    async with aiohttp.ClientSession(connector=trust, base_url=proxied) as session:
        answered = {path: await (await session.get(path)).json() for path in shown}
        refused = {path: (await session.get(path, headers={"X-Forwarded-For": "6.6.6.6"})).status for path in hidden}

    assert answered == {path: {"path": path, "for": "127.0.0.1"} for path in shown}
    assert refused == dict.fromkeys(hidden, 404)


@pytest.mark.parametrize("path", ["/api/v1/users:import", "/api/v1/suppressions:import"])
async def test_an_import_of_any_size_is_passed_on(proxied: str, tmp_path: Path, path: str) -> None:
    """The node has bounds of its own. Other bodies have 2 MB at most."""
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=tmp_path / "authority"))

    async with aiohttp.ClientSession(connector=trust, base_url=proxied) as session:
        imported = await session.post(path, data=io.BytesIO(bytes(3_000_000)))
        refused = await session.post("/api/v1/users", data=io.BytesIO(bytes(3_000_000)))

    assert (imported.status, refused.status) == (200, 413)
