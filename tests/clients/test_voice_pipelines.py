"""Frameworks and bridges that speak what language models write."""

from __future__ import annotations

import httpx
import pytest

from api.speech.admission import OPENAI_VOICES
from client.local.ports import free_port
from client.local.stack import Stack
from tests.clients.conftest import FOLDER, Programs, Start, newest_jobs

SILENCE_S = 0.2


def test_a_pipeline_of_pipecat_s(programs: Programs, service: httpx.Client) -> None:
    told = programs.python("pipecat", "pipecat_pipeline.py")
    assert told["errors"] == []
    (job,) = newest_jobs(service, 1)
    # The emoji and the ellipsis after it are no jobs.
    expected = job["audio"]["seconds"] + 2 * SILENCE_S
    assert programs.seconds("spoken.wav") == pytest.approx(expected, abs=0.05)


def test_livekit_s_agents(programs: Programs, service: httpx.Client) -> None:
    told = programs.python("livekit", "livekit_tts.py")
    *plain, faster = newest_jobs(service, 4)
    for name, job in zip(("events", "audio", "pcm"), plain, strict=True):
        assert programs.seconds(f"{name}.wav") == pytest.approx(job["audio"]["seconds"], abs=0.11)
    length = faster["audio"]["seconds"] / 1.1
    assert programs.seconds("instructed.wav") == pytest.approx(length, abs=0.11)
    assert told["refused"] == 400
    assert "no voice 'nobody'" in told["body"]


def test_realtimetts(programs: Programs, service: httpx.Client) -> None:
    told = programs.python("realtimetts", "realtimetts_stream.py")
    jobs = newest_jobs(service, 3)
    assert told["text"] == "The lamp was lit. It went out again! The end was near."
    heard = told["bytes"] / (2 * 24_000)
    assert heard == pytest.approx(sum(job["audio"]["seconds"] for job in jobs), abs=0.05)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, "alloy", id="openai"),
        pytest.param({"TTS_VOICES": "sohee ryan"}, "sohee", id="listed"),
        pytest.param({"TTS_BACKEND": "KOKORO_FASTAPI"}, "aiden", id="ours"),
    ],
)
def test_home_assistant_s_bridge(
    settings: dict[str, str],
    expected: str,
    programs: Programs,
    stack: Stack,
    service: httpx.Client,
    start: Start,
) -> None:
    port = free_port()
    python = FOLDER / "wyoming-openai" / "bin" / "python"
    start(
        "bridge",
        *(python, "-m", "wyoming_openai"),
        port=port,
        WYOMING_URI=f"tcp://127.0.0.1:{port}",
        TTS_OPENAI_URL=f"{stack.url}/v1",
        TTS_MODELS="tts-1",
        **settings,
    )
    told = programs.python("wyoming-openai", "wyoming_speak.py", str(port))
    assert told["voices"][0] == expected
    (job,) = newest_jobs(service, 1)
    assert job["voice"] == OPENAI_VOICES.get(expected, expected)
    assert programs.seconds("spoken.wav") == pytest.approx(job["audio"]["seconds"], abs=0.05)
