"""A worker, in which each text with "poison" in it raises an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.__main__ import main
from worker.engine.engine import Engine


def poisonable(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submit_or_fail(engine: Engine, request: Any) -> Any:
        if "poison" in request.text:
            raise ValueError("poisoned")
        return submit(engine, request)

    return submit_or_fail


Engine.submit = poisonable(Engine.submit)  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
