"""The health of the node, its jobs and paths, and the kinds of problems, as JSON."""

from __future__ import annotations

from typing import ClassVar

from service.api.http.problems import KINDS
from service.api.representations import kinds
from service.api.representations.answers import Answer, Member


class LivenessAnswer(Answer):
    """The event loop turns."""

    status = Member({"type": "string", "const": "ok"})

    example: ClassVar = {"status": "ok"}


class HealthAnswer(Answer):
    """The health of a node in a word."""

    status = Member(kinds.enum(("ok", "degraded", "unavailable")))
    missing = Member(kinds.TEXT, "What is needed and not there.", many=True)

    example: ClassVar = {"status": "ok", "missing": []}


class DetailedHealthAnswer(HealthAnswer):
    """Each server that is looked at is beside these, with `status` `up` or `down` and its figures."""

    others = True

    node = Member(kinds.TEXT, "Its id.")
    outages = Member(kinds.OBJECT, many=True)
    clock = Member(kinds.OBJECT, "Business time, and how far the node's own is from it.")
    tzdata = Member(kinds.TEXT)
    actors = Member(kinds.OBJECT, "The tree of actors, each with its children.")

    example: ClassVar = {
        "status": "degraded",
        "missing": ["redis"],
        "node": "node-1",
        "database": {"status": "up", "schemaVersion": 6, "nodes": ["node-1", "node-2"]},
        "redis": {"status": "down", "reason": "connection refused"},
        "outages": [{"system": "redis", "reason": "connection refused", "seconds": 3.2}],
        "clock": {"now": "2026-12-10T09:00:00.120000Z", "skewSeconds": 0.002, "jumps": 0},
        "tzdata": "2026f",
        "actors": {"name": "node", "kind": "supervisor", "state": "running", "children": []},
    }


class JobResultAnswer(Answer):
    """The result of a job."""

    job = Member(kinds.ref("JobName"))
    result = Member({**kinds.OBJECT, "additionalProperties": kinds.INTEGER})

    example: ClassVar = {"job": "daily", "result": {"ranges": 3}}


class RootAnswer(Answer):
    """The paths of a node."""

    console = Member(kinds.TEXT, "Null: it is switched off.", null=True)
    docs = Member(kinds.TEXT)
    openapi = Member(kinds.TEXT)
    health = Member(kinds.TEXT)

    example: ClassVar = {"console": "/console", "docs": "/docs", "openapi": "/openapi.json", "health": "/health"}


class ProblemKindAnswer(Answer):
    """A kind of problem."""

    type = Member(kinds.TEXT)
    title = Member(kinds.TEXT)
    status = Member(kinds.INTEGER)
    meaning = Member(kinds.TEXT)


ProblemKindAnswer.example = ProblemKindAnswer.json(KINDS["not-found"])
