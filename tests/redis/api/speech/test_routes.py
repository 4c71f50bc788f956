"""Speech at once, over HTTP and with OpenAI's own package; the engine's runner is a stub."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import av
import httpx2
import numpy as np
import openai
import pytest
from av.audio.resampler import AudioResampler
from fastapi.testclient import TestClient
from pydantic import ValidationError
from redis import Redis

from api.app import create_app
from api.jobs.model_selection import select_model
from api.jobs.requests import CustomVoice, VoiceClone, VoiceDesign
from api.speech import streaming
from api.speech.admission import OPENAI_VOICES, job_request
from api.speech.encoder import FORMATS_WITH_LENGTH
from api.speech.requests import SpeechRequest
from shared.errors import InvalidRequest, ModelNotFound, Unavailable
from shared.formats import SpeechFormat
from shared.jobs import Sampling, Status
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.ledger import Ledger
from shared.store.workers import ServedModel
from tests.support.audio_files import recording
from tests.support.live_server import serving
from tests.support.processes import wait_until
from tests.support.stub_runner import StubRunner
from tests.support.valid_job import VALID_JOB
from worker.segment_task import SegmentTask

pytestmark = pytest.mark.usefixtures("api")  # its workers, too

ASKED = {"model": "tts-1", "input": "Hello there.", "voice": "alloy"}
RELEASED = ("vivian", "serena", "uncle_fu", "dylan", "eric", "ryan", "aiden", "ono_anna", "sohee")
Serve = Callable[..., AbstractContextManager[str]]


def model(
    name: str, task: Task, *voices: str, follows: bool = True, workers: int = 1
) -> ServedModel:
    card = ModelCard(
        id=name,
        task=task,
        size="0.6B",
        voices=voices,
        languages=("auto", "english"),
        instructions=follows,
    )
    return ServedModel(card, workers)


PLAIN = model("plain", Task.CUSTOM_VOICE, *RELEASED, follows=False)
SMART = model("smart", Task.CUSTOM_VOICE, *RELEASED)
DESIGN = model("design", Task.VOICE_DESIGN)
BASE = model("base", Task.VOICE_CLONE, follows=False)
ALL = [PLAIN, SMART, DESIGN, BASE]
OWN = model("own", Task.CUSTOM_VOICE, "anna", "bert")


def meant(served: list[ServedModel], **asked: Any) -> Any:
    return job_request(SpeechRequest.model_validate(ASKED | asked), served)


@pytest.mark.parametrize(
    "name",
    [
        *(None, "tts-1", "TTS-1-HD", "gpt-4o-mini-tts", "tts-1-1106", "tts-1-hd-1106"),
        *("gpt-4o-mini-tts-2025-12-15", "gpt-4o-tts", "openai/tts-1", "openai/gpt-4o-mini-tts"),
    ],
)
def test_openai_s_models_are_any_that_can_do_it(name: str | None) -> None:
    request = meant(ALL, model=name)
    assert isinstance(request, CustomVoice)
    assert (request.model, request.voice) == ("plain", "vivian")
    assert meant([DESIGN, BASE], model=name, instructions="A child").model == "design"


def test_every_voice_of_openai_s_has_somebody_to_speak_for_it() -> None:
    assert {meant(ALL, voice=name).voice for name in OPENAI_VOICES} == set(RELEASED)
    assert [meant([OWN], voice=name).voice for name in ("alloy", "ash", "Ballad")] == [
        "anna",
        "bert",
        "anna",
    ]
    assert meant([model("o", Task.CUSTOM_VOICE, "anna", "ash")], voice="ash").voice == "ash"
    assert meant(ALL, voice={"id": "ryan"}).voice == "ryan"
    with pytest.raises(InvalidRequest) as refused:
        meant(ALL, voice="nobody")
    assert refused.value.param == "voice"


def test_no_voice_is_the_default_one() -> None:
    assert meant(ALL, voice=None).voice == "vivian"
    assert meant([OWN], voice=None).voice == "anna"


def test_the_voice_chooses_the_model_that_has_it() -> None:
    assert meant([PLAIN, OWN], voice="bert").model == "own"
    assert meant([PLAIN, OWN], voice=" Bert ", model=None).model == "own"
    dead = model("dead", Task.CUSTOM_VOICE, "carl", workers=0)
    assert meant([PLAIN, dead], voice="carl").model == "dead"
    with pytest.raises(InvalidRequest):
        meant([PLAIN, OWN], voice="bert", model="plain")


@pytest.mark.parametrize("name", ["Ono Anna", " ono_anna", "ONO ANNA ", "Uncle_Fu", "\tvivian\n"])
def test_voices_are_known_by_the_name_that_is_shown(name: str) -> None:
    request = meant([PLAIN], voice=name)
    spec = select_model(request, [PLAIN])
    assert spec.voice == name.strip().lower().replace(" ", "_")


def test_sampling_is_as_in_a_job() -> None:
    sent = {"temperature": "0.7", "top_k": "5", "top_p": 0.9, "repetition_penalty": "1"}
    assert meant(ALL, **sent).sampling == Sampling(
        temperature=0.7, top_k=5, top_p=0.9, repetition_penalty=1
    )
    assert meant(ALL, speed="1.5", seed="-1").seed is None
    assert meant(ALL, seed=-1).seed is None
    assert meant(ALL, instruct="softly", instructions="", model=None).instructions == "softly"


def test_instructions_go_to_a_model_that_follows_them() -> None:
    assert meant(ALL, model="gpt-4o-mini-tts", instructions="softly").model == "smart"
    assert meant(ALL, model="gpt-4o-mini-tts", instructions="").model == "plain"


def test_instructions_are_dropped_only_for_openai_s_names() -> None:
    assert meant([PLAIN], model="gpt-4o-mini-tts", instructions="softly").instructions is None
    for name in ("plain", None):
        with pytest.raises(InvalidRequest) as refused:
            meant([PLAIN], model=name, instructions="softly")
        assert refused.value.param == "instructions"


def test_who_lives_is_asked_before_who_does_not() -> None:
    dead = model("dead", Task.CUSTOM_VOICE, *RELEASED, workers=0)
    asked = {"model": "gpt-4o-mini-tts", "instructions": "softly"}
    assert meant([PLAIN, dead], **asked).model == "plain"


def test_the_extensions_of_other_servers_are_understood() -> None:
    design = meant(
        ALL, model=None, task_type="VoiceDesign", instructions="A child", language="English"
    )
    assert isinstance(design, VoiceDesign)
    assert (design.model, design.language) == ("design", "English")
    clone = meant(ALL, ref_audio="UklGRg==", ref_text="Hi.", max_new_tokens=40, seed=3)
    assert isinstance(clone, VoiceClone)
    assert (clone.model, clone.reference.text, clone.seed) == ("base", "Hi.", 3)
    assert clone.sampling.max_new_tokens == 40
    timbre = meant(ALL, ref_audio="UklGRg==", ref_text="Hi.", x_vector_only_mode=True)
    assert timbre.reference.text is None
    assert meant(ALL, model="DESIGN", instructions="A child").task == "voice_design"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"task_type": "VoiceDesign"}, "instructions"),
        ({"task_type": "Base"}, "ref_audio"),
        ({"ref_audio": "UklGRg==", "task_type": "CustomVoice"}, "ref_audio"),
        ({"language": "klingon"}, "language"),
    ],
)
def test_what_is_missing_or_wrong_is_named(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        meant(ALL, **asked)
    assert refused.value.param == param


def test_a_model_that_nobody_serves_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="base, design, plain, smart"):
        meant(ALL, model="whisper-1")
    with pytest.raises(Unavailable):
        meant([])


def test_null_and_unknown_fields_are_as_good_as_nothing() -> None:
    nothing = dict.fromkeys(set(SpeechRequest.model_fields) - {"input", "voice", "model"})
    assert SpeechRequest.model_validate(ASKED | nothing) == SpeechRequest.model_validate(ASKED)
    assert meant(ALL, voice_id="x", stream=True, response_type={"a": 1}).voice == "vivian"
    with pytest.raises(ValidationError):
        SpeechRequest.model_validate(ASKED | {"input": None})


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"input": ""}, 400, "input"),
        ({"input": "x" * 101}, 400, "input"),
        ({"input": "...", "voice": "nobody"}, 400, "voice"),
        ({"input": "...", "model": "whisper-1"}, 404, "model"),
        ({"input": "." * 101}, 400, "input"),
        ({"speed": 0.2}, 400, "speed"),
        ({"speed": 5}, 400, "speed"),
        ({"response_format": "m4b"}, 400, "response_format"),
        ({"stream_format": "websocket"}, 400, "stream_format"),
        ({"voice": {"name": "alloy"}}, 400, "voice"),
        ({"speed": "fast"}, 400, "speed"),
        ({"speed": "5"}, 400, "speed"),
        ({"speed": "1e0"}, 400, "speed"),
        ({"speed": " 1"}, 400, "speed"),
        ({"speed": "nan"}, 400, "speed"),
        ({"speed": True}, 400, "speed"),
        ({"seed": -2}, 400, "seed"),
        ({"seed": "1.5"}, 400, "seed"),
        ({"temperature": 0}, 400, "temperature"),
        ({"top_p": "1.1"}, 400, "top_p"),
        ({"top_k": 0}, 400, "top_k"),
        ({"repetition_penalty": "a"}, 400, "repetition_penalty"),
        ({"instruct": "a", "instructions": "b"}, 400, "instruct"),
        ({"instruct": 0}, 400, "instructions"),
        ({"language": "nl"}, 400, "language"),
        ({"task_type": "Base", "ref_audio": "!"}, 400, "ref_audio"),
        ({"model": "b", "task_type": "CustomVoice"}, 400, "task_type"),
        ({"model": "whisper-1"}, 404, "model"),
    ],
)
def test_refusals_are_proper_errors(
    settings: Settings, change: dict[str, Any], status: int, param: str
) -> None:
    short = settings.model_copy(update={"max_speech_chars": 100})
    with TestClient(create_app(short)) as client:
        answer = client.post("/v1/audio/speech", json=ASKED | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    if len(change.get("input", "")) > 100:
        assert "100" in answer.json()["error"]["message"]
        assert "/v1/jobs" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "text", [".", "…", "---", "🙂", "?!", "€", " \n", "* * *", "\u200b", "[pause 1s]", "🇩🇪_"]
)
def test_a_text_without_words_is_a_short_silence(api: TestClient, redis: Redis, text: str) -> None:
    asked = ASKED | {"input": text, "response_format": "pcm"}
    answer = api.post("/v1/audio/speech", json=asked)
    assert (answer.status_code, answer.content) == (200, bytes(2 * 4_800))
    assert "x-job-id" not in answer.headers
    assert not redis.exists("tts:queues", "tts:jobs")


@pytest.mark.parametrize("kind", list(SpeechFormat))
def test_the_silence_has_the_format_that_was_asked_for(api: TestClient, kind: SpeechFormat) -> None:
    asked = ASKED | {"input": "…", "response_format": kind, "speed": 2}
    answer = api.post("/v1/audio/speech", json=asked)
    assert answer.headers["content-type"] == kind.media_type
    if kind is SpeechFormat.PCM:
        return
    with av.open(io.BytesIO(answer.content)) as file:
        frames = list(file.decode(audio=0))
    seconds = sum(frame.samples / frame.sample_rate for frame in frames)
    assert 0.05 < seconds < 0.25
    # A codec may have noise of one bit or so, but no sound.
    assert max(abs(frame.to_ndarray().astype(float)).max() for frame in frames) < 4


def test_the_silence_is_streamed_as_events_too(api: TestClient) -> None:
    asked = ASKED | {"input": "🙂", "response_format": "pcm", "stream_format": "sse"}
    answer = api.post("/v1/audio/speech", json=asked)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    assert base64.b64decode(events[0]["audio"]) == bytes(9_600)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"] == {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}


@pytest.mark.parametrize("text", ["1", "é", "日", "😀 a", "½", "x" * 100])
def test_one_letter_or_digit_is_spoken(api: TestClient, redis: Redis, text: str) -> None:
    redis.delete("tts:workers:tiny-CustomVoice")  # the refusal shows that it would be a job
    assert api.post("/v1/audio/speech", json=ASKED | {"input": text}).status_code == 503


def test_without_a_live_worker_nobody_is_kept_waiting(api: TestClient, redis: Redis) -> None:
    redis.delete("tts:workers:tiny-CustomVoice")
    answer = api.post("/v1/audio/speech", json=ASKED)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert not redis.exists("tts:queues")


@pytest.fixture
def serve(settings: Settings) -> Serve:
    """The API on a port of this machine; its URL."""

    @contextmanager
    def served(**changes: Any) -> Iterator[str]:
        with serving(settings.model_copy(update=changes)) as url:
            yield f"{url}/v1"

    return served


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, lease_s=30, max_attempts=3)


class Pump:
    """A worker that does what waits next when it is told to."""

    def __init__(self, task: SegmentTask, redis: Redis, pool: ThreadPoolExecutor) -> None:
        self._task, self._redis, self._pool = task, redis, pool

    def speak(self, segments: int = 1) -> Future[None]:
        return self._pool.submit(self._speak, segments)

    def _speak(self, segments: int) -> None:
        for _ in range(segments):
            wait_until(lambda: self._redis.exists("tts:queues"))
            self._task()


@pytest.fixture
def pump(task: SegmentTask, redis: Redis) -> Iterator[Pump]:
    with ThreadPoolExecutor(2) as pool:
        yield Pump(task, redis, pool)


def client_of(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=url, **options)


def decoded(content: bytes, kind: SpeechFormat) -> Any:
    """The samples at 24 kHz, of one channel."""
    if kind is SpeechFormat.PCM:
        return np.frombuffer(content, "<i2")
    resampler = AudioResampler("s16", "mono", 24_000)
    with av.open(io.BytesIO(content)) as file:
        frames = [each for frame in file.decode(audio=0) for each in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def job_ids(redis: Redis) -> list[str]:
    return list(redis.zrange("tts:jobs", 0, -1))


def test_a_live_job_has_a_seed_and_the_sender_s_limits(
    serve: Serve, pump: Pump, runner: StubRunner, ledger: Ledger, redis: Redis
) -> None:
    with serve() as url, client_of(url) as client:
        pump.speak()
        heard = client.audio.speech.create(**ASKED, response_format="pcm")
        assert len(heard.content) == len("Hello there.") * 1_920 * 2
        (job_id,) = job_ids(redis)
        assert heard.response.headers["x-job-id"] == job_id
    assert runner.admitted[0].sampling.seed is not None
    assert ledger.job(job_id).spec.live


@pytest.mark.parametrize(
    ("limit", "error"),
    [("max_open_jobs", openai.RateLimitError), ("max_open_segments", openai.InternalServerError)],
)
def test_the_package_comes_back_when_there_is_room(
    serve: Serve, pump: Pump, ledger: Ledger, redis: Redis, limit: str, error: type[Exception]
) -> None:
    seen: list[int] = []

    def note(answer: httpx2.Response) -> None:
        seen.append(answer.status_code)
        if answer.status_code in (429, 503) and len(seen) > 1:
            ledger.cancel(waiting)
            pump.speak()

    redis.set(f"tts:pace:{int(time.time() // 10)}", 60_000)  # so Retry-After is a second
    hooked = openai.DefaultHttpxClient(event_hooks={"response": [note]})
    with serve(**{limit: 1}) as url, client_of(url, http_client=hooked) as client:
        body = {"task": "custom_voice", "voice": "vivian", "input": "Wait."}
        waiting = httpx2.post(f"{url}/jobs", json=body, headers={"Authorization": "Bearer none"})
        waiting = waiting.json()["id"]
        with pytest.raises(error) as refused:
            client.with_options(max_retries=0).audio.speech.create(**ASKED)
        assert refused.value.response.headers["Retry-After"] == "1"
        assert client.audio.speech.create(**ASKED).content
    assert seen[-1] == 200


def test_what_fails_before_the_first_sound_is_an_error_of_its_own(
    serve: Serve, pump: Pump, runner: StubRunner
) -> None:
    with serve() as url, client_of(url) as client:
        pump.speak()
        with pytest.raises(openai.InternalServerError) as failed:
            client.audio.speech.create(**ASKED | {"input": "bad"})
    assert failed.value.code == "synthesis_failed"
    assert "no voice" in failed.value.message
    assert len(runner.admitted) == 1  # it is of no use to send it again


TWO = ASKED | {"input": "The first one is well.\n\nbad", "response_format": "pcm"}


def test_what_fails_later_breaks_the_connection(serve: Serve, pump: Pump) -> None:
    with serve() as url, client_of(url) as client:
        pump.speak()
        with client.audio.speech.with_streaming_response.create(**TWO) as answer:
            some = answer.iter_bytes()
            assert next(some)
            pump.speak()
            with pytest.raises(httpx2.RemoteProtocolError):
                list(some)


def test_what_fails_later_is_an_event(serve: Serve, pump: Pump) -> None:
    with serve() as url, client_of(url) as client:
        pump.speak()
        asked = TWO | {"stream_format": "sse"}
        with client.audio.speech.with_streaming_response.create(**asked) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            first = json.loads(next(lines).removeprefix("data: "))
            assert first["type"] == "speech.audio.delta"
            assert base64.b64decode(first["audio"])
            pump.speak()
            told = [line for line in lines if line]
    assert told[-2] == "event: error"
    error = json.loads(told[-1].removeprefix("data: "))
    assert (error["type"], error["error"]["code"]) == ("error", "synthesis_failed")


def test_when_nobody_listens_any_more_the_job_is_cancelled(
    serve: Serve, pump: Pump, ledger: Ledger, redis: Redis
) -> None:
    with serve() as url, client_of(url, max_retries=0) as client:
        pump.speak()
        with client.audio.speech.with_streaming_response.create(**TWO) as answer:
            assert next(answer.iter_bytes())
        wait_until(lambda: ledger.job(job_ids(redis)[0]).status == Status.CANCELLED)
        with pytest.raises(openai.APITimeoutError):  # before anything was heard
            client.with_options(timeout=0.5).audio.speech.create(**ASKED)
        wait_until(lambda: ledger.job(job_ids(redis)[-1]).status == Status.CANCELLED)
        assert len(job_ids(redis)) == 2


def test_the_same_request_is_the_same_job_as_long_as_anybody_hears_it(
    serve: Serve, pump: Pump, redis: Redis
) -> None:
    asked = ASKED | {"input": "One.\n\nTwo.", "response_format": "pcm"}
    once = {"extra_headers": {"Idempotency-Key": "k"}}
    with serve() as url, client_of(url) as client, client_of(url) as other:
        speech, another = client.audio.speech, other.audio.speech
        pump.speak()
        with another.with_streaming_response.create(**asked, **once) as heard:
            with speech.with_streaming_response.create(**asked, **once) as gone:
                assert next(gone.iter_bytes())
            wait_until(lambda: redis.get(f"tts:listeners:{job_ids(redis)[0]}") == "1")
            pump.speak()
            sound = heard.read()
        pause = len(sound) - 8 * 1_920 * 2
        assert pause == round(0.6 * 24_000) * 2
        assert speech.create(**asked, **once).content == sound  # when it is long done
        with pytest.raises(openai.ConflictError) as reused:
            speech.create(**asked | {"response_format": "mp3"}, **once)
        assert reused.value.code == "idempotency_key_reused"
    assert len(job_ids(redis)) == 1


def test_a_request_whose_listener_left_is_another_job_when_it_is_sent_again(
    serve: Serve, pump: Pump, redis: Redis
) -> None:
    once = {"extra_headers": {"Idempotency-Key": "k"}}
    with serve() as url, client_of(url, max_retries=0) as client:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.5).audio.speech.create(**ASKED, **once)
        wait_until(lambda: not redis.exists("tts:queues"))
        pump.speak()
        assert client.audio.speech.create(**ASKED, **once).content
    assert len(job_ids(redis)) == 2


def told_samples(content: bytes, kind: SpeechFormat) -> int | None:
    """The length that the header of a file tells; None if it is unknown."""
    if kind is SpeechFormat.WAV:
        told = int.from_bytes(content[40:44], "little")
        return None if told == 2**32 - 1 else told // 2
    return int.from_bytes(content[18:26], "big") & (2**36 - 1) or None


@pytest.mark.parametrize("kind", FORMATS_WITH_LENGTH)
def test_a_short_text_that_is_spoken_at_once_has_its_length(
    serve: Serve, pump: Pump, monkeypatch: pytest.MonkeyPatch, kind: SpeechFormat
) -> None:
    monkeypatch.setattr(streaming, "WHOLE_WITHIN_S", 20.0)
    asked, audio = ASKED | {"response_format": kind.value}, len("Hello there.") * 1_920
    with serve() as url, client_of(url) as client:
        pump.speak()
        content = client.audio.speech.create(**asked).content
        assert told_samples(content, kind) == len(decoded(content, kind)) == audio
        monkeypatch.setattr(streaming, "MAX_WHOLE_CHARS", len("Hello there.") - 1)
        pump.speak()
        long = client.audio.speech.create(**asked).content
        assert (told_samples(long, kind), len(decoded(long, kind))) == (None, audio)
        monkeypatch.undo()
        # Two segments, of which the second is not spoken in time.
        two = asked | {"input": "One.\n\nTwo."}
        pump.speak()
        with client.audio.speech.with_streaming_response.create(**two) as answer:
            chunks = answer.iter_bytes()
            begun = next(chunks)
            pump.speak()
            late = begun + b"".join(chunks)
        assert told_samples(late, kind) is None
        assert len(decoded(late, kind)) == 8 * 1_920 + round(0.6 * 24_000)


@pytest.mark.parametrize("kind", FORMATS_WITH_LENGTH)
def test_silence_has_its_length(api: TestClient, kind: SpeechFormat) -> None:
    asked = ASKED | {"input": "…", "response_format": kind.value}
    assert told_samples(api.post("/v1/audio/speech", json=asked).content, kind) == 4_800


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is kept open after 0.2 s without audio."""
    for name in ("FIRST_KEEP_ALIVE_S", "KEEP_ALIVE_S"):
        monkeypatch.setattr(streaming, name, 0.2)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("kind", list(SpeechFormat))
