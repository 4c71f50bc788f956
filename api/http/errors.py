"""From our errors to HTTP: a table of statuses, and the shape of every answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from api.http.access_log import add_to_log
from shared.errors import (
    BadRequest,
    Busy,
    Conflict,
    DayQuotaExceeded,
    Forbidden,
    InvalidLines,
    JobNotReady,
    LimitReached,
    NotFound,
    QueueError,
    StorageRefused,
    SynthesisFailed,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from shared.speech_model import Task

T = TypeVar("T")
# Looked up along an error's ancestors: a class that is not named here has its branch's status.
STATUS: dict[type[QueueError], HTTPStatus] = {
    QueueError: HTTPStatus.INTERNAL_SERVER_ERROR,
    BadRequest: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    LimitReached: HTTPStatus.TOO_MANY_REQUESTS,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
# As OpenAI's clients know them.
ERROR_TYPES = {429: "rate_limit_error"}
# By the type of pydantic's error; any other is "invalid_value".
FIELD_CODES = {"missing": "missing_field", "extra_forbidden": "unknown_field"}
ROUTE_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
HEADERS: dict[type[QueueError], dict[str, str]] = {
    JobNotReady: {"x-should-retry": "false"},
    SynthesisFailed: {"x-should-retry": "false"},
    Unauthenticated: {"WWW-Authenticate": "Bearer"},
    Unavailable: {"Retry-After": "5"},
    StorageRefused: {"Retry-After": "60"},
    # No client should try all day long.
    DayQuotaExceeded: {"x-should-retry": "false"},
}


class LineErrorObject(BaseModel):
    """A problem of a line of a batch, by the line's number from 1."""

    line: int
    message: str
    param: str | None
    code: str


class ErrorObject(BaseModel):
    """An error; `param` names the field, `code` is stable.

    `lines` has the problems of a batch's lines, at most 100; other errors have none.
    """

    message: str
    type: str
    param: str | None
    code: str
    lines: list[LineErrorObject] | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorObject


def response(
    status: int, message: str, code: str, param: str | None = None, **headers: str
) -> JSONResponse:
    """An error as an answer."""
    return JSONResponse(_dump(_body(status, message, code, param)), status, headers=headers)


def _dump(body: ErrorBody) -> dict[str, Any]:
    return body.model_dump(exclude=None if body.error.lines else {"error": {"lines"}})


def body_of(error: QueueError) -> ErrorBody:
    """The body of an error that is sent within an answer, after its status."""
    return _body(_status(error), error.message, error.code, error.param)


def _body(status: int, message: str, code: str, param: str | None) -> ErrorBody:
    """The one shape of every error."""
    kind = ERROR_TYPES.get(status, "invalid_request_error")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "server_error"
    return ErrorBody(error=ErrorObject(message=message, type=kind, param=param, code=code))


def _status(error: QueueError) -> int:
    return _nearest(STATUS, error, HTTPStatus.INTERNAL_SERVER_ERROR)


def _nearest(table: Mapping[type[QueueError], T], error: QueueError, default: T) -> T:
    """The entry of an error's class, or of the nearest of its ancestors."""
    return next((table[kind] for kind in type(error).__mro__ if kind in table), default)


def install(app: FastAPI) -> None:
    """Answer every error of the application with an `ErrorBody`."""
    app.exception_handler(QueueError)(lambda _request, error: refusal(error))
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    # The client has gone: only the log of requests gets this answer.
    app.exception_handler(ClientDisconnect)(
        lambda *_: response(499, "the client went before it was answered", "client_gone")
    )


def refusal(error: QueueError) -> JSONResponse:
    """An error as an answer, with its headers; its code is added to the log of requests."""
    add_to_log(code=error.code)
    if isinstance(error, (Unauthenticated, Forbidden)):
        add_to_log(reason=error.message)
    headers = _nearest(HEADERS, error, {})
    if isinstance(error, Busy):
        headers = {**headers, "Retry-After": str(error.retry_after_s)}
    body = body_of(error)
    if isinstance(error, InvalidLines):
        body.error.lines = [LineErrorObject(**each._asdict()) for each in error.lines]
    return JSONResponse(_dump(body), _status(error), headers=headers)


def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    said = first_field_error(error.errors(), within=1)
    return response(400, said.message, said.code, said.param)


class FieldError(NamedTuple):
    """The first problem of a request: a message, a stable code and the field's path."""

    message: str
    code: str
    param: str


def first_field_error(errors: Sequence[Any], *, within: int = 0) -> FieldError:
    """The first of pydantic's errors; its place without the `within` parts before the request.

    A body that is no JSON has no field.
    """
    first = errors[0]
    kind, said = first["type"], first["msg"]
    if kind == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return FieldError(f"the body is not valid JSON: {reason}", "invalid_json", "body")
    # The union's member is no part of what the client wrote.
    path = [str(part) for part in first["loc"][within:] if part not in set(Task)]
    if kind.startswith("union_tag"):
        param = ".".join([*path, "task"])
        return FieldError(f"{param} must be one of {', '.join(Task)}", "invalid_value", param)
    param = ".".join(path) or "body"
    return FieldError(f"{param}: {said}", FIELD_CODES.get(kind, "invalid_value"), param)


def _http(request: Request, error: HTTPException) -> Response:
    if error.status_code == HTTPStatus.NO_CONTENT:
        return Response(status_code=error.status_code, headers=error.headers)
    # FastAPI's own 400 is a body that it could not read.
    param = "body" if error.status_code == HTTPStatus.BAD_REQUEST else None
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response(error.status_code, str(error.detail), code, param, **headers)


def _methods(request: Request) -> set[str]:
    """The methods of a path, over all routes; the router reports only the first match."""
    found = {
        method
        for method in ROUTE_METHODS
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    return found | {"HEAD"} if "GET" in found else found
