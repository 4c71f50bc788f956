"""The one shape of every answer that is an error."""

from __future__ import annotations

from pydantic import BaseModel


class ErrorObject(BaseModel):
    """An error; `param` names the field, `code` is stable."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorObject
