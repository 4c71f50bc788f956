"""A voice from its upload to its end, over the whole service."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from api.speech.encoder import WAV_HEADER
from client import Narrator
from client.errors import RequestRefused
from client.local.stack import Stack
from tests.support.audio_files import pcm, recording
from tests.support.processes import frozen

pytestmark = pytest.mark.integration

TEXT = "The lamp was lit."
SAID = "Somebody said this while it was recorded."
GREEDY = {"do_sample": False, "subtalker_dosample": False}


def test_a_voice_is_uploaded_spoken_with_twice_and_deleted(
    narrator: Narrator, stack: Stack, tmp_path: Path
) -> None:
    (worker,) = (child for child in stack.worker_children if "tiny-Base" in child.name)
    voice = narrator.add_voice(recording(3.0), "Anna", consent="a test", text=SAID)
    folder = stack.data / "results" / "voices" / voice.id
    spoken = []
    for name in ("one.wav", "two.wav"):
        job = narrator.speak(TEXT, tmp_path / name, voice="Anna", sampling=GREEDY)
        assert (job.status, job.voice, job.task) == ("completed", "Anna", "voice_clone")
        spoken.append(pcm(tmp_path / name).tobytes())
        assert len(list(folder.glob("prompt-*.safetensors"))) == 1
    # The same as if the recording came with the request.
    heard = {"reference": folder / "recording.wav", "reference_text": SAID}
    narrator.speak(TEXT, tmp_path / "direct.wav", task="voice_clone", sampling=GREEDY, **heard)
    spoken.append(pcm(tmp_path / "direct.wav").tobytes())
    with frozen(worker):
        accepted = narrator.submit("Not yet.", task="voice_clone", voice=voice.id, sampling=GREEDY)
        narrator.delete_voice("anna")
        assert not folder.exists()
        with pytest.raises(RequestRefused, match="no voice"):
            narrator.submit(TEXT, task="voice_clone", voice="Anna")
    assert narrator.wait(accepted.id).voice == "Anna"
    assert len(set(spoken)) == 1
    assert not folder.exists()


def test_a_voice_is_previewed_and_spoken_once(narrator: Narrator, stack: Stack) -> None:
    own = narrator.add_voice(recording(3.0), "Preview", consent="a test", text=SAID)
    for name in ("vivian", own.id):
        url = f"{stack.url}/v1/audio/voices/{name}/preview"
        heard = [httpx.post(url) for _ in range(2)]
        assert [answer.status_code for answer in heard] == [200, 200]
        first, second = (answer.content for answer in heard)
        # Heard while it is spoken, it has no length in its header; kept, it has one.
        assert first[WAV_HEADER.size :] == second[WAV_HEADER.size :]
        assert len(first) > 10_000
        assert len({answer.headers["x-job-id"] for answer in heard}) == 1
    narrator.delete_voice(own.id)
    gone = httpx.post(f"{stack.url}/v1/audio/voices/{own.id}/preview")
    assert gone.status_code == 404
