"""The client: submit a text, wait for it, fetch the WAV."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import quote
from uuid import uuid4

from client.catalogue import Model, Voice
from client.connection import Connection
from client.errors import JobFailed, NarrateError
from client.job import Job
from client.request import Options, fill_in, request_body
from client.retry import patiently

DEFAULT_URL = "http://127.0.0.1:8000"
LONGEST_POLL_S = 2.0

T = TypeVar("T")


class Narrator:
    """A synchronous client of one server, also a context manager.

    Every request may take `timeout_s` seconds. While a job is waited for or downloaded, the server
    may be away for `patience_s` seconds at a time. Everything raises errors of `client.errors`.
    """

    def __init__(
        self, base_url: str = DEFAULT_URL, *, timeout_s: float = 30.0, patience_s: float = 60.0
    ) -> None:
        self._connection = Connection(base_url, timeout_s)
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
        """Hand in a text and return its job at once; nothing is filled in or tried twice."""
        body = request_body(text, options)
        return self._parse(Job.parse, self._connection.json("POST", "/v1/jobs", json=body))

    def job(self, job_id: str) -> Job:
        """Return the job as it stands."""
        return self._parse(Job.parse, self._connection.json("GET", _path(job_id)))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, unless it has ended, and return it as it then stands."""
        return self._parse(Job.parse, self._connection.json("POST", f"{_path(job_id)}/cancel"))

    def wait(
        self,
        job_id: str,
        on_progress: Callable[[Job], object] | None = None,
        *,
        poll_s: float = 0.2,
    ) -> Job:
        """Return the completed job; JobFailed if it ends otherwise.

        Asks at once, again after `poll_s` seconds, then less and less often, down to every 2 s;
        `on_progress` gets every answer.
        """
        while True:
            job = patiently(lambda: self.job(job_id), self.patience_s)
            if on_progress:
                on_progress(job)
            if job.status == "completed":
                return job
            if job.ended:
                raise JobFailed(job.id, job.status, job.error_message or "", job.error_code)
            time.sleep(poll_s)
            poll_s = max(poll_s, min(1.3 * poll_s, LONGEST_POLL_S))

    def download(self, job_id: str, path: Path | str) -> Path:
        """Write the job's WAV to `path` and return it.

        `path` appears whole or not at all: the bytes go to a file beside it, which is renamed.
        """
        path = Path(path)
        if path.exists() and not path.is_file():  # Renaming over /dev/null would replace it.
            raise NarrateError(f"cannot write {path}: not a regular file")
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            patiently(lambda: self._fetch(job_id, part), self.patience_s)
            os.replace(part, path)
        except OSError as error:
            raise NarrateError(f"cannot write {path}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
        return path

    def models(self) -> list[Model]:
        """Return the models the server knows, with their live workers."""
        body = self._connection.json("GET", "/v1/models")
        return self._parse(lambda body: [Model.parse(entry) for entry in body["data"]], body)

    def voices(self) -> list[Voice]:
        """Return every voice of every model."""
        body = self._connection.json("GET", "/v1/audio/voices")
        return self._parse(lambda body: [Voice.parse(entry) for entry in body["voices"]], body)

    def speak(
        self,
        text: str,
        path: Path | str,
        on_progress: Callable[[Job], object] | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Narrate a text into the WAV file `path`; what is not said is chosen from the models."""
        job = self.submit(text, **fill_in(options, self.models()))
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


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
