from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from worker.checkpoints import CHECKPOINT_KINDS, make_checkpoint
from worker.checkpoints.__main__ import main
from worker.checkpoints.configs import Config, model_config
from worker.checkpoints.make import codec_weights, model_weights
from worker.checkpoints.tokenizer import vocabulary
from worker.checkpoints.weights import Weights
from worker.engine.qwen import Qwen3TTSModel

GREEDY = {"do_sample": False, "subtalker_dosample": False}
TEXTS = [
    "Hello there.",
    "The quick brown fox jumps over the lazy dog.",
    "今天天气很好，我们去公园吧。",
    "Numbers: 1, 2, 3 and 42 are all in here.",
    "Hi.",
    "😀 emoji and ünïcode",
    "Good morning, how are you?",
    "A longer sentence, which goes on for some time before it ends.",
]

Codes = list[torch.Tensor]
Speak = Callable[..., tuple[Codes, list[np.ndarray]]]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[[str], Path]) -> Iterator[Qwen3TTSModel]:
    """Qwen-tts itself, no code of ours in between."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model only waits for a second one
    folder = str(tiny_checkpoint("custom_voice"))
    yield Qwen3TTSModel.from_pretrained(folder, dtype=torch.float32, device_map="cpu")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def speak(model: Qwen3TTSModel) -> Iterator[Speak]:
    """Speak texts; gives the codes of each, [frames, 16], and its samples."""
    seen: list[Codes] = []
    codec = model.model.speech_tokenizer
    decode = codec.decode

    def spy(encoded: list[dict[str, Any]]) -> Any:
        seen.append([item["audio_codes"] for item in encoded])
        return decode(encoded)

    def generate(texts: str | list[str], **options: Any) -> tuple[Codes, list[np.ndarray]]:
        options = {"speaker": "ryan", "language": "auto", "max_new_tokens": 200} | options
        samples, _ = model.generate_custom_voice(texts, **options)
        return seen.pop(), samples

    codec.decode = spy
    yield generate
    codec.decode = decode


@pytest.fixture(scope="module")
def alone(speak: Speak) -> list[tuple[torch.Tensor, np.ndarray]]:
    """Each text of `TEXTS` spoken greedily, by itself."""
    return [(codes[0], samples[0]) for codes, samples in (speak(text, **GREEDY) for text in TEXTS)]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_has_the_files_of_a_released_checkpoint(tiny_checkpoint: Callable[[str], Path]) -> None:
    folder = tiny_checkpoint("base")
    model_files = {"generation_config.json", "vocab.json", "merges.txt", "tokenizer_config.json"}
    shared = {"config.json", "preprocessor_config.json", "model.safetensors"}
    codec = {f"speech_tokenizer/{name}" for name in {*shared, "configuration.json"}}
    assert set(bytes_of(folder)) == model_files | shared | codec
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {
        torch.bfloat16
    }
    stored = load_file(folder / "speech_tokenizer" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}


def test_tiny_is_small(tiny_checkpoint: Callable[[str], Path]) -> None:
    for kind in CHECKPOINT_KINDS:
        assert sum(map(len, bytes_of(tiny_checkpoint(kind)).values())) < 5_000_000


def test_same_seed_same_bytes_whatever_the_global_random_state(
    tmp_path: Path, tiny_checkpoint: Callable[[str], Path]
) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = make_checkpoint("tiny", "base", tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)
    assert bytes_of(again) == bytes_of(tiny_checkpoint("base"))
    other = make_checkpoint("tiny", "base", tmp_path / "other", seed=1)
    changed = {k for k, v in bytes_of(other).items() if v != bytes_of(again)[k]}
    assert changed == {"model.safetensors", "speech_tokenizer/model.safetensors"}


def test_each_kind_loads_unchanged_and_is_what_it_says(
    tiny_checkpoint: Callable[[str], Path],
) -> None:
    for kind in CHECKPOINT_KINDS:
        loaded = Qwen3TTSModel.from_pretrained(
            str(tiny_checkpoint(kind)), dtype=torch.float32, device_map="cpu"
        )
        assert loaded.model.tts_model_type == kind
        assert (loaded.model.speaker_encoder is not None) == (kind == "base")
        preset = loaded.get_supported_speakers()
        assert len(preset) == (9 if kind == "custom_voice" else 0)
        assert len(loaded.get_supported_languages()) == 11  # ten and auto


def test_the_configurations_have_what_converters_read(
    tiny_checkpoint: Callable[[str], Path],
) -> None:
    folder = tiny_checkpoint("base")
    talker = json.loads((folder / "config.json").read_text())["talker_config"]
    codec = json.loads((folder / "speech_tokenizer" / "config.json").read_text())
    assert (talker["hidden_act"], talker["attention_bias"]) == ("silu", False)
    assert talker["code_predictor_config"]["layer_types"] == ["full_attention"] * 2
    assert (codec["encoder_config"]["kernel_size"], codec["encoder_config"]["compress"]) == (7, 2)
    assert codec["decoder_config"]["hidden_act"] == "silu"


def test_the_prompt_splits_where_qwen_tts_cuts_it(model: Qwen3TTSModel) -> None:
    def ids(text: str) -> list[int]:
        tokens: list[int] = model.processor(text=text)["input_ids"][0]
        return tokens

    opening, closing = "<|im_start|>assistant\n", "<|im_end|>\n<|im_start|>assistant\n"
    config = model.model.config
    assert len(ids(opening)) == 3
    assert len(ids(closing)) == 5
    for text in ["Hi", "assistant user", "今天", "😀", " \n lead", "as us!"]:
        tokens = ids(opening + text + closing)
        assert tokens[:3] == ids(opening)
        assert tokens[-5:] == ids(closing)
        assert model.processor.decode(tokens[3:-5]) == text
    specials = [config.tts_pad_token_id, config.tts_bos_token_id, config.tts_eos_token_id]
    assert ids("<tts_pad><tts_text_bos><tts_text_eod>") == specials


def test_full_sizes_have_the_released_token_ids() -> None:
    vocab = vocabulary("0.6B")
    config = model_config("0.6B", "base")
    assert vocab["assistant"] == config["assistant_token_id"] == 77_091
    assert vocab["<|im_start|>"] == config["im_start_token_id"] == 151_644
    assert vocab["<|im_end|>"] == config["im_end_token_id"] == 151_645
    assert vocab["<tts_pad>"] == config["tts_pad_token_id"] == 151_671
    assert vocab["<tts_text_bos>"] == config["tts_bos_token_id"] == 151_672
    assert vocab["<tts_text_eod>"] == config["tts_eos_token_id"] == 151_673
    assert sorted(vocab.values()) == list(range(151_676))


def test_speech_ends_by_itself_and_later_for_longer_texts(
    alone: list[tuple[torch.Tensor, np.ndarray]],
) -> None:
    frames = [len(codes) for codes, _ in alone]
    for text, count in zip(TEXTS, frames, strict=True):
        assert 0.4 * len(text.encode()) < count < 1.2 * len(text.encode()) + 10
    assert len(set(frames)) >= 6


def test_speech_is_neither_silent_nor_clipped_nor_stuck(
    alone: list[tuple[torch.Tensor, np.ndarray]],
) -> None:
    for codes, samples in alone:
        assert 0.1 < np.abs(samples).max() < 0.95
        assert samples.std() > 0.02
        assert len({tuple(frame) for frame in codes.tolist()}) == len(codes)


def test_each_text_and_each_speaker_sounds_different(
    speak: Speak, alone: list[tuple[torch.Tensor, np.ndarray]]
) -> None:
    base, _ = alone[1]
    others = [codes for index, (codes, _) in enumerate(alone) if index != 1]
    others += [speak(TEXTS[1], speaker=name, **GREEDY)[0][0] for name in ("serena", "eric")]
    for other in others:
        frames = min(len(base), len(other))
        assert (base[:frames] == other[:frames]).float().mean() < 0.5


def test_greedy_codes_do_not_depend_on_the_batch(
    speak: Speak, alone: list[tuple[torch.Tensor, np.ndarray]]
) -> None:
    together, _ = speak(TEXTS, **GREEDY)
    for text, (codes, _), batched in zip(TEXTS, alone, together, strict=True):
        assert torch.equal(codes, batched), text


def test_sampled_speech_ends_by_itself_too(speak: Speak) -> None:
    torch.manual_seed(0)
    for non_streaming in (True, False):
        codes, _ = speak(TEXTS[:4], non_streaming_mode=non_streaming)
        assert all(2 <= len(one) < 100 for one in codes)


def test_a_full_size_never_ends() -> None:
    config = model_config("tiny", "custom_voice") | {"tts_model_size": "0b6"}
    weights = model_weights(config, seed=0)
    logits = torch.randn(1000, 64) @ weights["talker.codec_head.weight"][:2151].float().T
    better = (logits[:, :2048] > logits[:, 2150:]).sum(1)
    assert (better > 50).all()


def test_two_makers_at_once_both_succeed(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: make_checkpoint("tiny", "base", folder), range(2)))
    assert made == [folder, folder]
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        assert any(tmp_path.iterdir())
        assert not (tmp_path / "model").exists()
        raise RuntimeError("disk full")

    monkeypatch.setattr("worker.checkpoints.make.codec_weights", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        make_checkpoint("tiny", "base", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_does_not_replace_what_another_process_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def intrude(config: Config, seed: int) -> Weights:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text("theirs")
        return codec_weights(config, seed)

    monkeypatch.setattr("worker.checkpoints.make.codec_weights", intrude)
    with pytest.raises(FileExistsError, match="filled meanwhile"):
        make_checkpoint("tiny", "base", tmp_path / "model")
    assert bytes_of(tmp_path) == {"model/config.json": b"theirs"}


@pytest.mark.parametrize(
    ("size", "kind", "says"),
    [
        ("2B", "base", "unknown size '2B'"),
        ("tiny", "singing", "unknown kind 'singing'"),
        ("0.6B", "voice_design", "never released in 0.6B"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    size: str, kind: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([size, kind, str(tmp_path / "model")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_a_folder_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    assert main(["tiny", "base", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert bytes_of(tmp_path) == {"diary.txt": b"mine"}


def test_the_command_makes_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "model"
    assert main(["tiny", "voice_design", str(folder), "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert json.loads((folder / "config.json").read_text())["tts_model_type"] == "voice_design"
