"""From the body of a job, JSON with the text in it or a form with a file, to its segments."""

from __future__ import annotations

import base64
import binascii
import io
import json
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter
from starlette.datastructures import FormData, UploadFile

from api import documents
from api.documents.reading import ReadingOptions
from api.http.bodies import body_errors, unique_form_fields
from api.http.bounds import check_json
from api.jobs.requests import InputFormat, JobRequest, ReadingFields
from api.jobs.splitting import LONG_BYTES
from api.text.cpu_limit import cpu_limit
from api.text.numbers import LANGUAGES, Normalise, write_numbers
from api.text.segmentation import split
from shared.document import Document, DocumentWarning, Segment
from shared.errors import InvalidRequest, NothingToSpeak, UnsupportedMedia
from shared.images import COVER_ADVICE, picture_of
from shared.settings import Settings

REQUEST_ADAPTER: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
FILE_FIELDS = ("reference", "cover")
# Fields of a form that hold JSON, since a form knows only texts.
NESTED_FIELDS = ("metadata", "sampling", "webhook_events_filter")


@dataclass(frozen=True)
class Submission:
    """A request, and its text with its chapters.

    `live` is the speech request of a client that listens while the text is synthesised. A long text
    comes with its `segments`.
    """

    request: JobRequest
    document: Document
    live: BaseModel | None = None
    segments: list[Segment] | None = None


def read_input(
    text: str, input_format: InputFormat, options: ReadingOptions, max_chars: int
) -> Document:
    """Read the text that a request has in itself; raises `InvalidRequest`."""
    if len(text) > max_chars:
        raise InvalidRequest(
            f"the input has {len(text):,} characters; the most is {max_chars:,}", param="input"
        )
    if input_format is InputFormat.TEXT:
        return documents.prepare(text, options)
    file = io.BytesIO(text.encode("utf-8", "replace"))
    try:
        return documents.read(
            file,
            name=None,
            media_type=input_format.media_type,
            max_chars=max_chars,
            options=options,
        )
    except (InvalidRequest, UnsupportedMedia) as error:
        param = "input" if error.param == "file" else error.param
        raise type(error)(error.message, param=param) from None


def read_file(form: FormData, max_chars: int) -> Document:
    """Read the `file` of a form as its other fields say; raises `InvalidRequest`."""
    fields = unique_form_fields(form)
    sent = fields.get("file")
    if not isinstance(sent, UploadFile):
        raise InvalidRequest("send the text's file as the form's field `file`", param="file")
    said = {name: fields[name] for name in ReadingFields.model_fields if name in fields}
    with body_errors():
        options = ReadingFields.model_validate(said).reading_options
    return documents.read(
        sent.file,
        name=sent.filename,
        media_type=sent.content_type,
        max_chars=max_chars,
        options=options,
    )


def from_json(request: JobRequest, max_chars: int) -> Submission:
    """Read the text that a request has in itself; raises `InvalidRequest`."""
    options = request.reading_options
    document = read_input(request.input, request.input_format, options, max_chars)
    return _submission(request, document)


def _submission(request: JobRequest, document: Document) -> Submission:
    """A submission with its cover, and a warning if the language of its numbers is guessed."""
    if request.normalise is Normalise.NUMBERS and any(map(str.isdecimal, document.text)):
        language = _language(request, document)
        if language not in LANGUAGES:
            guessed = DocumentWarning(
                "number_language_guessed",
                "numbers are written out in the language of the letters beside them, English for "
                "Latin ones: send `language`",
            )
            document = document._replace(warnings=(*document.warnings, guessed))
    if request.cover is not None:
        document = document._replace(details=document.details._replace(cover=_cover(request.cover)))
    return Submission(request, document)


def _cover(sent: str) -> bytes:
    """The picture of a request; raises `InvalidRequest` if it is of no use."""
    encoded = sent.partition(",")[2] if sent.startswith("data:") else sent
    try:
        content = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if picture_of(content) is None:
        raise InvalidRequest(f"the cover is of no use: {COVER_ADVICE}, in base64", param="cover")
    return content


def _language(request: JobRequest, document: Document) -> str:
    """The language of a request in small letters, else that of its document, else `auto`."""
    language = request.language.lower()
    return document.language or language if language == "auto" else language


def _fields(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: _field(name, value)
        for name, value in unique_form_fields(form).items()
        if name != "file"
    }
    said = fields.pop("reference_text", None)
    if "input" in fields:
        raise InvalidRequest("the text comes as `file`; leave input out", param="input")
    if said is not None and "reference" not in fields:
        raise InvalidRequest("reference_text goes with reference", param="reference_text")
    if "reference" in fields:
        fields["reference"] = {"audio": fields["reference"], "text": said}
    return fields


def _field(name: str, value: UploadFile | str) -> Any:
    if isinstance(value, UploadFile):
        if name not in FILE_FIELDS:
            raise InvalidRequest(f"the field {name[:100]!r} is no file", param=name[:100])
        return base64.b64encode(value.file.read()).decode()
    if name not in NESTED_FIELDS:
        return value
    check_json(value.encode("utf-8", "replace"), name)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"write {name} as JSON", param=name) from None


def _validate(content: bytes | dict[str, Any]) -> JobRequest:
    if isinstance(content, bytes):
        check_json(content)
    with body_errors():
        if isinstance(content, dict):
            return REQUEST_ADAPTER.validate_python(content)
        return REQUEST_ADAPTER.validate_json(content, strict=True)


def parse_json(content: bytes, settings: Settings) -> Submission:
    """Parse a JSON body; a long one is split into segments, too."""
    with cpu_limit(settings.max_split_cpu_s):
        sent = from_json(_validate(content), settings.max_input_chars)
        return sent if len(content) <= LONG_BYTES else _with_segments(sent, settings)


def parse_form(form: FormData, settings: Settings) -> Submission:
    """Parse a form: the request's fields, `file`, and perhaps `reference`, a sound file."""
    with cpu_limit(settings.max_split_cpu_s):
        document = read_file(form, settings.max_input_chars)
        request = _validate(_fields(form) | {"input": document.text})
        return _with_segments(_submission(request, document), settings)


def segments_of(request: JobRequest, document: Document, settings: Settings) -> list[Segment]:
    """The segments of a request's text.

    Raises `NothingToSpeak` if there are none, `InvalidRequest` if there are too many, and
    `TooComplex` if it takes too long.
    """
    language = _language(request, document)
    # More than an owner, or the queue, may have open at all could never be admitted.
    most = min(settings.max_segments, settings.max_owner_segments, settings.max_open_segments)
    with cpu_limit(settings.max_split_cpu_s):
        segments = split(
            document.text,
            language,
            settings.max_segment_chars,
            chapters=document.chapters,
            most=most,
        )
        if request.normalise is Normalise.NUMBERS:
            segments = [
                segment._replace(text=write_numbers(segment.text, language)) for segment in segments
            ]
    if not segments:
        raise NothingToSpeak(
            "the input has nothing to speak in it: send a text with letters or digits",
            param="input",
        )
    return segments


def _with_segments(sent: Submission, settings: Settings) -> Submission:
    return replace(sent, segments=segments_of(sent.request, sent.document, settings))
