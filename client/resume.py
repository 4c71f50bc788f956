"""`narrate resume`: wait for a job or batch that was submitted before."""

from __future__ import annotations

import argparse
from pathlib import Path

from client.batch import is_batch
from client.batches import follow_batch
from client.errors import NarrateError
from client.follow import OUTPUT_METADATA_KEY, follow
from client.job import Job
from client.narrator import Narrator
from client.output import check_writable


def resume(args: argparse.Namespace) -> int:
    """Wait for the job or batch and write its audio to --output or the path in its metadata."""
    with Narrator(args.url) as narrator:
        if is_batch(args.job):
            if args.output is None:
                raise NarrateError("say where the batch is to be written: -o DIR")
            return follow_batch(narrator, narrator.batch(args.job), args.output)
        job = narrator.job(args.job)
        output = args.output or _output_of(job)
        if output is None:
            raise NarrateError("say where the audio is to be written: -o FILE")
        check_writable(output)
        return follow(narrator, job, output)


def _output_of(job: Job) -> Path | None:
    """The output path in the job's metadata, if there is one.

    Raises NarrateError if the file exists: the metadata may be of another client.
    """
    path = (job.raw.get("metadata") or {}).get(OUTPUT_METADATA_KEY)
    if path is None:
        return None
    if Path(path).exists():
        raise NarrateError(f"{path} is there already: -o {path} writes over it")
    return Path(path)
