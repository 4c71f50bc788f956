import sys
from pathlib import Path

import pytest

from benchmarks import peer_vox
from benchmarks.peer_vox import Peer, PeerUnavailable


def test_peer_that_cannot_be_installed_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho 'ERROR: No matching distribution' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    with (
        pytest.raises(PeerUnavailable, match=r"vox-tts==.*: ERROR: No matching distribution"),
        peer_vox.prepared(tmp_path, tmp_path / "peers"),
    ):
        pass


def test_peer_runs_a_row_in_its_own_python(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf \'{"rtf": 2.5, "told": "%s"}\' "$*"\n')
    python.chmod(0o755)
    row = Peer(python, tmp_path / "model").measure(2, 24, 4, "A text")
    options = f"-I {peer_vox.SCRIPT} {tmp_path / 'model'} 2 24 4 A text"
    assert row == {
        "system": "vox",
        "precision": "q8",
        "slots": 2,
        "rtf": 2.5,
        "told": options,
    }
