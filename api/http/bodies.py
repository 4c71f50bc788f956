"""Bodies that the routes read themselves: their media type, their fields and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile

from shared.errors import InvalidRequest, UnsupportedMedia


def media_type_of(request: Request) -> str:
    """The media type of a body; raises `UnsupportedMedia` for one that is not in UTF-8."""
    media_type, said = parse_options_header(request.headers.get("content-type"))
    if said.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise UnsupportedMedia("send the request in UTF-8", param="Content-Type")
    return media_type.decode("latin-1").lower()


@contextmanager
def body_errors() -> Iterator[None]:
    """Raise a `ValidationError` of a body as the `RequestValidationError` that FastAPI raises."""
    try:
        yield
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from None


def unique_form_fields(form: FormData) -> dict[str, UploadFile | str]:
    """The fields of a form by name; raises `InvalidRequest` if one was sent twice."""
    fields: dict[str, UploadFile | str] = {}
    for name, value in form.multi_items():
        if name in fields:
            raise InvalidRequest(f"the field {name[:100]!r} was sent twice", param=name[:100])
        fields[name] = value
    return fields
