"""Voices by the command and in Python, against the real API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from client import Narrator
from client.cli import main
from client.errors import NarrateError, RequestRefused
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.workers import WorkerRegistry
from tests.support.audio_files import recording
from tests.support.live_server import serving

CONSENT = "Anna agreed"


@pytest.fixture
def url(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[str]:
    clone = {"id": "tiny-Base", "task": Task.VOICE_CLONE, "voices": ()}
    for number, each in enumerate((card, card.model_copy(update=clone))):
        WorkerRegistry(redis).sign_in(f"w{number}", each)
    with serving(settings) as url:
        yield url


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "anna.wav"
    path.write_bytes(recording(4.0))
    return path


def test_a_voice_is_added_listed_and_deleted(
    url: str, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = ["add", str(sound), "--name", "Anna", "--consent", CONSENT]
    assert main(["voices", "--url", url, *added, "--language", "english"]) == 0
    printed = capsys.readouterr()
    voice_id = printed.out.split(":")[0]
    assert printed.out == f"{voice_id}: speak with --voice 'Anna'\n"
    assert f"{sound}: without ref_text" in printed.err
    assert main(["voices", "--url", url]) == 0
    *presets, last = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in presets] == ["ryan", "vivian"]
    assert "english, A dynamic man" in presets[0]
    assert last == f"Anna ({voice_id}): english, 4.5 s, tiny-Base"
    assert main(["voices", "add", str(sound), *added[2:], "--url", url]) == 1
    assert "already" in capsys.readouterr().err
    assert main(["voices", "delete", "anna", "--url", url]) == 0
    assert capsys.readouterr().out == "Voice anna is deleted\n"
    assert main(["voices", "delete", voice_id, "--url", url]) == 1
    assert main(["voices", "add", "no.wav", *added[2:], "--url", url]) == 1
    assert "cannot read no.wav" in capsys.readouterr().err


def test_a_name_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["voices", "add", "a.wav", "--consent", CONSENT])
    assert "--name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a.wav"], "--consent"),
        ([], "--job"),
        (["a.wav", "--job", "job_1", "--consent", CONSENT], "--job"),
    ],
)
def test_a_recording_with_consent_or_a_job_is_asked_for(
    given: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["voices", "add", *given, "--name", "Anna"]) == 2
    assert says in capsys.readouterr().err


def test_the_voice_of_a_job_may_be_kept(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voices", "add", "--job", "job_1", "--name", "Anna", "--url", url]) == 1
    assert "no job" in capsys.readouterr().err


def test_jobs_are_spoken_with_it_by_name_and_id(url: str, sound: Path) -> None:
    with Narrator(url) as narrator:
        voice = narrator.add_voice(sound, "Anna", consent=CONSENT, text="What is said in it.")
        assert (voice.kind, voice.model) == ("cloned", "tiny-Base")
        assert voice.duration_s == pytest.approx(4.5, abs=0.1)
        for name in ("anna", voice.id):
            options = narrator.resolve_options({"voice": name, "task": None})
            assert (options["task"], options["model"]) == ("voice_clone", "tiny-Base")
            job = narrator.submit("Hello.", **options)
            assert (job.task, job.voice) == ("voice_clone", "Anna")
        assert narrator.resolve_options({"voice": "ryan"})["task"] == "custom_voice"
        with pytest.raises(RequestRefused, match="has no voice 'bert'"):
            narrator.submit("Hello.", **narrator.resolve_options({"voice": "bert"}))
        narrator.delete_voice(voice.id)
        with pytest.raises(RequestRefused, match="no voice"):
            narrator.submit("Hello.", **options)


def test_bytes_are_a_recording_too(url: str) -> None:
    with Narrator(url) as narrator:
        narrator.add_voice(recording(4.0), "a/b", consent=CONSENT)
        narrator.delete_voice(narrator.voices()[-1].id)
        assert [voice.kind for voice in narrator.voices()] == ["preset", "preset"]
        with pytest.raises(NarrateError, match="cannot be read as audio"):
            narrator.add_voice(b"noise", "Anna", consent=CONSENT)
