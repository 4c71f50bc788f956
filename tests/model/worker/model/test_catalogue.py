"""Names of models, and the checkpoints and cards that they stand for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.speech_model import Task
from worker import evaluate
from worker.model import catalogue
from worker.model.loading import ModelUnavailable, load_model

Checkpoint = Callable[[str], Path]


@pytest.fixture
def demo_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the demo voice; no folder of its name is in the working directory."""
    folder = tmp_path / "package" / "demo_model"
    folder.mkdir(parents=True)
    monkeypatch.setattr(catalogue, "DEMO_FOLDER", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_demo_voice_is_a_folder_of_the_package(demo_folder: Path) -> None:
    (demo_folder / "model.safetensors").touch()
    assert catalogue.locate("demo") == catalogue.locate("Demo") == str(demo_folder)


@pytest.mark.usefixtures("demo_folder")
def test_without_weights_of_the_demo_voice_the_error_says_what_to_do() -> None:
    with pytest.raises(ModelUnavailable, match=r"has no demo voice .*or use 0\.6B-CustomVoice"):
        catalogue.locate("demo")


@pytest.mark.usefixtures("demo_folder")
def test_without_weights_of_the_demo_voice_a_command_ends_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model", "demo"])
    with pytest.raises(SystemExit, match=r"^error: this installation has no demo voice"):
        evaluate.main()


def test_a_folder_named_demo_comes_before_the_demo_voice(demo_folder: Path) -> None:
    own = demo_folder.parents[1] / "demo"
    own.mkdir()
    assert catalogue.locate("demo") == str(own)


def test_the_card_of_the_demo_voice_has_its_own_speakers_and_no_instructions(
    tmp_path: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    card = catalogue.card_of("demo", model)
    assert (card.id, card.task, card.instructions) == ("demo", Task.CUSTOM_VOICE, False)
    assert catalogue.card_of("tiny", model).instructions
    assert set(card.voices) == set(model.get_supported_speakers())
