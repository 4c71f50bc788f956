"""From HTTP to WAV and back: the audio is what qwen-tts itself makes of the same request."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from api.text.segmentation import split
from client import Narrator
from client.errors import JobFailed, RequestRefused
from client.local.stack import Stack
from client.models import Job
from client.options import Options
from tests.support.audio_files import Pcm, as_pcm, assert_same_sound, pcm, recording
from tests.support.processes import frozen
from worker.engine.qwen import Qwen3TTSModel

pytestmark = pytest.mark.integration

Direct = Callable[[str], Qwen3TTSModel]
TEXT = "The lamp was lit."  # The tiny models speak about 0.8 frames a byte.
GREEDY = {"do_sample": False, "subtalker_dosample": False, "max_new_tokens": 60}


def speak(narrator: Narrator, path: Path, text: str = TEXT, **options: Any) -> tuple[Job, Pcm]:
    settled: Options = {"task": "custom_voice", "voice": "vivian", "sampling": GREEDY}
    job = narrator.speak(text, path, **(settled | options))
    return job, pcm(path)


@torch.inference_mode()
def directly(model: Qwen3TTSModel, kind: str, **options: Any) -> Pcm:
    samples, rate = getattr(model, f"generate_{kind}")(**(GREEDY | options))
    assert rate == 24_000
    return as_pcm(samples)


def test_custom_voice_gives_the_samples_of_qwen_tts(
    narrator: Narrator, direct: Direct, tmp_path: Path
) -> None:
    job, made = speak(narrator, tmp_path / "a.wav", voice="ryan", language="english")
    expected = directly(
        direct("tiny-CustomVoice"), "custom_voice", text=TEXT, speaker="ryan", language="english"
    )
    assert_same_sound(made, expected)
    assert (job.status, job.segments.total, job.segments.truncated) == ("completed", 1, 0)
    assert job.audio is not None
    assert job.audio.seconds == pytest.approx(len(made) / 24_000)
    assert np.abs(made).max() > 1_000


def test_voice_design_gives_the_samples_of_qwen_tts(
    narrator: Narrator, direct: Direct, tmp_path: Path
) -> None:
    wish = "An old man, out of breath"
    options = {"task": "voice_design", "voice": None, "instructions": wish}
    _job, made = speak(narrator, tmp_path / "a.wav", language="german", **options)
    expected = directly(
        direct("tiny-VoiceDesign"), "voice_design", text=TEXT, instruct=wish, language="german"
    )
    assert_same_sound(made, expected)


@pytest.mark.parametrize("said", ["Is that what is said in it?", None])
def test_voice_clone_gives_the_samples_of_qwen_tts(
    narrator: Narrator, direct: Direct, tmp_path: Path, said: str | None
) -> None:
    heard = recording(rate=16_000, silence_s=0.5)  # without it, half a second is added
    options = {"task": "voice_clone", "voice": None, "reference": heard, "reference_text": said}
    _job, made = speak(narrator, tmp_path / "a.wav", **options)
    expected = directly(
        direct("tiny-Base"),
        "voice_clone",
        text=TEXT,
        ref_audio=soundfile.read(io.BytesIO(heard), dtype="float32"),
        ref_text=said,
        x_vector_only_mode=said is None,
    )
    assert_same_sound(made, expected)


def test_instructions_reach_the_model(narrator: Narrator, tmp_path: Path) -> None:
    _job, plain = speak(narrator, tmp_path / "a.wav")
    _job, whispered = speak(narrator, tmp_path / "b.wav", instructions="whispering")
    assert not np.array_equal(plain, whispered)


def test_eight_jobs_at_once_share_batches_and_keep_their_own_audio(
    narrator: Narrator, direct: Direct, tmp_path: Path
) -> None:
    texts = [f"{n}: it went " + "on and " * (n % 4) + "on." for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        done = list(
            pool.map(lambda n: speak(narrator, tmp_path / f"{n}.wav", texts[n]), range(len(texts)))
        )
    for text, (_job, made) in zip(texts, done, strict=True):
        expected = directly(direct("tiny-CustomVoice"), "custom_voice", text=text, speaker="vivian")
        assert_same_sound(made, expected)
    assert len({made.tobytes() for _job, made in done}) == len(texts)
    sizes = [size for job, _made in done for size in job.synthesis.batch_sizes]
    assert max(sizes) > 1, sizes
    assert sum(size > 1 for size in sizes) >= 6, sizes


def test_a_long_text_is_spoken_in_segments_and_joined_in_order(
    narrator: Narrator, direct: Direct, tmp_path: Path
) -> None:
    text = "\n\n".join(f"Part {n} is {'very ' * (n % 3)}short." for n in range(6))
    job, made = speak(narrator, tmp_path / "a.wav", text)
    parts = [segment.text for segment in split(text, "auto", 240)]
    assert job.segments.total == job.segments.completed == len(parts) == 6
    model = direct("tiny-CustomVoice")
    expected = [directly(model, "custom_voice", text=part, speaker="vivian") for part in parts]
    pause, fade, at = 14_400, 120, 0  # 0.6 s between paragraphs; 5 ms at the edges
    for part in expected:
        inner = slice(fade, len(part) - fade)
        assert_same_sound(made[at : at + len(part)][inner], part[inner])
        at += len(part)
        assert not made[at : at + pause].any()
        at += pause
    assert at - pause == len(made)
    assert sum(job.synthesis.batch_sizes.values()) == len(parts)


def test_a_seed_makes_sampling_repeatable_whatever_else_runs(
    narrator: Narrator, tmp_path: Path
) -> None:
    sampled = {"max_new_tokens": 30, "temperature": 0.8, "top_k": 40}

    def spoken(number: int, seed: int | None) -> Pcm:
        return speak(narrator, tmp_path / f"{number}.wav", seed=seed, sampling=sampled)[1]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(spoken, range(4), (1, 1, 2, None)))
    np.testing.assert_array_equal(done[0], done[1])
    np.testing.assert_array_equal(done[0], spoken(4, 1))
    assert not np.array_equal(done[2], done[0])
    assert not np.array_equal(done[3], done[0])


def test_a_speech_that_reaches_its_bound_is_reported(narrator: Narrator, tmp_path: Path) -> None:
    job, made = speak(narrator, tmp_path / "a.wav", sampling=GREEDY | {"max_new_tokens": 11})
    assert len(made) == 10 * 1_920
    assert job.segments.truncated == 1


def test_a_refusal_names_the_field(narrator: Narrator) -> None:
    with pytest.raises(RequestRefused, match="vivian") as refused:
        narrator.submit(TEXT, task="custom_voice", voice="nobody")
    assert refused.value.param == "voice"


def test_a_segment_that_cannot_be_spoken_fails_its_job_with_the_reason(
    narrator: Narrator, stack: Stack, tmp_path: Path
) -> None:
    heard = recording(2.0)
    (worker,) = (child for child in stack.worker_children if "tiny-Base" in child.name)
    with frozen(worker):
        job = narrator.submit(TEXT, task="voice_clone", reference=heard)
        stored = stack.data / "results" / "jobs" / job.id / "segments" / "reference"
        assert soundfile.info(stored).duration == 2.5  # with half a second of silence
        stored.write_bytes(b"rot")
    with pytest.raises(JobFailed, match="LibsndfileError"):
        narrator.wait(job.id)
    narrator.speak(TEXT, tmp_path / "a.wav", task="voice_clone", reference=heard)


def test_the_logs_say_what_happened_and_nothing_else(stack: Stack, narrator: Narrator) -> None:
    job = narrator.wait(narrator.submit(TEXT, task="custom_voice", voice="vivian").id)
    lines = read_lines(stack.logs / "worker-tiny-CustomVoice-1.log")
    said = "\n".join(line["message"] for line in lines)
    assert re.search(r"^Loading .*tiny-CustomVoice", said, re.MULTILINE)
    assert re.search(r"^Successfully loaded .* in [\d.]+ s", said, re.MULTILINE)
    assert re.search(
        rf"^Generated audio job={job.id} segment=0 audio=[\d.]+s wall=[\d.]+s RTF=[\d.]+",
        said,
        re.MULTILINE,
    )
    for path in stack.logs.glob("worker-*-1.log"):
        for line in read_lines(path):
            assert line["level"] in ("info", "warning", "error")
            assert line["worker"]


def read_lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of which has to be a JSON object."""
    return [json.loads(line) for line in log.read_text().splitlines()]
