"""The ledger: every job and segment, and each change of their state as one step in Redis.

The keys are named here and in `lua/prelude.lua`. Redis keeps the time: workers' clocks do not
matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, cast

from pydantic import ValidationError
from redis import Redis

from shared.connection import redis_errors
from shared.errors import InvalidRequest, JobNotFound, StaleClaim
from shared.jobs import (
    TRANSITIONS,
    Claim,
    Job,
    SegmentResult,
    SpeechSpec,
    segment_id,
)

SCRIPTS = ("admit", "claim", "renew", "commit", "fail", "release", "reconcile")


def _source(name: str) -> str:
    folder = files("shared") / "lua"
    prelude = (folder / "prelude.lua").read_text("utf-8")
    table = json.dumps({old: sorted(news) for old, news in TRANSITIONS.items()})
    return prelude.replace("@TRANSITIONS@", table) + (folder / f"{name}.lua").read_text("utf-8")


class Ledger:
    """Jobs and segments in Redis; safe to share between threads.

    Every method raises `Unavailable` while Redis is away.
    """

    def __init__(self, redis: Redis, *, lease_s: float, max_attempts: int) -> None:
        self._redis = redis
        self._lease_s = lease_s
        self._max_attempts = max_attempts
        self._scripts = {name: redis.register_script(_source(name)) for name in SCRIPTS}

    def _run(self, name: str, *args: str | int | float) -> Any:
        with redis_errors():
            return self._scripts[name](args=list(args))

    def ping(self) -> None:
        """Return when Redis answers."""
        with redis_errors():
            self._redis.ping()

    def admit(self, job_id: str, spec: SpeechSpec, texts: Sequence[str]) -> None:
        """Accept a job of one segment for each text; from here on it will end, one way or another.

        Raises `InvalidRequest` if the id is taken.
        """
        if not self._run("admit", job_id, spec.model, spec.model_dump_json(), *texts):
            raise InvalidRequest(f"job {job_id!r} exists already", param="id")

    def claim(self, segment: str) -> Claim | None:
        """Take a segment or join for one lease; None when it is done, unknown or held."""
        reply = self._run("claim", segment, self._lease_s, self._max_attempts)
        if reply is None:
            return None
        epoch, attempt, text, spec = reply
        try:
            read = SpeechSpec.model_validate_json(spec)
        except ValidationError:
            reason = "the job was written by another version, which this worker cannot read"
            self._run("fail", segment, epoch, "unreadable_job", reason)
            return None
        return Claim(segment_id=segment, epoch=epoch, attempt=attempt, text=text, spec=read)

    def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Extend the leases of these claims; returns those that no longer hold."""
        held = {(claim.segment_id, claim.epoch): claim for claim in claims}
        pairs = [part for key in held for part in key]
        lost = self._run("renew", self._lease_s, *pairs) if pairs else []
        return [held[segment, int(epoch)] for segment, epoch in _pairs(lost)]

    def commit(self, claim: Claim, result: SegmentResult, *, size_bytes: int = 0) -> str | None:
        """Record a result, once; returns the id of the join when it was the job's last segment.

        Raises `StaleClaim` if another epoch has taken over.
        """
        join = self._run(
            "commit",
            claim.segment_id,
            claim.epoch,
            result.key,
            result.samples,
            int(result.truncated),
            result.batch_size,
            size_bytes,
        )
        if join is None:
            raise StaleClaim(f"{claim.segment_id} epoch {claim.epoch} is no longer held")
        return join or None

    def fail(self, claim: Claim, code: str, message: str) -> None:
        """End the segment and its job as failed; raises `StaleClaim` if another took over."""
        self._fenced("fail", claim, code, message)

    def release(self, claim: Claim) -> None:
        """Hand a segment back untouched; raises `StaleClaim` if another took over."""
        self._fenced("release", claim)

    def _fenced(self, name: str, claim: Claim, *args: str) -> None:
        if not self._run(name, claim.segment_id, claim.epoch, *args):
            raise StaleClaim(f"{claim.segment_id} epoch {claim.epoch} is no longer held")

    def reconcile(self, *, quiet_s: float = 10.0, limit: int = 1_000) -> list[tuple[str, str]]:
        """Take back overdue leases; returns (segment, model) of what must be announced again."""
        reply = self._run("reconcile", quiet_s, self._max_attempts, limit)
        return list(_pairs(reply))

    def job(self, job_id: str) -> Job:
        """The job as it stands; raises `JobNotFound`."""
        with redis_errors():
            fields = cast(dict[str, str], self._redis.hgetall(f"tts:job:{job_id}"))
        if not fields:
            raise JobNotFound(f"no job {job_id!r}", param="job_id")
        fields.pop("model")
        spec = SpeechSpec.model_validate_json(fields.pop("spec"))
        return Job.model_validate({**_gather_batch_sizes(fields), "spec": spec})

    def results(self, job: Job) -> list[SegmentResult]:
        """The results of a job's segments, in order; all must be completed."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for index in range(job.total):
                pipe.hmget(f"tts:segment:{segment_id(job.id, index)}", "key", "samples")
            rows = pipe.execute()
        return [SegmentResult(key=key, samples=int(samples)) for key, samples in rows]


def _gather_batch_sizes(fields: dict[str, str]) -> dict[str, Any]:
    """The counters `batch:N` of a job's hash as one field."""
    sizes = {k[6:]: v for k, v in fields.items() if k.startswith("batch:")}
    rest = {k: v for k, v in fields.items() if not k.startswith("batch:")}
    return rest | {"batch_sizes": sizes}


def _pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(flat[::2], flat[1::2], strict=True)
