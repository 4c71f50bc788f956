"""Claims of a segment that a test knows."""

from __future__ import annotations

from shared.jobs import Claim
from shared.store.ledger import Ledger


def claim(ledger: Ledger, segment: str) -> Claim:
    """Claim the next segment, which has to be the given one."""
    held = ledger.claim("tiny-CustomVoice")
    assert held is not None
    assert held.segment_id == segment
    return held
