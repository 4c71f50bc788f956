"""An answer that is heard while it is made."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

from api import errors
from api.services import Services
from api.speech.encoder import SoundStream
from api.speech.live_reader import Listener
from api.speech.requests import SpeechRequest
from shared.errors import QueueError, Unavailable
from shared.jobs import Job

FRAME_SAMPLES = 1_920
_log = logging.getLogger(__name__)


class SpokenResponse(StreamingResponse):
    """Begins with the first sound: what fails before has a status of its own.

    What fails later breaks the connection, so that nobody takes a part for the whole.
    """

    body_iterator: AsyncGenerator[bytes, None]

    async def stream_response(self, send: Send) -> None:
        """Send the headers with the first sound, and then the rest as it comes."""
        async with aclosing(self.body_iterator) as sound:
            first = await anext(sound, b"")
            start = {"type": "http.response.start", "status": self.status_code}
            await send(start | {"headers": self.raw_headers})
            await _send(send, first, more=True)
            try:
                async for some in sound:
                    await _send(send, some, more=True)
            except QueueError as error:
                # The server closes a connection whose answer is not complete.
                _log.warning("An answer is broken off: %s", error)
                return
            await _send(send, b"", more=False)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def sound_of(
    job: Job, asked: SpeechRequest, services: Services
) -> AsyncGenerator[bytes, None]:
    """A job as it is spoken, in the format that was asked for; nobody listens on: it is cancelled.

    Raises as `Listener.pcm` does.
    """
    listener = _listener(job, services)
    async with _counted(job, services):
        async for some in _encoded(listener, asked):
            yield some


async def events_of(
    job: Job, asked: SpeechRequest, services: Services
) -> AsyncGenerator[bytes, None]:
    """The same as server-sent events under OpenAI's names.

    Tokens are characters of the text, and codec frames of 80 ms. Raises what fails before the first
    sound; later it is an event.
    """
    listener, has_begun = _listener(job, services), False
    async with _counted(job, services):
        try:
            async for some in _encoded(listener, asked):
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
        heard, frames = len(asked.input), (listener.sent - listener.silent) // FRAME_SAMPLES
        usage = {"input_tokens": heard, "output_tokens": frames, "total_tokens": heard + frames}
        yield _event({"type": "speech.audio.done", "usage": usage})


def _listener(job: Job, services: Services) -> Listener:
    return Listener(
        job,
        redis=services.listeners,
        ledger=services.ledger,
        storage=services.storage,
        storage_threads=services.storage_threads,
    )


async def _encoded(listener: Listener, asked: SpeechRequest) -> AsyncIterator[bytes]:
    """Encode in threads, and only what is asked for: who reads slowly makes it wait."""
    stream = await run_in_threadpool(SoundStream, asked.response_format, asked.speed)
    async for pcm in listener.pcm():
        if some := await run_in_threadpool(stream.add, pcm):
            yield some
    if some := await run_in_threadpool(stream.close):
        yield some


def _event(body: dict[str, object]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


@asynccontextmanager
async def _counted(job: Job, services: Services) -> AsyncIterator[None]:
    """Count who listens to a job: when the last one goes before its end, it is cancelled.

    More than one is there if a request was sent again with its idempotency key.
    """
    with suppress(Unavailable):
        await run_in_threadpool(services.ledger.add_listener, job.id)
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        with CancelScope(shield=True):
            await _leave(job, services)
        raise
    else:
        with suppress(Unavailable):
            await run_in_threadpool(services.ledger.remove_listener, job.id)


async def _leave(job: Job, services: Services) -> None:
    try:
        if await run_in_threadpool(services.ledger.cancel_if_abandoned, job.id):
            _log.info("Nobody listens to %s any more", job.id)
    except Unavailable as error:
        _log.warning("%s is spoken to its end, though nobody listens: %s", job.id, error)
