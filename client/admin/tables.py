"""Answers of `/v1/admin` as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from client.operator import Answer
from client.terminal import span

NOTHING = "-"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Rows in columns as wide as their widest cell; the last column has no bound."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield line.rstrip()


def _cell(value: object) -> str:
    text = NOTHING if value is None or value == "" else str(value)
    return "".join(char if char.isprintable() else " " for char in text)


def clock(unix_s: float | None) -> str:
    """A time of this machine's zone: `2026-11-30 05:40:12`."""
    if unix_s is None:
        return NOTHING
    return datetime.fromtimestamp(unix_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def queues(body: Answer) -> Iterator[str]:
    """A line for each model."""
    return table(
        ("MODEL", "WORKERS", "WAITING", "HIGH/NORMAL/LOW", "SPOKEN", "OLDEST", "STATE"),
        (
            (
                queue["id"],
                queue["workers"],
                queue["waiting"],
                "/".join(str(count) for count in queue["waiting_by_priority"].values()),
                queue["running"],
                span(queue["oldest_s"]) if queue["waiting"] else None,
                f"paused since {clock(queue['paused_since'])}" if queue["paused_since"] else "open",
            )
            for queue in body["data"]
        ),
    )


def workers(body: Answer) -> Iterator[str]:
    """A line for each worker, and one for each segment that it speaks."""
    head = ("WORKER", "STATE", "SLOTS", "SEGMENTS/MIN", "AUDIO/S", "SINCE", "MODELS")
    lines = table(head, map(_worker, body["data"]))
    yield next(lines)
    for worker, line in zip(body["data"], lines, strict=True):
        yield line
        for segment in worker["running"]:
            attempt = f", attempt {segment['attempt']}" if segment["attempt"] > 1 else ""
            yield (
                f"  speaks {segment['job']}:{segment['segment']}"
                f" since {clock(segment['since'])}{attempt}"
            )


def _worker(worker: Answer) -> Sequence[object]:
    info = worker["info"]
    if info is None:
        told: Sequence[object] = (None, None, None, None, "of an older version")
    else:
        told = (
            f"{len(worker['running'])}/{info['slots']}",
            info["segments_per_minute"],
            info["audio_s_per_s"],
            clock(info["started_at"]),
            f"{', '.join(info['models'])} ({info['precision']} on {info['device']},"
            f" {info['version']}, {info['storage']})",
        )
    return (worker["id"], worker["state"], *told)


def jobs(body: Answer) -> Iterator[str]:
    """A line for each job; the reason is that of its failure."""
    yield from table(
        ("JOB", "OWNER", "STATUS", "PRIORITY", "DONE", "CREATED", "FAILED AT", "TRIES", "REASON"),
        map(_job, body["data"]),
    )
    if body.get("has_more"):
        yield f"older jobs: --after {body['last_id']}"


def _job(job: Answer) -> Sequence[object]:
    failed = job["failed_segment"]
    return (
        job["id"],
        job["owner"],
        job["status"],
        job["priority"],
        f"{job['segments']['completed']}/{job['segments']['total']}",
        clock(job["created_at"]),
        f"segment {failed['segment']}" if failed else None,
        failed["attempts"] if failed else None,
        reason(job),
    )


def reason(job: Answer) -> str | None:
    """The code and message of a job's error, in one line."""
    error = job["error"]
    return f"{error['code']}: {error['message']}" if error else None


def job_details(job: Answer) -> Iterator[str]:
    """A fact a line, then why the job stands where it does."""
    done = job["segments"]
    yield from facts(
        ("job", job["id"]),
        ("name", job["name"]),
        ("owner", job["owner"]),
        ("status", job["status"]),
        ("model", job["model"]),
        ("priority", job["priority"]),
        ("segments", f"{done['completed']} of {done['total']} done, {done['failed']} failed"),
        ("created", clock(job["created_at"])),
        ("ended", clock(job["completed_at"])),
        ("retries", job["retries"]),
        *((("reason", reason(job)),) if job["error"] else ()),
    )
    if failed := job["failed_segment"]:
        yield f"{'failed':<10} segment {failed['segment']}, attempt {failed['attempts']}:"
        yield f"{'':<10} {_cell(failed['text'])}"
    for sentence in job.get("why", ()):
        yield f"{'why':<10} {sentence}"


def facts(*pairs: tuple[str, object]) -> Iterator[str]:
    """A name and a value a line."""
    for name, value in pairs:
        yield f"{name:<10} {_cell(value)}"


def webhooks(body: Answer) -> Iterator[str]:
    """A line for each webhook that was given up."""
    return table(
        ("WEBHOOK", "OWNER", "TYPE", "JOB", "FAILED", "TRIES", "URL", "REASON"),
        (
            (
                event["id"],
                event["owner"],
                event["type"],
                event["job"],
                clock(event["failed_at"]),
                event["attempts"],
                event["url"],
                event["reason"],
            )
            for event in body["data"]
        ),
    )


def owners(body: Answer) -> Iterator[str]:
    """A line for each owner: what is open and was used today, of its limits."""
    return table(
        ("OWNER", "OPEN JOBS", "OPEN CHARACTERS", "OPEN SEGMENTS", "AUDIO TODAY", "LIMITS", "KEYS"),
        (
            (
                owner["owner"],
                owner["open_jobs"],
                owner["open_chars"],
                owner["open_segments"],
                f"{owner['audio_s']:.1f} s",
                ", ".join(f"{name} {most}" for name, most in owner["limits"].items() if most),
                ", ".join(owner["keys"]),
            )
            for owner in body["data"]
        ),
    )


def audit(body: Answer) -> Iterator[str]:
    """A line for each action."""
    return table(
        ("TIME", "KEY", "OWNER", "ACTION", "TARGET", "OUTCOME"),
        (
            (
                clock(entry["at"]),
                entry["key"],
                entry["owner"],
                entry["action"],
                entry["target"],
                entry["outcome"],
            )
            for entry in body["data"]
        ),
    )


def checks(body: Answer) -> Iterator[str]:
    """A line for each part, and one for each of its warnings."""
    for part in body["data"]:
        state = "PROBLEM" if not part["ok"] else "warning" if part["warnings"] else "ok"
        yield f"{part['name']:<9} {state:<8} {part['says']}"
        for warning in part["warnings"]:
            yield f"{'':<18} {warning}"
