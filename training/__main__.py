"""`python -m training FOLDER CHECKPOINT`: every step of the demo voice's training, in order.

Each step goes on from its own files in FOLDER, so that the command can be given again after an
interruption. The vocoder and the talker, which need only the codes, are trained side by side.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

_DURATION = "about four hours on two cores, and 1.5 GB in"


def main() -> None:
    """Run what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="holds the speech and the trainings' states")
    parser.add_argument("checkpoint", type=Path, help="the zip file to write")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(f"Training takes {_DURATION} {args.folder}. Interrupt it as you like: it goes on.")
    _run(args.folder, "corpus")
    _run(args.folder, "codes")
    _run(args.folder, "vocoder", "talker")
    _run(args.folder, "export", arguments=[str(args.checkpoint)])


def _run(folder: Path, *steps: str, arguments: list[str] | None = None) -> None:
    """Run steps side by side, each with a log; exits if one fails."""
    started = time.monotonic()
    running = []
    for step in steps:
        command = [sys.executable, "-u", "-m", f"training.{step}", str(folder), *(arguments or [])]
        log = folder / f"{step}.log"
        print(f"{time.strftime('%H:%M')}  {step}: see {log}", flush=True)
        with log.open("a") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        running.append((step, process))
    failed = [step for step, process in running if process.wait()]
    if failed:
        sys.exit(f"{' and '.join(failed)} failed: the end of its log says why")
    print(f"       {', '.join(steps)}: {(time.monotonic() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
