"""The errors that the client raises.

NarrateError
ServerUnreachable   no answer; transient
RequestRefused      an answer with an error status; transient if 429, 502, 503 or 504
JobFailed           the job ended `failed` or `cancelled`
StartFailed         the local stack cannot start
ChildExited         a process of the local stack ended
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

UNAUTHORIZED = 401
TRANSIENT_STATUSES = frozenset({429, 502, 503, 504})


class NarrateError(Exception):
    """The base class; the message is one line for a terminal.

    `transient` is true if the request may succeed when it is repeated, not before
    `retry_after_s` seconds if the server named them.
    """

    transient = False
    retry_after_s: float | None = None


class ServerUnreachable(NarrateError):
    """Raised when the server gives no answer: nothing listens, or the connection broke."""

    transient = True


class RequestRefused(NarrateError):
    """Raised when the server answers with an error.

    `status` is the HTTP status; `message`, `param` and `code` are of the error body, and so are
    `lines`, what is wrong with lines of a batch: `line 3: …`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        where = f" ({param})" if param and not message.startswith(param) else ""
        if status == UNAUTHORIZED:
            where = "; `narrate` sends the key in NARRATE_KEY"
        super().__init__(f"the server refused: {message}{where}")
        self.message, self.status, self.param, self.code = message, status, param, code
        self.retry_after_s, self.lines = retry_after_s, tuple(lines)
        self.transient = status in TRANSIENT_STATUSES


class JobFailed(NarrateError):
    """Raised when a job ends `failed` or `cancelled` while the client waits for it."""

    def __init__(self, job_id: str, status: str, message: str, code: str | None = None) -> None:
        super().__init__(
            f"job {job_id} {status}: {message}" if message else f"job {job_id} {status}"
        )
        self.job_id, self.status, self.message, self.code = job_id, status, message, code


class StartFailed(NarrateError):
    """Raised when the local stack cannot start: port or folder in use, no Redis, timeout."""


class ChildExited(NarrateError):
    """Raised when a process of the local stack ends unexpectedly."""

    def __init__(self, name: str, exit_code: int, log: Path | None) -> None:
        how = f"with exit code {exit_code}" if exit_code >= 0 else f"on signal {-exit_code}"
        where = f"its log is {log}{_last_line(log)}" if log else "its output is above"
        super().__init__(f"{name} ended {how}: {where}")
        self.name, self.exit_code, self.log = name, exit_code, log


def _last_line(log: Path, within_bytes: int = 4_096) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - within_bytes))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f", which ends with: {last[:300]}" if last else ""
