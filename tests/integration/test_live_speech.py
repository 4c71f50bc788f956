"""Speech at once from the whole service, with OpenAI's own package."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import openai
import pytest

from client import Narrator
from client.local.stack import Stack
from client.models import Job
from shared.formats import SpeechFormat
from tests.support.audio_files import pcm, recording

pytestmark = pytest.mark.integration

ASKED = {"model": "tts-1", "input": "The lamp was lit.", "voice": "alloy"}
SHORT = {"seed": 1, "max_new_tokens": 30}


@pytest.fixture
def openai_client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=f"{stack.url}/v1", max_retries=0) as client:
        yield client


def job_of(narrator: Narrator, heard: Any) -> Job:
    return narrator.wait(heard.response.headers["x-job-id"])


def seconds(content: bytes, kind: SpeechFormat) -> float:
    if kind is SpeechFormat.PCM:
        return len(content) / 48_000
    with av.open(io.BytesIO(content)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.mark.parametrize("kind", SpeechFormat)
def test_each_format_is_as_long_as_the_job_s_audio(
    openai_client: openai.OpenAI, narrator: Narrator, kind: SpeechFormat
) -> None:
    asked = ASKED if kind is SpeechFormat.MP3 else ASKED | {"response_format": kind}
    heard = openai_client.audio.speech.create(**asked, extra_body=SHORT)
    assert heard.response.headers["content-type"] == kind.media_type
    audio = job_of(narrator, heard).audio
    assert audio is not None
    assert seconds(heard.content, kind) == pytest.approx(audio.seconds, abs=0.1)


def test_it_is_heard_while_it_is_spoken_and_is_what_is_stored(
    openai_client: openai.OpenAI, narrator: Narrator, tmp_path: Path
) -> None:
    text = "\n\n".join(f"Paragraph {n}. It has [pause 0.1s] some sentences." for n in range(12))
    asked = ASKED | {"input": text, "response_format": "pcm"}
    with openai_client.audio.speech.with_streaming_response.create(**asked) as answer:
        sound = answer.iter_bytes()
        first, job_id = next(sound), answer.headers["x-job-id"]
        assert narrator.job(job_id).status == "in_progress"
        heard = b"".join([first, *sound])
    assert narrator.wait(job_id).segments.total > 12
    stored = pcm(narrator.download(job_id, tmp_path / "a.wav"))
    np.testing.assert_array_equal(np.frombuffer(heard, "<i2"), stored)


def test_twice_as_fast_is_half_as_long(openai_client: openai.OpenAI, narrator: Narrator) -> None:
    asked = ASKED | {"response_format": "pcm", "speed": 2}
    heard = openai_client.audio.speech.create(**asked, extra_body=SHORT)
    audio = job_of(narrator, heard).audio
    assert audio is not None
    assert len(heard.content) / 48_000 == pytest.approx(audio.seconds / 2, rel=0.05)


def test_events_have_the_same_sound_in_them(openai_client: openai.OpenAI) -> None:
    asked = ASKED | {"response_format": "pcm"}
    plain = openai_client.audio.speech.create(**asked, extra_body=SHORT).content
    told = openai_client.audio.speech.create(**asked, stream_format="sse", extra_body=SHORT)
    events = [json.loads(line.removeprefix("data: ")) for line in told.text.splitlines() if line]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == plain
    frames = len(plain) // (2 * 1_920)
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {
        "input_tokens": len(ASKED["input"]),
        "output_tokens": frames,
        "total_tokens": len(ASKED["input"]) + frames,
    }


def test_designed_and_cloned_voices_speak_too(
    openai_client: openai.OpenAI, narrator: Narrator
) -> None:
    speech = openai_client.audio.speech
    design = {"task_type": "VoiceDesign", "language": "English"}
    heard = speech.create(**ASKED, instructions="An old man", extra_body=SHORT | design)
    assert job_of(narrator, heard).task == "voice_design"
    clone = {"ref_audio": base64.b64encode(recording(2.0)).decode(), "x_vector_only_mode": True}
    heard = speech.create(**ASKED, extra_body=SHORT | clone)
    assert job_of(narrator, heard).task == "voice_clone"


def test_refusals_are_the_package_s_own_errors(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"4,096.*/v1/jobs") as refused:
        openai_client.audio.speech.create(**ASKED | {"input": "Long. " * 1_000})
    assert (refused.value.param, refused.value.code) == ("input", "invalid_value")
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.audio.speech.create(**ASKED | {"model": "tts-2"})
    assert (missing.value.param, missing.value.code) == ("model", "model_not_found")


def test_the_asynchronous_client_hears_several_at_once(stack: Stack) -> None:
    async def hear() -> list[bytes]:
        async with openai.AsyncOpenAI(api_key="none", base_url=f"{stack.url}/v1") as client:
            calls = [
                client.audio.speech.create(**ASKED, response_format="pcm", extra_body=SHORT)
                for _ in range(4)
            ]
            return [heard.content for heard in await asyncio.gather(*calls)]

    sounds = asyncio.run(hear())
    assert len(sounds[0]) > 0
    assert len(set(sounds)) == 1
