"""The route that runs a job now, through the actor whose job it is."""

from __future__ import annotations

from aiohttp import web

from actors.api.answers import answer
from actors.api.documented import Answer, operation
from actors.api.parts import ApiParts
from actors.api.problems import BUSY, NOT_FOUND, Problem


class JobRoutes:
    """Manual triggers."""

    def __init__(self, parts: ApiParts) -> None:
        self._jobs = parts.jobs

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v1/jobs/{job:[^/:]+}:run", self.run)]

    @operation("jobs", "Run a job", answers={202: Answer("What it did.", "JobResult")})
    async def run(self, request: web.Request) -> web.Response:
        """Every job may be run at any time, by several at once: it finds done what was done."""
        job = self._jobs.get(name := request.match_info["job"])
        if job is None:
            raise Problem(NOT_FOUND, f"There is no such job: expected one of {', '.join(sorted(self._jobs))}.")
        try:
            result = await job()
        except TimeoutError as error:
            raise Problem(
                BUSY,
                "The job did not end in time; it may go on. Running it again is harmless.",
                headers={"Retry-After": "5"},
            ) from error
        return answer({"job": name, "result": result}, status=202)