def test_who_waits_gets_silence_that_is_part_of_the_audio(
    serve: Serve, pump: Pump, kind: SpeechFormat
) -> None:
    asked = ASKED | {"response_format": kind.value}
    with (
        serve() as url,
        client_of(url, timeout=5) as client,
        client.audio.speech.with_streaming_response.create(**asked) as answer,
    ):
        assert answer.headers["content-type"] == kind.media_type
        assert answer.headers["x-accel-buffering"] == "no"
        chunks = answer.iter_bytes()
        content = b"".join(next(chunks) for _ in range(3))
        pump.speak()
        content += b"".join(chunks)
    samples = decoded(content, kind)
    audio = len("Hello there.") * 1_920
    silence = len(samples) - audio
    assert silence >= 3 * 2_400 - 1_200
    assert abs(samples[: 2 * 2_400].astype(float)).max() < 1e-2 * abs(samples.astype(float)).max()
    if kind in (SpeechFormat.PCM, SpeechFormat.WAV, SpeechFormat.FLAC):
        assert silence % 2_400 == 0


@pytest.mark.usefixtures("soon")
def test_who_waits_for_events_gets_comments(serve: Serve, pump: Pump) -> None:
    asked = ASKED | {"response_format": "pcm", "stream_format": "sse"}
    with (
        serve() as url,
        client_of(url) as client,
        client.audio.speech.with_streaming_response.create(**asked) as answer,
    ):
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(4)] == [": keep-alive", "", ": keep-alive", ""]
        pump.speak()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(audio) == len("Hello there.") * 1_920 * 2
    assert events[-1]["usage"]["output_tokens"] == len("Hello there.")


