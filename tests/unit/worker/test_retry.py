import threading
import time
from concurrent.futures import CancelledError

import pytest

from shared.errors import Unavailable
from worker import retry
from worker.retry import retry_while_held


def test_patience_ends_with_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_BACKOFF_S", 0.01)
    revoked, calls = threading.Event(), []

    def away() -> None:
        calls.append(time.monotonic())
        if len(calls) == 4:
            revoked.set()
        raise Unavailable("not now")

    with pytest.raises(CancelledError):
        retry_while_held(revoked, away)
    assert len(calls) == 4
    assert calls[3] - calls[2] > calls[1] - calls[0]
    assert retry_while_held(threading.Event(), lambda: 5) == 5
