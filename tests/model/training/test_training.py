"""A training of a few steps, from speech to a checkpoint that the product loads and speaks with."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training import codes, export, progress, talker, vocoder
from training.layout import GROUPS, POINTER, USED_GROUPS
from training.progress import Trainer
from training.shards import Utterance, read, write
from training.talker_data import PAD, Batch, Item, Prompts, collate, join_some, load
from training.talker_model import Talker
from training.units import BANDS, COLUMNS, PHONES, Speech
from worker.model import demo_voice
from worker.model.loading import load_model

TEXTS = ["The birch canoe slid.", "Rice is “often” served in bowls.", "Kick it, and follow it!"] * 4
FRAMES = 12


def speech(text: str, rng: np.random.Generator) -> Speech:
    """Units of random sounds, one for each letter."""
    letters = np.arange(len(text) // 2 * 2)
    units = len(letters)
    return Speech(
        envelope=rng.normal(-8, 3, (units, COLUMNS, BANDS)).astype(np.float32),
        voiced=rng.integers(0, 2, (units, COLUMNS)).astype(np.float32),
        pitch=rng.uniform(70, 130, units).astype(np.float32),
        phones=rng.integers(0, len(PHONES), units),
        letters=letters,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder after three steps of each training."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)
    utterances = [Utterance(text, speech(text, rng)) for text in TEXTS * 5]
    (folder / "speech").mkdir()
    write(folder / "speech" / "000.npz", utterances)
    for step in (codes, vocoder, talker):
        run(step, folder)
    return folder


def run(step: ModuleType, folder: Path) -> None:
    """Train that step for a few steps, or go on doing so."""
    short = {vocoder: ["--front-steps", "3", "--steps", "2"], talker: ["--steps", "3"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(talker, "HELD_OUT", 2)
        patch.setattr(vocoder, "FRONT_ROWS", 2)
        patch.setattr(sys, "argv", ["training", str(folder), *short.get(step, [])])
        step.main()


@pytest.mark.parametrize("step", [talker, vocoder], ids=["talker", "vocoder"])
def test_an_interrupted_training_ends_like_another(
    step: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, since every batch is drawn by the number of its step."""
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    weights = again / f"{step.__name__.rpartition('.')[2]}.pt"
    whole = torch.load(weights)
    weights.unlink()
    monkeypatch.setattr(progress, "_SAVE_EVERY_S", 0.0)
    update = Trainer.update

    def interrupt(self: Trainer, *args: Any) -> None:
        if weights.exists():
            raise KeyboardInterrupt
        update(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(step, again)
    assert torch.load(weights)["step"] == 1
    run(step, again)
    resumed = torch.load(weights)
    assert resumed["step"] == whole["step"]
    for name, weight in whole["model"].items():
        assert torch.equal(resumed["model"][name], weight), name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    utterances = [Utterance(text, speech(text, rng)) for text in TEXTS]
    write(tmp_path / "000.npz", utterances)
    found = list(read(tmp_path / "000.npz"))
    assert [one.text for one in found] == TEXTS
    for one, other in zip(found, utterances, strict=True):
        for field in fields(Speech):
            kept, given = getattr(one.speech, field.name), getattr(other.speech, field.name)
            np.testing.assert_allclose(kept, given, rtol=1e-3)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    """The checkpoint of that training."""
    export.export(folder, folder / "checkpoint")
    return folder / "checkpoint"


def test_the_product_chooses_as_the_trained_talker(folder: Path, checkpoint: Path) -> None:
    model: Any = load_model(str(checkpoint), dtype=torch.float32, threads=1)
    text, speaker = "Kick the “ball”.", "alan"
    codes = greedy_codes(model, text, speaker)
    assert len(codes) == FRAMES

    own = Talker(PAD)
    weights = load_file(checkpoint / "model.safetensors")
    own.load_state_dict(
        {name.removeprefix("talker."): one.float() for name, one in weights.items()}
    )
    prompts = Prompts(folder)
    batch = prompt_batch(prompts, prompts.tokenizer(text)["input_ids"], speaker, codes)
    with torch.no_grad():
        states, logits = talker.predict(own, batch, prompts.text_pad)
        others = talker.predict_rest(own, states[:FRAMES], codes)
    assert logits[:FRAMES].argmax(1).tolist() == codes[:, 0].tolist()
    for group, other in enumerate(others, start=1):
        assert other.argmax(1).tolist() == codes[:, group].tolist()


def greedy_codes(model: Any, text: str, speaker: str) -> torch.Tensor:
    """The codes [FRAMES, GROUPS] that qwen-tts itself chooses."""
    heard = []
    decode = model.model.speech_tokenizer.decode

    def listen(encoded: list[dict[str, torch.Tensor]]) -> Any:
        heard.append(encoded[0]["audio_codes"])
        return decode(encoded)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.model.speech_tokenizer, "decode", listen)
        model.generate_custom_voice(
            text=text,
            language="english",
            speaker=speaker,
            non_streaming_mode=True,
            do_sample=False,
            subtalker_dosample=False,
            max_new_tokens=FRAMES + 1,  # qwen-tts makes one frame less than it makes tokens
        )
    return heard[0]


