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
from api.speech.encoder import FORMATS_WITH_LENGTH, SpeechEncoder, encode_whole
from api.speech.requests import SpeechRequest
from api.speech.timed_pieces import TimedPieces
from shared.audio.fades import pause_samples
from shared.audio.wav import Pcm
from shared.durations import SAMPLES_PER_FRAME
from shared.errors import QueueError

# Seconds without audio after which something is sent, since proxies give up after 60 s of nothing.
# Once it is heard, a gap of some seconds is waited for: a worker that is lost is replaced.
FIRST_KEEP_ALIVE_S, KEEP_ALIVE_S = 10.0, 30.0
COMMENT = b": keep-alive\n\n"
# Proxies must not buffer the stream.
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# The length of a short text's audio is waited for, from the first audio on: it costs little delay.
MAX_WHOLE_CHARS, WHOLE_WITHIN_S = 200, 0.3
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
    """A response whose headers are sent with the first audio, or what is sent in its stead.

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
    async with listening as reader, aclosing(_encode(reader, asked, fills=True)) as chunks:
        async for some in chunks:
            yield some


async def sse_chunks(listening: Listening, asked: SpeechRequest) -> AsyncGenerator[bytes, None]:
    """Yield the audio as server-sent events under OpenAI's names.

    Input tokens are characters of the text, output tokens are codec frames of 80 ms. An error
    before anything was sent is raised; a later one is an event.
    """
    has_begun = False
    async with listening as reader:
        try:
            async with aclosing(_encode(reader, asked, fills=False)) as chunks:
                async for some in chunks:
                    has_begun = True
                    audio = base64.b64encode(some).decode()
                    delta = _event({"type": "speech.audio.delta", "audio": audio})
                    yield delta if some else COMMENT
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


async def _encode(
    reader: PcmReader, asked: SpeechRequest, *, fills: bool
) -> AsyncGenerator[bytes, None]:
    """Encode in threads, one chunk when the client takes it: a slow client slows the encoder.

    If no audio comes for `FIRST_KEEP_ALIVE_S`, after the first one `KEEP_ALIVE_S`, yields a short
    silence if this `fills` such gaps, else nothing: an empty chunk. A short text that is spoken at
    once is one chunk, of a file that knows its length.
    """
    kind, speed, within_s = asked.response_format, asked.speed, FIRST_KEEP_ALIVE_S
    may_be_whole = kind in FORMATS_WITH_LENGTH and len(asked.input) <= MAX_WHOLE_CHARS
    stream = await run_in_threadpool(SpeechEncoder, kind, speed)
    async with aclosing(TimedPieces(reader.pcm())) as pieces:
        while True:
            try:
                pcm = await pieces.next(within_s)
            except TimeoutError:
                yield await run_in_threadpool(stream.add_silence) if fills else b""
                may_be_whole = False
                continue
            if pcm is None:
                break
            if may_be_whole and (rest := await pieces.all_within(WHOLE_WITHIN_S)) is not None:
                yield await run_in_threadpool(encode_whole, [pcm, *rest], kind, speed)
                return
            may_be_whole, within_s = False, KEEP_ALIVE_S
            if some := await run_in_threadpool(stream.add, pcm):
                yield some
    if some := await run_in_threadpool(stream.close):
        yield some


def _event(body: dict[str, object]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()
