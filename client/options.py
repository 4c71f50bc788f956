"""The options of a job, their defaults, and the request body."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

from client.errors import NarrateError
from client.models import Model, Voice


class Options(TypedDict, total=False):
    """The options of a job; None is like an absent one.

    `task` is custom_voice, voice_design or voice_clone; if absent it follows from the others.
    `voice` is a model's own, or the id or name of an uploaded one. `reference` is a recording to
    clone instead, a file or its bytes; without `reference_text` only the timbre is taken from it.
    `cover` is a JPEG or PNG, a file or its bytes.
    `notes` is skip or read: whether footnotes are spoken; so is `front_matter`: copyright page,
    index and the like. `images` is skip or alt: whether pictures are described. `chapters` are
    numbers of sections, such as 3-7,9. `normalise` is off or numbers: whether numbers are written
    out as words.
    `priority` is low, normal or high; `webhook` is a URL that gets the events of the job's end.
    """

    task: str | None
    model: str | None
    voice: str | None
    language: str | None
    instructions: str | None
    reference: Path | bytes | None
    reference_text: str | None
    seed: int | None
    sampling: Mapping[str, Any] | None
    metadata: Mapping[str, str] | None
    response_format: str | None
    title: str | None
    author: str | None
    cover: Path | bytes | None
    chapter_files: bool | None
    notes: str | None
    images: str | None
    front_matter: str | None
    chapters: str | None
    normalise: str | None
    priority: str | None
    webhook: str | None


JSON_FIELDS = ("sampling", "metadata")
READING_FIELDS = ("notes", "images", "front_matter", "chapters")
COPIED_FIELDS = (
    *("model", "voice", "language", "instructions", "seed", *JSON_FIELDS),
    *("response_format", "title", "author", "chapter_files", "normalise", *READING_FIELDS),
    *("priority", "webhook"),
)


def request_body(text: str, options: Options) -> dict[str, Any]:
    """The JSON body of `POST /v1/jobs`. Raises NarrateError if the reference is unreadable."""
    body = _fields(options) | {"input": text}
    reference = options.get("reference")
    if reference is not None:
        audio = base64.b64encode(_read(reference)).decode("ascii")
        body["reference"] = {"audio": audio, "text": options.get("reference_text")}
    if (cover := options.get("cover")) is not None:
        body["cover"] = base64.b64encode(_read(cover)).decode("ascii")
    return body


def request_form(name: str, file: BinaryIO, options: Options) -> dict[str, Any]:
    """The form of `POST /v1/jobs` with a file, as arguments for httpx."""
    fields = _fields(options)
    data = {
        key: json.dumps(value) if key in JSON_FIELDS else str(value)
        for key, value in fields.items()
    }
    files: dict[str, Any] = {"file": (name, file)}
    reference = options.get("reference")
    if reference is not None:
        files["reference"] = ("reference", _read(reference))
        if text := options.get("reference_text"):
            data["reference_text"] = text
    if (cover := options.get("cover")) is not None:
        files["cover"] = ("cover", _read(cover))
    return {"data": data, "files": files}


def open_document(document: Path | str | Sequence[Path | str]) -> tuple[str, BinaryIO]:
    """The name and the content of a document; several files are zipped, as one book.

    Raises NarrateError if one cannot be read, or if two of several have one name.
    """
    paths = [Path(each) for each in ([document] if isinstance(document, str | Path) else document)]
    if len(paths) == 1:
        try:
            return paths[0].name, paths[0].open("rb")
        except OSError as error:
            raise NarrateError(f"cannot read {paths[0]}: {error.strerror}") from error
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise NarrateError("two of the files have one name: rename one of them")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.writestr(path.name, read_file(path))
    zipped.seek(0)
    return "chapters.zip", zipped


def _fields(options: Options) -> dict[str, Any]:
    said = {name: value for name in COPIED_FIELDS if (value := options.get(name)) is not None}
    return {"task": options.get("task") or _task(options), **said}


def resolve_options(
    options: Options, models: Sequence[Model], voices: Sequence[Voice] = ()
) -> Options:
    """The options with task, model and voice chosen from those of the server.

    A model that the caller names decides the task, and so does an uploaded voice of `voices`. A
    model with live workers is preferred; the default voice is the model's first. Raises
    NarrateError if no model does the task.
    """
    voice = options.get("voice")
    if voice and any(one.kind == "cloned" and one.matches(voice) for one in voices):
        options = {**options, "task": options.get("task") or "voice_clone"}
    name = str(options.get("model") or "")
    named = [model for model in models if not name or model.matches(name)]
    if name and not named:
        served = ", ".join(model.id for model in models) or "no model"
        raise NarrateError(f"no model {name} at the server; it has: {served}")
    task = options.get("task") or _served_task(options, named, by_name=bool(name))
    able = [model for model in named if model.task == task]
    if not able:
        raise NarrateError(_missing_model_message(task, name))
    model = max(able, key=lambda model: model.workers > 0)  # The first of the best.
    resolved: Options = {**options, "task": task, "model": model.id}
    if task == "custom_voice" and not options.get("voice") and model.voices:
        resolved["voice"] = model.voices[0]
    return resolved


def _task(options: Options) -> str:
    if options.get("reference") is not None:
        return "voice_clone"
    return (
        "voice_design"
        if options.get("instructions") and not options.get("voice")
        else "custom_voice"
    )


def _served_task(options: Options, named: Sequence[Model], *, by_name: bool) -> str:
    tasks = {model.task for model in named}
    if by_name and len(tasks) == 1:
        return tasks.pop()
    task = _task(options)
    can_design = any(model.task == "voice_design" or model.instructions for model in named)
    if task == "voice_design" and named and not can_design:
        raise NarrateError(_missing_model_message(task, ""))
    designers = any(model.task == "voice_design" and model.workers for model in named)
    return "custom_voice" if task == "voice_design" and not designers else task


def _missing_model_message(task: str, name: str | None) -> str:
    if name:
        return f"the model {name} does not do {task}"
    suffix = {"voice_clone": "0.6B-Base", "voice_design": "1.7B-VoiceDesign"}
    model = suffix.get(task, "0.6B-CustomVoice")
    advice = f"wait if it is still loading, or start `narrate up` with --model {model} added"
    return f"no model here does {task} yet: {advice}"


def _read(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else read_file(file)


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises NarrateError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NarrateError(f"cannot read {path}: {error.strerror}") from error
