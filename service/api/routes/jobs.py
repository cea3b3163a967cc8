"""The route that runs a job now, through the actor whose job it is."""

from __future__ import annotations

from aiohttp import web

from service.api.dependencies import ApiDependencies
from service.api.http.problems import BUSY, NOT_FOUND, Problem
from service.api.http.responses import json_response
from service.api.middleware.principal import principal
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.node import JobResultAnswer
from service.domain.roles import Role
from service.ports import AuditAction


class JobRoutes:
    """Manual triggers."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._jobs = dependencies.jobs
        self._audit = dependencies.ports.audit

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v1/jobs/{job:[^/:]+}:run", self.run)]

    @operation("jobs", "Run a job", role=Role.OPERATE, responses={202: ResponseSpec("What it did.", JobResultAnswer)})
    async def run(self, request: web.Request) -> web.Response:
        """Run a job now. Several runs at once are harmless, because each skips the work that is done."""
        job = self._jobs.get(name := request.match_info["job"])
        if job is None:
            raise Problem(NOT_FOUND, f"There is no such job: expected one of {', '.join(sorted(self._jobs))}.")
        # Before the run, which has many transactions: it may go on after this request.
        await self._audit.record(principal(request), AuditAction.JOB_RUN, [name])
        try:
            result = await job()
        except TimeoutError as error:
            raise Problem(
                BUSY,
                "The job did not end in time; it may go on. Running it again is harmless.",
                headers={"Retry-After": "5"},
            ) from error
        return json_response(JobResultAnswer.json(job=name, result=result), status=202)
