"""A saved voice's prompt is made once for all workers of a model, and makes no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from safetensors.torch import load, save

from shared.errors import ObjectNotFound, Unavailable
from shared.speech_model import SamplingOverrides, Task
from shared.storage import Storage
from shared.store.voices import Voice, Voices, prompt_key, voice_folder
from worker.engine.build import build_engine
from worker.engine.clone_prompts import (
    CODES_KEY,
    SPEAKER_KEY,
    hash_encoder,
    parse_prompt,
    prompt_name,
)
from worker.engine.engine import Engine
from worker.engine.parts import plain_parts
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.request import Reference, Speech, SynthesisRequest
from worker.model.loading import load_model
from worker.prompt_store import VoicePromptStore

VOICE = "voice_1"
SOUND = (0.3 * np.sin(np.arange(40_000) * 0.05)).astype(np.float32)
SAID = "This is what is said in it."


@pytest.fixture
def voices(redis: Redis) -> Voices:
    voices = Voices(redis)
    voices.begin(VOICE)
    anna = {"owner": "public", "name": "Anna", "consent": "yes", "digest": "0"}
    voices.create(Voice(id=VOICE, duration_s=1.7, **anna), most=9)
    return voices


@pytest.fixture
def prompts(voices: Voices, storage: Storage) -> VoicePromptStore:
    return VoicePromptStore(voices, storage)


@pytest.fixture
def model(tiny_checkpoint: Callable[[str], Path]) -> Callable[[], Qwen3TTSModel]:
    return lambda: load_model(str(tiny_checkpoint("base")), threads=1)


class Worker:
    """An engine of its own, and how often it has encoded a reference."""

    def __init__(self, engine: Engine, encoded: list[object]) -> None:
        self._engine, self._encoded = engine, encoded

    def say(self, *, voice: str | None = VOICE, text: str | None = SAID) -> Speech:
        request = SynthesisRequest(
            task=Task.VOICE_CLONE,
            text="Good evening.",
            max_frames=8,
            reference=Reference(f"heard:{text}", SOUND, 24_000, text, voice),
            sampling=SamplingOverrides(do_sample=False, subtalker_dosample=False),
        )
        return self._engine.submit(request).result(60)

    @property
    def encoded(self) -> int:
        return len(self._encoded)


@contextmanager
def worker(
    model: Qwen3TTSModel, store: Any = None, precision: Precision = Precision.FLOAT32
) -> Iterator[Worker]:
    encoded: list[object] = []
    encode = model.create_voice_clone_prompt

    def counted(*args: Any, **kwargs: Any) -> Any:
        encoded.append(args)
        return encode(*args, **kwargs)

    model.create_voice_clone_prompt = counted
    engine = build_engine(model, plain_parts(precision), slots=2, max_waiting=2, prompts=store)
    try:
        yield Worker(engine, encoded)
    finally:
        engine.close()


def stored(results: Path) -> list[Path]:
    return list((results / voice_folder(VOICE)).glob("*"))


@pytest.mark.parametrize("text", [SAID, None])
def test_the_second_worker_encodes_nothing_and_sounds_the_same(
    model: Callable[[], Qwen3TTSModel],
    prompts: VoicePromptStore,
    results: Path,
    text: str | None,
) -> None:
    with worker(model()) as alone:
        expected = alone.say(text=text)
    for encodes in (1, 0, 0):
        with worker(model(), prompts) as one:
            for _ in range(2):
                speech = one.say(text=text)
                assert speech.samples.tobytes() == expected.samples.tobytes()
                assert speech.codes.tobytes() == expected.codes.tobytes()
            assert one.encoded == encodes
    (path,) = stored(results)
    assert path.name.startswith("prompt-")
    assert set(load(path.read_bytes())) == ({SPEAKER_KEY, CODES_KEY} if text else {SPEAKER_KEY})


def test_only_saved_voices_are_kept(
    model: Callable[[], Qwen3TTSModel], prompts: VoicePromptStore, results: Path
) -> None:
    with worker(model(), prompts) as one:
        one.say(voice=None)
        one.say(voice="voice_2", text="A voice that was deleted meanwhile.")
    assert stored(results) == []
    assert not (results / "voices").exists()


def test_precisions_share_a_prompt_if_it_is_the_same(
    model: Callable[[], Qwen3TTSModel], prompts: VoicePromptStore, results: Path
) -> None:
    encoded = []
    for precision in (Precision.FLOAT32, Precision.INT8, Precision.BFLOAT16):
        with worker(model(), prompts, precision) as one:
            one.say()
            encoded.append(one.encoded)
    assert encoded == [1, 0, 1]
    assert len(stored(results)) == 2


def damaged(content: bytes) -> Iterator[bytes]:
    tensors = load(content)
    yield b""
    yield b"no tensors"
    yield content[:-9]
    yield save({SPEAKER_KEY: tensors[SPEAKER_KEY]})
    yield save({CODES_KEY: tensors[CODES_KEY]})
    yield save({SPEAKER_KEY: tensors[SPEAKER_KEY][:-1].clone(), CODES_KEY: tensors[CODES_KEY]})
    yield save({SPEAKER_KEY: tensors[SPEAKER_KEY] * float("nan"), CODES_KEY: tensors[CODES_KEY]})
    yield save({SPEAKER_KEY: tensors[SPEAKER_KEY], CODES_KEY: tensors[CODES_KEY] + 10_000})
    yield save({SPEAKER_KEY: tensors[SPEAKER_KEY], CODES_KEY: tensors[CODES_KEY].float()})


def test_a_prompt_that_cannot_be_read_is_made_anew(
    model: Callable[[], Qwen3TTSModel], prompts: VoicePromptStore, results: Path
) -> None:
    with worker(model(), prompts) as one:
        expected = one.say()
    (path,) = stored(results)
    whole, loaded = path.read_bytes(), model()
    assert parse_prompt(whole, SAID, loaded) is not None
    for content in damaged(whole):
        assert parse_prompt(content, SAID, loaded) is None
    path.write_bytes(whole[:100])
    with worker(loaded, prompts) as one:
        assert one.say().samples.tobytes() == expected.samples.tobytes()
        assert one.encoded == 1
    assert path.read_bytes() == whole


def test_another_model_or_recording_has_another_name(
    model: Callable[[], Qwen3TTSModel], tiny_checkpoint: Callable[[str], Path]
) -> None:
    one, same = model(), load_model(str(tiny_checkpoint("base")), threads=1)
    encoder = hash_encoder(one)
    assert hash_encoder(same) == encoder
    reference = Reference("heard", SOUND, 24_000, SAID, VOICE)
    names = {prompt_name(encoder, reference)}
    names.add(prompt_name(encoder, replace(reference, key="else")))
    next(one.model.speaker_encoder.parameters()).data.flatten()[0] += 1
    names.add(prompt_name(hash_encoder(one), reference))
    next(same.model.speech_tokenizer.model.encoder.parameters()).data.flatten()[0] += 1
    names.add(prompt_name(hash_encoder(same), reference))
    assert len(names) == 4


def test_a_storage_that_is_away_is_no_failure(
    model: Callable[[], Qwen3TTSModel], prompts: VoicePromptStore, storage: Storage, results: Path
) -> None:
    folder = results / voice_folder(VOICE)
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"in the way")
    with pytest.raises(Unavailable):
        storage.get(prompt_key(VOICE, "x"))
    with worker(model(), prompts) as one:
        assert len(one.say().samples)


def test_a_deleted_voice_does_not_get_its_prompt_back(
    prompts: VoicePromptStore, voices: Voices, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.save(VOICE, "x", b"prompt")
    assert prompts.load(VOICE, "x") == b"prompt"
    put = storage.put

    def slowly(key: str, content: bytes) -> None:
        voices.delete(VOICE)
        storage.delete_folder(voice_folder(VOICE))
        put(key, content)

    monkeypatch.setattr(storage, "put", slowly)
    for _ in range(2):
        prompts.save(VOICE, "y", b"prompt")
        for name in ("x", "y"):
            with pytest.raises(ObjectNotFound):
                storage.get(prompt_key(VOICE, name))
            assert prompts.load(VOICE, name) is None


def test_a_redis_that_is_away_is_no_failure(storage: Storage) -> None:
    prompts = VoicePromptStore(Voices(Redis(port=1)), storage)
    prompts.save(VOICE, "x", b"prompt")
    assert prompts.load(VOICE, "x") is None