@pytest.mark.usefixtures("soon")
def test_what_fails_after_a_keep_alive_is_told(serve: Serve, pump: Pump) -> None:
    bad = ASKED | {"input": "bad"}
    with serve() as url, client_of(url) as client:
        with client.audio.speech.with_streaming_response.create(**bad) as answer:
            some = answer.iter_bytes()
            assert next(some)
            pump.speak()
            with pytest.raises(httpx2.RemoteProtocolError):
                list(some)
        events = bad | {"stream_format": "sse"}
        with client.audio.speech.with_streaming_response.create(**events) as answer:
            lines = answer.iter_lines()
            assert next(lines) == ": keep-alive"
            pump.speak()
            assert "event: error" in list(lines)


@pytest.mark.usefixtures("soon")
def test_who_leaves_while_waiting_cancels(serve: Serve, ledger: Ledger, redis: Redis) -> None:
    with serve() as url, client_of(url) as client:
        for change in ({}, {"stream_format": "sse"}):
            with client.audio.speech.with_streaming_response.create(**ASKED | change) as answer:
                assert next(answer.iter_bytes())
            wait_until(lambda: ledger.job(job_ids(redis)[-1]).status == Status.CANCELLED)
    assert len(job_ids(redis)) == 2


def test_a_wait_that_is_too_long_is_refused_at_once(
    api: TestClient, settings: Settings, redis: Redis
) -> None:
    for _ in range(13):
        assert api.post("/v1/jobs", json=VALID_JOB).status_code == 202
    now_s = int(redis.time()[0])
    redis.set(f"tts:pace:{now_s // 10}", 1)  # 130 s to the turn of the next one
    quick = settings.model_copy(update={"speech_wait_s": 100.0})
    with TestClient(create_app(quick)) as client:
        refused = client.post("/v1/audio/speech", json=ASKED)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "wait_too_long")
        assert "TTS_SPEECH_WAIT_S" in refused.json()["error"]["message"]
        assert int(refused.headers["Retry-After"]) == 30
        assert client.post("/v1/jobs", json=VALID_JOB).status_code == 202
        assert client.post("/v1/audio/speech", json=ASKED | {"input": "…"}).status_code == 200
    assert len(job_ids(redis)) == 14


