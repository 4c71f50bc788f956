"""What the front end is measured against: FastAPI in front of Redis, and nothing else.

A route that stores a checked request and puts it into a list, and one that reads it again. The
server is ours, with its sockets: what is compared is what is served.
"""

from __future__ import annotations

import argparse
import json
import os
import uuid

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from redis import Redis

from api.http import server

api = FastAPI()
redis = Redis.from_url(os.environ["TTS_REDIS_URL"], decode_responses=True)


class Job(BaseModel):
    """A job as the bare route takes it."""

    task: str
    voice: str
    input: str


@api.post("/v1/jobs", status_code=202)
def submit(job: Job) -> dict[str, str]:
    """Store a job and queue it, in one round trip."""
    job_id = uuid.uuid4().hex
    with redis.pipeline() as pipe:
        pipe.hset(f"job:{job_id}", mapping={"status": "queued", "spec": job.model_dump_json()})
        pipe.rpush("queue", json.dumps({"id": job_id}))
        pipe.execute()
    return {"id": job_id, "status": "queued"}


@api.get("/v1/jobs/{job_id}")
def poll(job_id: str) -> dict[str, str]:
    """Read it."""
    found: dict[str, str] = redis.hgetall(f"job:{job_id}")
    if not found:
        raise HTTPException(404)
    return {"id": job_id, **found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    server.run(
        "benchmarks.http_bare:api", host="127.0.0.1", access_log=False, **vars(parser.parse_args())
    )
