"""One fault under test: a service, a client of it, and what must become of everything accepted."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from client import Narrator
from client.errors import NarrateError
from client.models import FINAL_STATUSES, Job
from client.retry import retry
from shared.store.api_keys import ApiKeys
from tests.faults.report import Report, Row
from tests.faults.service import Service, wait_for
from tests.support.api_key_header import bearer

QUICK = os.environ.get("QUICK") == "1"
GREEDY = {"do_sample": False, "subtalker_dosample": False}
SHORT = "A sentence, and not a long one."


def times(whole: int, quick: int) -> int:
    """How often, or how much: in the whole suite, and in the quick one."""
    return quick if QUICK else whole


def long_text(segments: int) -> str:
    """So many segments that a tiny model speaks for some seconds."""
    return "\n\n".join(f"Number {n}: " + "and so it went on " * 6 for n in range(segments))


class Trial:
    """Jobs sent to a service while it suffers; at the end of a row each must have ended well."""

    def __init__(self, service: Service, report: Report, folder: Path) -> None:
        self.service, self._report, self._folder = service, report, folder
        self.narrator = Narrator(service.url)
        self._opened = [self.narrator]
        self.expected: dict[str, str] = {}
        self.narrators: dict[str, Narrator] = {}  # of jobs that are not the trial's own

    def owner(self, name: str) -> tuple[Narrator, dict[str, str]]:
        """A client with a key of its own, and the header of that key."""
        token = ApiKeys(self.service.redis).create(name)[1]
        narrator, headers = Narrator(self.service.url, key=token), bearer(token)
        self._opened.append(narrator)
        # A process that has just read the keys knows a new one within a second.
        models = f"{self.service.url}/v1/models"
        wait_for(lambda: httpx.get(models, headers=headers).status_code != 401, 5)
        return narrator, headers

    def close(self) -> None:
        """Close the connections of all clients."""
        for narrator in self._opened:
            narrator.close()

    @contextmanager
    def row(self, fault: str, within_s: float = 600) -> Iterator[Row]:
        """A row of the report; then all is waited for, and counted."""
        with self._report.row(fault) as row:
            try:
                yield row
                ended = self.wait(self.expected, within_s)
                row.doubled += doubled(ended)
            finally:
                row.lost += self._lost(within_s)

    def _lost(self, within_s: float) -> int:
        """How many of the accepted jobs have not become what they were to, given the time."""
        with suppress(AssertionError, NarrateError):
            self.wait(self.expected, within_s)
        return sum(self._fate(job_id) != expected for job_id, expected in self.expected.items())

    def _fate(self, job_id: str) -> str:
        try:
            return self.job(job_id).status
        except NarrateError as error:
            return str(error)

    def submit(self, text: str, *, ends: str = "completed") -> str:
        """A job of custom voice without chance; returns its id."""
        job = self.narrator.submit(text, task="custom_voice", voice="vivian", sampling=GREEDY)
        self.expected[job.id] = ends
        return job.id

    def submit_patiently(self, text: str) -> str:
        """The same, again and again while the service is away."""
        return retry(lambda: self.submit(text), 120)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, unless it was faster; it is to stay as it then is."""
        self.expected[job_id] = retry(lambda: self.narrator.cancel(job_id), 120).status

    def job(self, job_id: str) -> Job:
        return retry(lambda: self.narrators.get(job_id, self.narrator).job(job_id), 120)

    def wait(self, jobs: Iterable[str], within_s: float = 120) -> list[Job]:
        """Wait until every one of these has ended."""
        deadline_s = time.monotonic() + within_s
        ended = []
        for job_id in list(jobs):
            while (job := self.job(job_id)).status not in FINAL_STATUSES:
                assert time.monotonic() < deadline_s, f"{job_id} is {job.status}"
                time.sleep(0.1)
            ended.append(job)
        return ended

    def sound(self, job_id: str) -> str:
        """The hash of a job's audio."""
        path = self.narrator.download(job_id, self._folder / f"{job_id}.wav")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.unlink()
        return digest

    def undisturbed(self, *texts: str) -> dict[str, str]:
        """The hash of what each text sounds like while nothing happens."""
        jobs = {self.submit(text): text for text in texts}
        self.wait(jobs, within_s=600)
        for job_id in jobs:
            del self.expected[job_id]
        return {text: self.sound(job_id) for job_id, text in jobs.items()}

    def attempts(self, job_id: str) -> int:
        """How often the segments of a job were begun in all."""
        redis = self.service.redis
        total = int(redis.hget(f"tts:job:{job_id}", "total"))
        keys = (f"tts:segment:{job_id}:{n}" for n in range(total))
        return sum(int(redis.hget(key, "attempts")) for key in keys)

    def wait_for_leases(self, at_least: int) -> None:
        """Wait until so many segments are being spoken."""
        wait_for(lambda: self.service.redis.zcard("tts:leases") >= at_least, 60)

    def busy_worker(self, at_least: int = 2) -> tuple[int, dict[str, int]]:
        """A worker in the middle of a batch, and what it holds."""
        found: dict[int, dict[str, int]] = {}

        def look() -> bool:
            for child in self.service.workers:
                held = self.service.held_by(child.pid)
                if len(held) >= at_least:
                    found[child.pid] = held
            return bool(found)

        wait_for(look, 60)
        time.sleep(0.3)  # some frames into it
        pid = next(iter(found))
        return pid, self.service.held_by(pid)


def doubled(ended: Iterable[Job]) -> int:
    """How many segments of completed jobs were committed more than once, or not at all."""
    return sum(
        abs(sum(job.synthesis.batch_sizes.values()) - job.segments.total)
        for job in ended
        if job.status == "completed"
    )


@contextmanager
def meanwhile(work: Callable[[], object], *, every_s: float = 0.0) -> Iterator[None]:
    """Do something again and again in a thread; what it raises is raised at the end."""
    stopping, errors = threading.Event(), list[BaseException]()

    def loop() -> None:
        try:
            while not stopping.wait(every_s):
                work()
        except (AssertionError, NarrateError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
    if errors:
        raise errors[0]
