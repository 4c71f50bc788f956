"""Names of models, and the checkpoints and cards that they stand for."""

from __future__ import annotations

import filecmp
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.speech_model import Task
from worker import evaluate
from worker.model import catalogue, demo_voice
from worker.model.loading import ModelUnavailable, load_model

Checkpoint = Callable[[str], Path]


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the demo voice; no folder of its name is in the working directory."""
    packed = tmp_path / "package" / "checkpoint.zip"
    packed.parent.mkdir()
    monkeypatch.setattr(demo_voice, "PACKED", packed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return packed


def test_the_demo_voice_is_unpacked_once(packed: Path, tiny_checkpoint: Checkpoint) -> None:
    demo_voice.pack(tiny_checkpoint("custom_voice"), packed)
    folder = Path(catalogue.locate("demo"))
    inode = folder.stat().st_ino
    assert catalogue.locate("Demo") == str(folder)
    assert folder.stat().st_ino == inode
    same, other, missing = filecmp.cmpfiles(
        folder,
        tiny_checkpoint("custom_voice"),
        ["config.json", "model.safetensors", "speech_tokenizer/model.safetensors"],
        shallow=False,
    )
    assert (len(same), other, missing) == (3, [], [])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_another_demo_voice_is_unpacked_beside_the_old_one(
    packed: Path, tiny_checkpoint: Checkpoint
) -> None:
    demo_voice.pack(tiny_checkpoint("custom_voice"), packed)
    old = catalogue.locate("demo")
    demo_voice.pack(tiny_checkpoint("base"), packed)
    assert catalogue.locate("demo") != old


def test_a_broken_file_leaves_no_folder(packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(b"no zip")
    with pytest.raises(zipfile.BadZipFile):
        catalogue.locate("demo")
    assert not [path for path in tmp_path.rglob("*demo*") if path.is_dir()]


@pytest.mark.usefixtures("packed")
def test_without_weights_of_the_demo_voice_the_error_says_what_to_do() -> None:
    with pytest.raises(ModelUnavailable, match=r"has no demo voice .*or use 0\.6B-CustomVoice"):
        catalogue.locate("demo")


@pytest.mark.usefixtures("packed")
def test_without_weights_of_the_demo_voice_a_command_ends_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model", "demo"])
    with pytest.raises(SystemExit, match=r"^error: this installation has no demo voice"):
        evaluate.main()


def test_a_folder_named_demo_comes_before_the_demo_voice(packed: Path) -> None:
    own = packed.parents[1] / "demo"
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
