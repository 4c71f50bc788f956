"""`narrate batch`: many jobs from a file of JSON lines, one audio file for each."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from client import terminal
from client.errors import NarrateError, RequestRefused
from client.files import check_folder
from client.models import Batch, BatchResult
from client.narrator import MAX_POLL_S, Narrator
from client.options import resolve_options
from client.retry import backoff, retry

FIRST_POLL_S = 0.3
MAX_NAME_BYTES = 150  # file systems allow 255; a hash, the suffix and `.part` are added


def batch(args: argparse.Namespace) -> int:
    """Submit the jobs and write each one's audio once it has ended; 1 if any has failed."""
    args.output.mkdir(parents=True, exist_ok=True)
    check_folder(args.output / "audio", args.output)
    with Narrator(args.url) as narrator:
        models, voices = narrator.models(), narrator.voices()
        lines = list(_read(args.file))
        for line in lines:
            body = line["body"]
            line["body"] = {**resolve_options(body, models, voices), **body}
        try:
            sent = narrator.submit_batch(lines, skip_invalid=args.on_invalid == "skip")
        except RequestRefused as refused:
            for wrong in refused.lines[1:]:  # the first one is in the error itself
                terminal.note(wrong)
            raise
        terminal.note(f"Batch {sent.id}: {terminal.counted(sent.total, 'job')}")
        return follow_batch(narrator, sent, args.output)


def follow_batch(narrator: Narrator, sent: Batch, folder: Path) -> int:
    """Write the audio of jobs into `folder` as they end; Ctrl-C leaves the batch running."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        failed = _write_until_ended(narrator, sent.id, folder)
    except KeyboardInterrupt:
        back = f"{terminal.resume_command(narrator.base_url, sent.id)} -o {folder}"
        terminal.note(f"Batch {sent.id} goes on at the server: {back}")
        return 1
    terminal.note(f"{sent.total - failed} of {sent.total} jobs completed")
    return 1 if failed else 0


def _write_until_ended(narrator: Narrator, batch_id: str, folder: Path) -> int:
    """Write results until the batch has ended; returns the number of failed jobs."""
    seen: set[str] = set()
    failed, pauses = 0, backoff(FIRST_POLL_S, MAX_POLL_S, factor=1.3)
    while True:
        # The status is read before the results: once it is final, no result is missing.
        now = retry(lambda: narrator.batch(batch_id), narrator.patience_s)
        if now.ended or now.completed + now.failed > len(seen):
            results = retry(lambda: narrator.batch_results(batch_id), narrator.patience_s)
            for result in results:
                if result.custom_id not in seen:
                    failed += not _write(narrator, result, folder)
            seen.update(result.custom_id for result in results)
        if now.ended:
            return failed
        time.sleep(next(pauses))


def _write(narrator: Narrator, result: BatchResult, folder: Path) -> bool:
    """Write a result's audio; False if the job has failed."""
    if result.job is None or result.job.audio is None:
        terminal.error(f"{result.custom_id}: {result.error}")
        return False
    path = folder / f"{_file_name(result.custom_id)}.{result.job.audio.format}"
    terminal.say(str(narrator.download(result.job.id, path)))
    return True


def _file_name(custom_id: str) -> str:
    """A file name without path separators, of at most 167 bytes.

    A hash is added if characters were replaced or cut: `a/b` and `a:b` become different files.
    """
    plain = re.sub(r"[^\w.-]", "_", custom_id).lstrip(".")
    short = plain.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    if short == custom_id:
        return short
    return f"{short}-{hashlib.sha256(custom_id.encode()).hexdigest()[:16]}"


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file: job requests, bare or wrapped as in OpenAI's Batch API."""
    try:
        content = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NarrateError(f"{path} is not UTF-8 text") from error
    for number, raw in enumerate(content.split("\n"), 1):
        if raw.strip():
            yield _line(raw, f"{path}:{number}", number)


def _line(raw: str, where: str, number: int) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NarrateError(f"{where}: this line is not JSON") from error
    if isinstance(line, Mapping) and "body" not in line:
        line = {"custom_id": f"{number:04}", "body": line}
    if not isinstance(line, Mapping) or not isinstance(line["body"], Mapping):
        raise NarrateError(f"{where}: a line is an object, the request or one with it as body")
    return {"custom_id": f"{number:04}", **line}
