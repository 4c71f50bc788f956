"""The client: submit a text or a book, wait for it, fetch the audio."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import quote

from client.errors import JobFailed, NarrateError
from client.files import format_of, write_atomically
from client.http import Connection
from client.models import Batch, BatchResult, Contents, History, Job, Model, Voice
from client.options import (
    READING_FIELDS,
    Options,
    open_document,
    read_file,
    request_body,
    request_form,
    resolve_options,
)
from client.retry import backoff, retry

DEFAULT_URL = "http://127.0.0.1:8000"
MAX_POLL_S = 2.0
VOICES_PATH = "/v1/audio/voices"

T = TypeVar("T")
Book = Path | str | Sequence[Path | str]


class Narrator:
    """A synchronous client of one server, also a context manager.

    `base_url` defaults to NARRATE_URL, then to this machine; `key`, the API key, to NARRATE_KEY.
    Each request may take `timeout_s` seconds. `wait` and `download` retry for up to `patience_s`
    seconds while the server does not answer. Every method raises errors of `client.errors`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
    ) -> None:
        key = key if key is not None else os.environ.get("NARRATE_KEY")
        base_url = base_url or os.environ.get("NARRATE_URL") or DEFAULT_URL
        self._connection = Connection(base_url, timeout_s, key)
        self.base_url = self._connection.base_url
        self.patience_s = patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def submit(self, text: str, **options: Unpack[Options]) -> Job:
        """Submit a text; returns the queued job. Resolves no options and does not retry."""
        body = request_body(text, options)
        return self._parse(Job.parse, self._connection.json("POST", "/v1/jobs", json=body))

    def submit_file(self, book: Book, **options: Unpack[Options]) -> Job:
        """Submit a text, Markdown or EPUB file, or files of chapters; returns the queued job."""
        name, file = open_document(book)
        with file:
            form = request_form(name, file, options)
            return self._parse(Job.parse, self._connection.json("POST", "/v1/jobs", **form))

    def contents(self, book: Book, **options: Unpack[Options]) -> Contents:
        """The contents of a text, Markdown or EPUB file, or of files of chapters; queues nothing.

        Of the options, only those of the reading count: notes, images, front_matter and chapters.
        """
        said = {name: value for name in READING_FIELDS if (value := options.get(name)) is not None}
        name, file = open_document(book)
        with file:
            form = {"data": said, "files": {"file": (name, file)}}
            body = self._connection.json("POST", "/v1/documents", **form)
            return self._parse(Contents.parse, body)

    def submit_batch(
        self, lines: Iterable[Mapping[str, Any]], *, skip_invalid: bool = False
    ) -> Batch:
        """Submit many jobs, `custom_id` and `body` of each; all are accepted, or none.

        With `skip_invalid` the valid ones are accepted, and the results tell of the others.
        """
        made = [{"method": "POST", "url": "/v1/jobs", **line} for line in lines]
        content = "\n".join(map(json.dumps, made))
        headers = {"Content-Type": "application/jsonl"}
        request: dict[str, Any] = {"content": content, "headers": headers}
        if skip_invalid:
            request["params"] = {"on_invalid": "skip"}
        return self._parse(Batch.parse, self._connection.json("POST", "/v1/batches", **request))

    def batch(self, batch_id: str) -> Batch:
        """The batch as it stands."""
        return self._parse(Batch.parse, self._connection.json("GET", _batch_path(batch_id)))

    def cancel_batch(self, batch_id: str) -> Batch:
        """Cancel the jobs of a batch that have not ended; returns the batch."""
        path = f"{_batch_path(batch_id)}/cancel"
        return self._parse(Batch.parse, self._connection.json("POST", path))

    def batch_results(self, batch_id: str) -> list[BatchResult]:
        """The results of the jobs of a batch that have ended, in the batch's order."""
        with self._connection.stream("GET", f"{_batch_path(batch_id)}/output") as response:
            lines = [line for line in response.read().split(b"\n") if line]
        return self._parse(
            lambda body: [BatchResult.parse(json.loads(line)) for line in body], lines
        )

    def job(self, job_id: str) -> Job:
        """The job as it stands."""
        return self._parse(Job.parse, self._connection.json("GET", _path(job_id)))

    def history(self, job_id: str, after: int = 0) -> History:
        """The history of the job, from entry number `after` on."""
        path = f"{_path(job_id)}/history?after={after}"
        return self._parse(History.parse, self._connection.json("GET", path))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, unless it has ended; returns the job."""
        return self._parse(Job.parse, self._connection.json("POST", f"{_path(job_id)}/cancel"))

    def wait(
        self,
        job_id: str,
        on_progress: Callable[[Job], object] | None = None,
        *,
        poll_s: float = 0.2,
    ) -> Job:
        """The job once it is completed. Raises JobFailed if it ends otherwise.

        Polls now, after `poll_s` seconds, then at intervals that grow by 30 % to 2 s. Each answer
        is passed to `on_progress`.
        """
        pauses = backoff(poll_s, MAX_POLL_S, factor=1.3)
        while True:
            job = retry(lambda: self.job(job_id), self.patience_s)
            if on_progress:
                on_progress(job)
            if job.status == "completed":
                return job
            if job.ended:
                raise JobFailed(job.id, job.status, job.error_message or "", job.error_code)
            time.sleep(next(pauses))

    def download(self, job_id: str, path: Path | str) -> Path:
        """Write the job's audio to `path`, in the format that the job was submitted with.

        Atomic: the bytes go to a file beside `path`, which is then renamed.
        """
        return write_atomically(
            Path(path), lambda part: retry(lambda: self._fetch(job_id, part), self.patience_s)
        )

    def models(self) -> list[Model]:
        """The models that the server knows, with the number of their live workers."""
        body = self._connection.json("GET", "/v1/models")
        return self._parse(
            lambda body: [
                Model.parse(entry) for entry in body["data"] if not entry.get("alias_of")
            ],
            body,
        )

    def live_workers(self) -> int:
        """The number of live workers; no key is needed."""
        body = self._connection.json("GET", "/readyz")
        return self._parse(lambda body: int(body["workers"]), body)

    def voices(self) -> list[Voice]:
        """The voices of every model and the uploaded ones."""
        body = self._connection.json("GET", VOICES_PATH)
        return self._parse(lambda body: [Voice.parse(entry) for entry in body["voices"]], body)

    def add_voice(
        self,
        recording: Path | str | bytes | None,
        name: str,
        *,
        consent: str | None = None,
        job: str | None = None,
        text: str | None = None,
        language: str | None = None,
        description: str | None = None,
    ) -> Voice:
        """Upload a recording as a voice called `name`, or keep the voice of a finished `job`.

        `consent` says how the speaker agreed; `text` is the transcript.
        """
        fields = {
            "name": name,
            "consent": consent,
            "job": job,
            "ref_text": text,
            "language": language,
            "description": description,
        }
        sent = {key: value for key, value in fields.items() if value is not None}
        if recording is None:
            body = self._connection.json("POST", VOICES_PATH, json=sent)
            return self._parse(Voice.parse, body)
        content = recording if isinstance(recording, bytes) else read_file(Path(recording))
        files = {"audio_sample": ("recording", content)}
        body = self._connection.json("POST", VOICES_PATH, data=sent, files=files)
        return self._parse(Voice.parse, body)

    def delete_voice(self, voice: str) -> None:
        """Delete an uploaded voice, by its id or name."""
        self._connection.json("DELETE", f"{VOICES_PATH}/{quote(voice, safe='')}")

    def resolve_options(self, options: Options) -> Options:
        """The options with task, model and voice chosen from those of the server."""
        models, voice = self.models(), options.get("voice")
        is_preset = any(voice in model.voices for model in models)
        return resolve_options(options, models, self.voices() if voice and not is_preset else ())

    def speak(
        self,
        text: str,
        path: Path | str,
        on_progress: Callable[[Job], object] | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Narrate a text into the audio file `path`, with `resolve_options`."""
        wanted: Options = {"response_format": format_of(Path(path)), **options}
        job = self.submit(text, **self.resolve_options(wanted))
        return self._finish(job, path, on_progress)

    def narrate(
        self,
        book: Book,
        path: Path | str,
        on_progress: Callable[[Job], object] | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Narrate a file, or files of chapters, into `path`, with `resolve_options`."""
        wanted: Options = {"response_format": format_of(Path(path)), **options}
        job = self.submit_file(book, **self.resolve_options(wanted))
        return self._finish(job, path, on_progress)

    def _finish(
        self, job: Job, path: Path | str, on_progress: Callable[[Job], object] | None
    ) -> Job:
        job = self.wait(job.id, on_progress)
        self.download(job.id, path)
        return job

    def _fetch(self, job_id: str, part: Path) -> None:
        with (
            self._connection.stream("GET", f"{_path(job_id)}/content") as response,
            part.open("wb") as file,
        ):
            for chunk in response.iter_bytes():
                file.write(chunk)

    def _parse(self, parse: Callable[[Any], T], body: Any) -> T:
        try:
            return parse(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NarrateError(f"{self.base_url} answers, but is no narration server") from error


def _batch_path(batch_id: str) -> str:
    return f"/v1/batches/{quote(batch_id, safe='')}"


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
