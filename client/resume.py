"""`narrate resume`: go on with a job or a batch that was left at the server."""

import argparse
from pathlib import Path

from client.batch import is_batch
from client.batches import follow_batch
from client.errors import NarrateError
from client.follow import OUTPUT, follow
from client.job import Job
from client.narrator import Narrator
from client.output import check_writable


def resume(args: argparse.Namespace) -> int:
    """Wait for the job or batch and write what it has become where that was to go."""
    with Narrator(args.url) as narrator:
        if is_batch(args.job):
            if args.output is None:
                raise NarrateError("say where the batch is to be written: -o DIR")
            return follow_batch(narrator, narrator.batch(args.job), args.output)
        job = narrator.job(args.job)
        output = args.output or _noted(job)
        if output is None:
            raise NarrateError("say where the audio is to be written: -o FILE")
        check_writable(output)
        return follow(narrator, job, output)


def _noted(job: Job) -> Path | None:
    """Where the job says that it goes; what lies there is kept, since anybody may have said so."""
    path = (job.raw.get("metadata") or {}).get(OUTPUT)
    if path is None:
        return None
    if Path(path).exists():
        raise NarrateError(f"{path} is there already: -o {path} writes over it")
    return Path(path)
