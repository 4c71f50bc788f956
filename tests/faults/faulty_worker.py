"""A worker that sends itself a signal at a chosen point, as often as a test asks for.

A file `FAULTS/point` with a number in it arms a point; the first worker to come by takes the file.
A text with "poison" in it kills the worker that speaks it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wrong_clock  # noqa: F401 - before whatever reads a clock

from shared.storage import Storage
from shared.store.ledger import Ledger
from worker.__main__ import main
from worker.engine.engine import Engine

FOLDER = Path(os.environ["FAULTS"])


def strike(point: str) -> None:
    taken = FOLDER / f"{point}.{os.getpid()}"
    try:
        (FOLDER / point).rename(taken)
    except FileNotFoundError:
        return
    os.kill(os.getpid(), int(taken.read_text()))


def around(owner: type, name: str, before: str | None, after: str | None) -> None:
    call: Callable[..., Any] = getattr(owner, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        if before:
            strike(before)
        result = call(*args, **kwargs)
        if after and result is not False:
            strike(after)
        return result

    setattr(owner, name, struck)


def poisonable(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submit_or_die(engine: Engine, request: Any) -> Any:
        if "poison" in request.text:
            os.kill(os.getpid(), signal.SIGKILL)
        return submit(engine, request)

    return submit_or_die


around(Ledger, "claim", None, "claimed")
around(Storage, "put", "before-write", "after-write")
around(Ledger, "commit", "before-commit", "after-commit")
Engine.submit = poisonable(Engine.submit)

if __name__ == "__main__":
    sys.exit(main())
