"""The answers of tuning, kept from one start of a worker to the next."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import uuid
from collections import UserDict
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from worker.engine.kernels.compiler import processor_lines, sources_digest

_log = logging.getLogger(__name__)


class TuningFile(UserDict[str, str]):
    """Answers by question for this machine, in a JSON file that other machines may share.

    They are known for one processor, number of threads, version of the product and of torch, and
    the kernels' sources. A file that cannot be read or written costs a second at the next start,
    and no more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Virtual machines and ARM processors of one name may have different instructions.
        abilities = processor_lines("flags", "Features", "CPU implementer", "CPU part")
        digest = hashlib.sha256("\n".join(abilities).encode()).hexdigest()[:8]
        self._machine = ", ".join(
            (
                f"{processor_name()} ({digest})",
                f"{torch.get_num_threads()} threads",
                f"torch {torch.__version__}",
                f"version {version('qwen-tts-queue')}",
                f"kernels {sources_digest().hex()[:8]}",
            )
        )
        super().__init__()
        self.data = self._read().get(self._machine, {})  # not by items, which would be written

    def __setitem__(self, question: str, answer: str) -> None:
        super().__setitem__(question, answer)
        whole = self._read() | {self._machine: self.data}
        # Not named by the process's number, which workers in containers have in common.
        draft = self._path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
            draft.replace(self._path)
        except OSError as error:
            _log.debug("Cannot keep %s: %s", self._path, error)
            with suppress(OSError):
                draft.unlink()

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            found: Any = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                machine: {str(question): str(answer) for question, answer in answers.items()}
                for machine, answers in found.items()
            }
        except (OSError, ValueError, AttributeError):  # none yet, or not ours
            return {}


def processor_name() -> str:
    """The name of the processor, as `lscpu` has it, or its architecture."""
    return next(iter(processor_lines("model name")), platform.machine())
