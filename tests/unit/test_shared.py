from dataclasses import asdict, fields
from pathlib import Path

import pytest
from processes import wait_until
from pydantic import ValidationError
from redis import Redis

from shared.broker import WakeUpPublisher, make_celery_app
from shared.errors import InvalidSetting, Unavailable
from shared.jobs import Sampling, SpeechSpec
from shared.models import DEFAULT_MODEL, ModelCard, full_name, model_id
from shared.settings import Settings
from shared.speech_model import SamplingOverrides, Task
from shared.storage import Storage
from shared.store.workers import WorkerRegistry


def test_every_sampling_parameter_of_a_job_reaches_the_engine() -> None:
    """`max_new_tokens` bounds the frames instead, and the seed is the job's own field."""
    names = set(Sampling.model_fields) - {"max_new_tokens"}
    assert {field.name for field in fields(SamplingOverrides)} == names | {"seed"}
    values = {name: number for number, name in enumerate(sorted(names), 1)}
    overrides = Sampling.model_construct(None, **values).overrides(seed=0)
    assert asdict(overrides) == values | {"seed": 0}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("0.6B-CustomVoice", DEFAULT_MODEL),
        ("0.6b-customvoice", DEFAULT_MODEL),
        ("1.7B-VoiceDesign", "Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign"),
        ("tiny", "tiny-CustomVoice"),
        ("somebody/else", "somebody/else"),
    ],
)
def test_short_names_stand_for_released_models(name: str, full: str) -> None:
    assert full_name(name) == full


def test_a_folder_is_served_under_its_own_name(tmp_path: Path) -> None:
    folder = tmp_path / "my-voice"
    folder.mkdir()
    assert model_id(str(folder)) == model_id(f"{folder}/") == "my-voice"
    assert model_id("0.6B-CustomVoice") == DEFAULT_MODEL


def test_settings_come_from_the_environment_and_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTS_SLOTS", "16")
    monkeypatch.setenv("TTS_THREADS", "")
    assert (Settings.load().slots, Settings.load().threads) == (16, None)
    assert Settings.load(slots="4", model=None).slots == 4
    assert Settings.load(slots="4", model=None).model == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TTS_SLOTS", "0"),
        ("TTS_MAX_SPEECH_CHARS", "20001"),
        ("TTS_THREADS", "x"),
        ("TTS_RESULT_TTL_S", "inf"),
        ("TTS_LEASE_S", "nan"),
        ("TTS_DEVICE", "tpu"),
        ("TTS_REDIS_URL", "here"),
        ("TTS_STORAGE_URL", "file://here"),
    ],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting, match=f"{name}='{value}'"):
        Settings.load()


def test_int8_is_refused_where_it_cannot_run() -> None:
    assert Settings.load(precision="int8").precision == "int8"
    with pytest.raises(
        InvalidSetting, match=r"TTS_PRECISION='int8'.*use bfloat16 with TTS_DEVICE=cuda"
    ):
        Settings.load(device="cuda", precision="int8")


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(InvalidSetting, match="TTS_SLOT="):
        Settings.load(slot=3)


def test_records_are_frozen_and_pass_over_what_newer_versions_add(spec: SpeechSpec) -> None:
    assert SpeechSpec.model_validate_json(spec.model_dump_json()) == spec
    with pytest.raises(ValidationError):
        spec.voice = "other"
    newer = SpeechSpec.model_validate_json('{"task": "custom_voice", "model": "m", "odd": 1}')
    assert newer == SpeechSpec(task=Task.CUSTOM_VOICE, model="m")
    with pytest.raises(ValidationError):
        Sampling.model_validate_json('{"temperatur": 1}')


def test_a_storage_that_fails_is_unavailable(tmp_path: Path) -> None:
    storage = Storage.open((tmp_path / "results").as_uri())
    (tmp_path / "results" / "a").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable, match="a/b"):
        storage.put("a/b", b"one")


def test_the_roster_counts_live_workers_and_remembers_models(redis: Redis, card: ModelCard) -> None:
    roster = WorkerRegistry(redis)
    assert roster.models() == []
    other = card.model_copy(update={"id": "another"})
    for worker, served in (("w1", card), ("w2", card), ("w3", other)):
        roster.sign_in(worker, served)
    roster.sign_in("w1", card)
    roster.sign_out("w3", other)
    assert [(m.card.id, m.workers) for m in roster.models()] == [(card.id, 2), ("another", 0)]


def test_announcing_to_a_redis_that_is_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    announcer = WakeUpPublisher(make_celery_app("redis://127.0.0.1:1/0"))
    announcer.announce("m", 3)
    wait_until(lambda: "Could not announce" in caplog.text)
    announcer.close()
