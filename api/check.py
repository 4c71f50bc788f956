"""Check the configuration: `narrate check`, or `python -m api.check` where Redis is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from api.operations.configuration import CheckedPart, check_all
from shared.errors import QueueError
from shared.settings import Settings
from shared.storage import Storage
from shared.store.connection import connect

EPILOG = """Exit code 1 if a part has a problem, 0 if it has warnings only. It checks what
TTS_REDIS_URL and TTS_STORAGE_URL name, or the `narrate up` that runs on this machine; `narrate
check --data DIR` is about the one that keeps everything in DIR."""


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each part, and exit with 1 if one has a problem."""
    parser = argparse.ArgumentParser(prog="narrate check", description=__doc__, epilog=EPILOG)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    try:
        settings = Settings.load()
        storage = Storage.open(settings.storage_url, makes_folder=False)
        parts = check_all(settings, connect(settings.redis_url, answers_within_s=5), storage)
    except QueueError as error:
        sys.exit(f"narrate: {error}")
    shown = json.dumps(_as_json(parts)) if options.json else "\n".join(_lines(parts))
    sys.stdout.write(shown + "\n")
    sys.exit(any(part.finding.problem for part in parts))


def _lines(parts: Sequence[CheckedPart]) -> list[str]:
    lines = [f"{'settings':<9} ok       every TTS_ variable is known and in its bounds"]
    for part in parts:
        state = "PROBLEM" if part.finding.problem else "warning" if part.finding.warnings else "ok"
        lines.append(f"{part.name:<9} {state:<8} {part.finding.problem or part.says}")
        lines += [f"{'':<18} {warning}" for warning in part.finding.warnings]
    return lines


def _as_json(parts: Sequence[CheckedPart]) -> dict[str, object]:
    return {
        "ok": not any(part.finding.problem for part in parts),
        "parts": [
            {
                "name": part.name,
                "problem": part.finding.problem,
                "says": part.says,
                "warnings": part.finding.warnings,
            }
            for part in parts
        ],
    }


if __name__ == "__main__":
    main()