def prompt_batch(prompts: Prompts, tokens: list[int], speaker: str, codes: torch.Tensor) -> Batch:
    """A batch of one prompt that these frames follow."""
    text, code, _ = prompts.make(tokens, speaker, auto=False)
    size, length = len(text), len(text) + len(codes)
    columns, rows = torch.arange(size - 1, length), torch.zeros(len(codes) + 1, dtype=torch.long)
    texts, coded_as = torch.zeros(2, 1, length, dtype=torch.long)
    texts[0, :size] = torch.tensor(text)
    coded_as[0, size - len(code) : size] = torch.tensor(code)
    coded = torch.zeros(1, length)
    coded[0, size - len(code) : size] = 1
    return Batch(
        texts, coded_as, coded, codes, rows[1:], columns[1:], rows, columns, codes, codes[:, 0]
    )


def test_the_packed_file_is_the_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_voice, "PACKED", tmp_path / "checkpoint.zip")
    demo_voice.pack(checkpoint, demo_voice.PACKED)
    again = demo_voice.PACKED.read_bytes()
    demo_voice.pack(checkpoint, demo_voice.PACKED)
    assert demo_voice.PACKED.read_bytes() == again
    folder = demo_voice.unpack(tmp_path / "cache")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert set(config["talker_config"]["spk_id"]) == {"ada", "alan"}


def test_a_pointer_names_the_token_that_is_spoken(folder: Path) -> None:
    """Of text with curly quotes, whose letters are several bytes each."""
    prompts = Prompts(folder)
    text = "He “ran”."
    tokens = prompts.tokenizer(text)["input_ids"]
    places = prompts.token_of_letter(text, tokens)
    names = [prompts.tokenizer.convert_ids_to_tokens([tokens[place]])[0] for place in places]
    assert "".join(names[place] for place in (0, 1, 4, 5, 6, 8)) == "Heran."
    spoken = np.array([places[0], places[1], places[8]])
    units = np.zeros(6, np.int64)
    item = Item(tokens, units, units, np.full(3, 100.0, np.float32), spoken)
    batch = collate([item], prompts, np.random.default_rng(0), wrong=0.0)
    positions = batch.column - batch.next[:-1, POINTER]
    assert [int(batch.text[0, place]) for place in positions] == [tokens[place] for place in spoken]
    assert not batch.next[:, USED_GROUPS:GROUPS].any()


def test_joined_utterances_are_as_if_they_had_been_one(folder: Path) -> None:
    prompts = Prompts(folder)
    one, other = load(folder, prompts)[:2]
    joined = one.then(other, prompts.space)
    texts = [utterance.text for utterance in read(folder / "speech" / "000.npz")][:2]
    assert joined.tokens == prompts.tokenizer(" ".join(texts))["input_ids"]
    assert len(joined.spoken) == len(joined.hertz) == len(joined.first) // 2
    told = [joined.tokens[place] for place in joined.spoken]
    expected = [one.tokens[place] for place in one.spoken]
    assert told == expected + [other.tokens[place] for place in other.spoken]


def test_each_epoch_has_every_utterance_once(folder: Path) -> None:
    items = load(folder, prompts := Prompts(folder))
    for seed in range(3):
        found = join_some(items, prompts.space, np.random.default_rng(seed))
        assert sum(len(item.spoken) for item in found) == sum(len(item.spoken) for item in items)
        assert len(items) * 0.5 < len(found) < len(items)
        assert all(item.fits for item in found)
