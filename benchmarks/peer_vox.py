"""vox-tts, an engine in C++ that comes as a wheel, with the same weights.

It is installed in a virtual environment of its own, and converts the checkpoint itself, to 8 bits
(`q8`: blocks of 32 weights with a scale each), the fastest form that passes its own checks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NAME, PRECISION = "vox", "q8"
PACKAGE = "vox-tts==0.19.5"
# It has no batches: more sessions at once share threads, and read the weights each for itself.
SLOTS = (1, 2, 4)
SCRIPT = Path(__file__).with_name("peer_vox_run.py")
SETUP_TIMEOUT_S = 900


class PeerUnavailable(Exception):
    """Raised when the peer cannot be installed, or cannot convert the checkpoint here."""


class Peer:
    """The installed peer and its copy of the weights; runs rows in processes of their own."""

    def __init__(self, python: Path, model: Path) -> None:
        self._python, self._model = python, model

    def measure(self, slots: int, frames: int, threads: int, text: str) -> dict[str, Any]:
        """The row of `slots` requests at once; raises `PeerUnavailable`."""
        options = [str(self._model), str(slots), str(frames), str(threads), text]
        # Isolated: neither this project nor the files beside the script can be imported.
        told = _run([str(self._python), "-I", str(SCRIPT), *options])
        row: dict[str, Any] = json.loads(told)
        return {"system": NAME, "precision": PRECISION, "slots": slots, **row}


@contextmanager
def prepared(checkpoint: Path, folder: Path) -> Iterator[Peer]:
    """The peer, installed under `folder` once, with weights converted for now.

    Raises `PeerUnavailable` with the last line of what failed.
    """
    environment = folder / NAME
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(environment)])
        _run([str(python), "-m", "pip", "install", "--only-binary", ":all:", PACKAGE])
        (environment / "installed").touch()
    with TemporaryDirectory(prefix="weights-", dir=folder) as converted:
        model = Path(converted) / "model.tmod"
        options = ["--dtype", "bf16", "--quant", PRECISION, "--no-hash", "-o", str(model)]
        _run([str(python), "-I", "-m", "vox", "build", "--model", str(checkpoint), *options])
        yield Peer(python, model)


def _run(command: Sequence[str]) -> str:
    """Run a command and return what it printed."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SETUP_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"{PACKAGE} cannot be measured here: {error}") from error
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"]
        raise PeerUnavailable(f"{PACKAGE} cannot be measured here: {said[-1]}")
    return ran.stdout
