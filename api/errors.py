"""From our errors to HTTP: one table, one shape."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.schemas import ErrorBody, ErrorObject
from shared.errors import (
    Busy,
    InvalidRequest,
    JobNotFound,
    JobNotReady,
    KeyReused,
    ObjectNotFound,
    Overloaded,
    QueueError,
    QuotaExceeded,
    Unavailable,
    UnsupportedMedia,
)
from shared.jobs import Task

STATUS = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    JobNotFound: HTTPStatus.NOT_FOUND,
    ObjectNotFound: HTTPStatus.NOT_FOUND,
    JobNotReady: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.CONFLICT,
    QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
HEADERS = {
    JobNotReady: {"x-should-retry": "false"},
    Unavailable: {"Retry-After": "5"},
}


def response(
    status: int, message: str, code: str, param: str | None = None, **headers: str
) -> JSONResponse:
    """The one shape of every error."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = ErrorBody(error=ErrorObject(message=message, type=kind, param=param, code=code))
    return JSONResponse(body.model_dump(), status, headers=headers)


def install(app: FastAPI) -> None:
    """Answer every error of the application in that shape."""
    app.exception_handler(QueueError)(_ours)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)


def _ours(_request: Request, error: QueueError) -> JSONResponse:
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = HEADERS.get(type(error), {})
    if isinstance(error, Busy):
        headers = {"Retry-After": str(error.retry_after_s)}
    return response(status, error.message, error.code, error.param, **headers)


def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Name the first field that is wrong; a body that is no JSON has no field."""
    first = error.errors()[0]
    kind, said = first["type"], first["msg"]
    if kind == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return response(400, f"the body is not valid JSON: {reason}", "invalid_json", "body")
    if kind.startswith("union_tag"):
        return response(400, f"task must be one of {', '.join(Task)}", "invalid_value", "task")
    param = ".".join(_path(first["loc"])) or "body"
    return response(400, f"{param}: {said}", _code(kind), param)


def _path(loc: tuple[int | str, ...]) -> list[str]:
    """Where the error is, without "body" and the union's member, which the client never wrote."""
    path = [str(part) for part in loc[1:]]
    return path[1:] if path and path[0] in set(Task) else path


def _code(kind: str) -> str:
    return {"missing": "missing_field", "extra_forbidden": "unknown_field"}.get(
        kind, "invalid_value"
    )


def _http(_request: Request, error: HTTPException) -> JSONResponse:
    # FastAPI's own 400 is a body that it could not read.
    param = "body" if error.status_code == HTTPStatus.BAD_REQUEST else None
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return response(error.status_code, str(error.detail), code, param, **(error.headers or {}))
