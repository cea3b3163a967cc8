"""Responses with problem documents. Commands know problems, too, and need none of the framework."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from service.api.http.json_text import encode
from service.api.http.problems import MEDIA_TYPE, METHOD_NOT_ALLOWED, NOT_FOUND, TOO_LARGE, Kind, Problem

_BY_STATUS = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE, 415: MEDIA_TYPE}


def problem_of_http(error: web.HTTPException) -> Problem:
    """The problem for an error of the framework."""
    phrase = HTTPStatus(error.status).phrase
    kind = _BY_STATUS.get(error.status) or Kind("", error.status, phrase, "")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(kind, kind.meaning or phrase, headers=headers)


def document(problem: Problem, *, path: str, request_id: str) -> web.Response:
    """The response with the problem document."""
    kind = problem.kind
    content: dict[str, object] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": path,
        "requestId": request_id,
        **problem.members,
    }
    if problem.errors:
        content["errors"] = [error.as_json() for error in problem.errors]
    return web.Response(
        body=encode(content), status=kind.status, headers=problem.headers, content_type="application/problem+json"
    )
