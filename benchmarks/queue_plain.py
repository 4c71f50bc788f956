"""What many would write: an API that hands jobs to Celery, and asks its result backend for them."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.queue_speech import wav

queue = Celery("plain", broker=os.environ["TTS_REDIS_URL"], backend=os.environ["TTS_REDIS_URL"])
api = FastAPI()


class Asked(BaseModel):
    """A text to be spoken."""

    input: str


@queue.task(bind=True, name="speak")
def speak(self: Celery.Task, _text: str) -> str:
    """Write a WAV and return its path."""
    path = Path(os.environ["RESULTS"], f"{self.request.id}.wav")
    path.write_bytes(wav())
    return str(path)


@api.post("/v1/jobs", status_code=202)
def submit(asked: Asked) -> dict[str, str]:
    """Accept a job."""
    return {"id": speak.delay(asked.input).id}


@api.get("/v1/jobs/{job_id}")
def retrieve(job_id: str) -> dict[str, str]:
    """Return a job as it stands."""
    status = queue.AsyncResult(job_id).state
    return {"id": job_id, "status": "completed" if status == "SUCCESS" else status}