def test_a_clone_is_refused_before_it_is_a_job(serve: Serve) -> None:
    silence = base64.b64encode(recording(0.1)).decode()
    with (
        serve() as url,
        client_of(url) as client,
        pytest.raises(openai.BadRequestError, match=r"lasts 0\.10 s") as refused,
    ):
        client.audio.speech.create(**ASKED, extra_body={"ref_audio": silence})
    assert refused.value.param == "ref_audio"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"stream": True, "voice_id": "x", "none": None}, "stream, voice_id"),
        ({"bü c\r\n": 1}, "b%C3%BC%20c%0D%0A"),
        ({"": 1, "a": 2}, '"", a'),
        ({"a": 2, "": 1}, 'a, ""'),
        ({"x" * 100: 1}, "x" * 64),
        ({"_ignored_fields": 1, "ignored_fields": 2}, "_ignored_fields, ignored_fields"),
        (
            {f"f{n}": n for n in range(23)},
            ", ".join([*(f"f{n}" for n in range(20)), "and 3 more"]),
        ),
        ({}, None),
        ({"instruct": "", "speed": "1", "temperature": 1, "seed": None}, None),
    ],
)
def test_no_field_is_dropped_silently(
    api: TestClient, sent: dict[str, Any], told: str | None
) -> None:
    answer = api.post("/v1/audio/speech", json=ASKED | {"input": "…"} | sent)
    assert (answer.status_code, answer.headers.get("x-ignored-fields")) == (200, told)


def test_formats_are_known_in_any_case(api: TestClient) -> None:
    asked = ASKED | {"input": "…", "response_format": "WAV"}
    assert api.post("/v1/audio/speech", json=asked).headers["content-type"] == "audio/wav"
    assert api.post("/v1/jobs", json=VALID_JOB | {"response_format": "FLAC"}).status_code == 202
    assert api.post("/v1/jobs", json=VALID_JOB | {"response_format": "AAC"}).status_code == 400
