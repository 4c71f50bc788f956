"""Streaming responses: the audio of a job while it is synthesised, or a short silence."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

from api.http import errors
from api.speech.encoder import SpeechEncoder
from api.speech.requests import SpeechRequest
from shared.audio.fades import pause_samples
from shared.audio.wav import Pcm
from shared.durations import SAMPLES_PER_FRAME
from shared.errors import QueueError

# The audio of a text with nothing to speak in it.
SILENCE_S = 0.2
_log = logging.getLogger(__name__)


class PcmReader(Protocol):
    """Reads samples once; `sent` were returned so far, `silent` of them in pauses."""

    sent: int
    silent: int

    def pcm(self) -> AsyncIterator[Pcm]:
        """Yield the samples, in pieces."""


class SilenceReader:
    """Reads `SILENCE_S` of silence."""

    def __init__(self) -> None:
        self.sent = self.silent = 0

    async def pcm(self) -> AsyncIterator[Pcm]:
        """Yield the samples."""
        self.sent = self.silent = pause_samples(SILENCE_S)
        yield np.zeros(self.sent, np.int16)


class AudioStreamResponse(StreamingResponse):
    """A response whose headers are sent with the first audio.

    An error before that has an HTTP status of its own. An error after it closes the connection, so
    that no client takes a part for the whole.
    """

    body_iterator: AsyncGenerator[bytes, None]

    async def stream_response(self, send: Send) -> None:
        """Send the headers with the first audio, then the remaining chunks as they come."""
        async with aclosing(self.body_iterator) as sound:
            first = await anext(sound, b"")
            start = {"type": "http.response.start", "status": self.status_code}
            await send(start | {"headers": self.raw_headers})
            await _send(send, first, more=True)
            try:
                async for some in sound:
                    await _send(send, some, more=True)
            except QueueError as error:
                # The server closes a connection whose response is incomplete.
                _log.warning("An answer is broken off: %s", error)
                return
            await _send(send, b"", more=False)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


Listening = AbstractAsyncContextManager[PcmReader]


async def audio_chunks(listening: Listening, asked: SpeechRequest) -> AsyncGenerator[bytes, None]:
    """Yield the audio in the requested format; `listening` ends if the client disconnects.

    Raises as the reader does.
    """
    async with listening as reader:
        async for some in _encode(reader, asked):
            yield some


async def sse_chunks(listening: Listening, asked: SpeechRequest) -> AsyncGenerator[bytes, None]:
    """Yield the audio as server-sent events under OpenAI's names.

    Input tokens are characters of the text, output tokens are codec frames of 80 ms. An error
    before the first audio is raised; a later one is an event.
    """
    has_begun = False
    async with listening as reader:
        try:
            async for some in _encode(reader, asked):
                has_begun = True
                audio = base64.b64encode(some).decode()
                yield _event({"type": "speech.audio.delta", "audio": audio})
        except QueueError as error:
            if not has_begun:
                raise
            _log.warning("An answer ends with an error: %s", error)
            yield b"event: error\n" + _event(
                {"type": "error", **errors.body_of(error).model_dump()}
            )
            return
        chars, frames = len(asked.input), (reader.sent - reader.silent) // SAMPLES_PER_FRAME
        usage = {"input_tokens": chars, "output_tokens": frames, "total_tokens": chars + frames}
        yield _event({"type": "speech.audio.done", "usage": usage})


async def _encode(reader: PcmReader, asked: SpeechRequest) -> AsyncIterator[bytes]:
    """Encode in threads, one chunk when the client takes it: a slow client slows the encoder."""
    stream = await run_in_threadpool(SpeechEncoder, asked.response_format, asked.speed)
    async for pcm in reader.pcm():
        if some := await run_in_threadpool(stream.add, pcm):
            yield some
    if some := await run_in_threadpool(stream.close):
        yield some


def _event(body: dict[str, object]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()
