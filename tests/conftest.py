"""What every kind of test may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint of the kind asked for, made once a session; leave it as it is."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def find(kind: str) -> Path:
        from worker.checkpoints import make_checkpoint

        path = folder / kind
        return path if path.exists() else make_checkpoint("tiny", kind, path)

    return find
