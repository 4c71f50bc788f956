"""Waiting for pieces of audio with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from api.speech.timed_pieces import TimedPieces
from shared.audio.wav import Pcm

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Source:
    """Pieces of one sample each, after a pause; `ended` says how it was left."""

    def __init__(self, *pauses_s: float, fails: bool = False) -> None:
        self._pauses_s, self._fails = pauses_s, fails
        self.ended = ""

    async def pieces(self) -> AsyncIterator[Pcm]:
        try:
            for number, pause_s in enumerate(self._pauses_s):
                await asyncio.sleep(pause_s)
                yield np.full(1, number, np.int16)
            if self._fails:
                raise ValueError("no more")
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


def value(piece: Pcm | None) -> int | None:
    return None if piece is None else int(piece[0])


async def test_a_piece_that_comes_late_is_the_next_one() -> None:
    pieces = TimedPieces(Source(0, 0.3, 0).pieces())
    assert value(await pieces.next(5)) == 0
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await pieces.next(0.01)
    assert [value(await pieces.next(5)) for _ in range(3)] == [1, 2, None]
    await pieces.aclose()


async def test_all_are_given_if_they_come_in_time() -> None:
    pieces = TimedPieces(Source(0, 0, 0).pieces())
    assert value(await pieces.next(5)) == 0
    found = await pieces.all_within(5)
    assert found is not None
    assert [value(piece) for piece in found] == [1, 2]
    assert await TimedPieces(Source().pieces()).all_within(5) == []


async def test_else_none_is_lost() -> None:
    pieces = TimedPieces(Source(0, 0, 0.3, 0).pieces())
    assert await pieces.all_within(0.1) is None
    assert [value(await pieces.next(5)) for _ in range(5)] == [0, 1, 2, 3, None]


async def test_an_error_comes_in_its_place() -> None:
    pieces = TimedPieces(Source(0, fails=True).pieces())
    assert value(await pieces.next(5)) == 0
    with pytest.raises(ValueError, match="no more"):
        await pieces.all_within(5)
    await pieces.aclose()


async def test_closing_ends_what_is_waited_for() -> None:
    source = Source(0, 60)
    pieces = TimedPieces(source.pieces())
    await pieces.next(5)
    with pytest.raises(TimeoutError):
        await pieces.next(0.01)
    await asyncio.wait_for(pieces.aclose(), 5)
    assert source.ended == "cancelled"
    failing = TimedPieces(Source(0.01, fails=True).pieces())
    await failing.next(5)
    for pieces in (failing, TimedPieces(Source(0.01).pieces())):
        with pytest.raises((TimeoutError, ValueError)):
            await pieces.next(0)
        await asyncio.sleep(0.05)
        await pieces.aclose()  # whatever has come, nothing is left to be complained of
