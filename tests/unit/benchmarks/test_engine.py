import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import engine, peer_vox
from worker.model.catalogue import cache_folder

# Writes what it is asked to convert to: its last argument.
CONVERTER = '#!/bin/sh\nfor last; do :; done\necho weights > "$last"\n'
NUMBERS = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installed peer; the handlers of signals are put back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (cache_folder() / "0.6B-CustomVoice").mkdir(parents=True)
    folder = cache_folder().parent / "peers"
    python = folder / peer_vox.NAME / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(CONVERTER)
    python.chmod(0o755)
    (folder / peer_vox.NAME / "installed").touch()
    handlers = [signal.getsignal(number) for number in NUMBERS]
    yield folder
    for number, handler in zip(NUMBERS, handlers, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_leaves_no_weights_of_the_peer(
    peers: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    written = []

    def measure() -> None:
        written.extend(peers.glob("weights-*/model.tmod"))
        signal.raise_signal(number)

    monkeypatch.setattr(engine, "measure_peaks", measure)
    monkeypatch.setattr(sys, "argv", ["engine.py", "--peer", peer_vox.NAME])
    with pytest.raises(SystemExit) as raised:
        engine.main()
    assert raised.value.code == 128 + number
    assert len(written) == 1
    assert not list(peers.glob("weights-*"))
