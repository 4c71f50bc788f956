"""Benchmarks, which nothing else imports, follow the names of what they measure."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.support.paths import ROOT

# It runs in an environment of the peer's own.
OTHER_ENVIRONMENT = {"peer_vox_run"}
NAMES = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - OTHER_ENVIRONMENT


@pytest.mark.parametrize("name", sorted(NAMES))
def test_it_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("TTS_REDIS_URL", "redis://127.0.0.1:1/0")
    importlib.import_module(f"benchmarks.{name}")
