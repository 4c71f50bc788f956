from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from worker.model import cpu
from worker.model.loading import ModelUnavailable, load_model

TinyCheckpoint = Callable[[str], Path]

SPEAK = """
import sys
from worker.model.loading import load_model
model = load_model(sys.argv[1], threads=1)
model.generate_custom_voice("Hi.", speaker="ryan", max_new_tokens=10)
model.generate_custom_voice("Hi.", speaker="ryan", max_new_tokens=10, do_sample=False)
heavy = {"torchaudio", "sox", "onnxruntime"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


@pytest.fixture
def copy(tiny_checkpoint: TinyCheckpoint, tmp_path: Path) -> Path:
    """A checkpoint to break."""
    return Path(shutil.copytree(tiny_checkpoint("custom_voice"), tmp_path / "copy"))


def test_loads_for_inference_only(
    tiny_checkpoint: TinyCheckpoint, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_checkpoint("base")
    with caplog.at_level(logging.INFO, "worker.model.loading"):
        model = load_model(str(folder), threads=1)
    for module in (model.model, model.model.speech_tokenizer.model):
        assert not module.training
        assert {parameter.requires_grad for parameter in module.parameters()} == {False}
    # As they are stored: released codecs are in float32.
    assert model.model.dtype == torch.bfloat16
    assert model.model.speech_tokenizer.model.dtype == torch.float32
    assert torch.get_num_threads() == 1
    assert model.model.config._attn_implementation == "sdpa"  # as qwen-tts itself chooses
    begun, done = caplog.messages
    assert begun == f"Loading {folder} (cpu, 1 threads)…"
    assert done.startswith(f"Successfully loaded {folder} in ")


def test_another_precision_on_request(tiny_checkpoint: TinyCheckpoint) -> None:
    folder = str(tiny_checkpoint("custom_voice"))
    model = load_model(folder, dtype=torch.float16, threads=1)
    assert model.model.dtype == torch.float16
    assert model.model.speech_tokenizer.model.dtype == torch.float16  # as qwen-tts does


def test_prints_nothing_and_imports_nothing_heavy(tiny_checkpoint: TinyCheckpoint) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SPEAK, str(tiny_checkpoint("custom_voice"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_says_that_there_is_no_such_folder(source: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"there is no folder '{source}'"):
        load_model(source, threads=1)


def test_says_that_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"has no config\.json, so it is no checkpoint"):
        load_model(str(tmp_path), threads=1)


def test_says_that_a_folder_holds_another_model(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelUnavailable, match="holds a llama model"):
        load_model(str(copy), threads=1)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "speech_tokenizer/model.safetensors", "config.json"]
)
def test_says_that_a_file_is_cut_short(name: str, copy: Path) -> None:
    whole = (copy / name).read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 3):
        (copy / name).write_bytes(whole[:length])
        with pytest.raises(ModelUnavailable, match=f"{name}.*(damaged|not valid).*again"):
            load_model(str(copy), threads=1)


@pytest.mark.parametrize(
    "name",
    [
        "generation_config.json",
        "model.safetensors",
        "speech_tokenizer/config.json",
        "speech_tokenizer/model.safetensors",
    ],
)
def test_says_which_file_is_missing(name: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelUnavailable, match=Path(name).name):
        load_model(str(copy), threads=1)


def test_says_that_the_vocabulary_is_missing(copy: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (copy / name).unlink()
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load_model(str(copy), threads=1)


def test_missing_tensors_are_not_made_up(copy: Path) -> None:
    path = copy / "model.safetensors"
    weights = load_file(path)
    del weights["talker.codec_head.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"lacks 1 tensors, 'talker\.codec_head\.weight'"):
        load_model(str(copy), threads=1)


def test_weights_of_another_size_are_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["talker_config"]["intermediate_size"] += 64
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load_model(str(copy), threads=1)


def test_a_download_without_network_fails_soon_and_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "from worker.model.loading import find_checkpoint\n"
        "from worker.model.loading import ModelUnavailable\n"
        "try:\n    find_checkpoint('Qwen/Qwen3-TTS-12Hz-0.6B-Base')\n"
        "except ModelUnavailable as error:\n    print(error)\n"
    )
    closed = "http://127.0.0.1:9"
    environment = os.environ | {"HF_ENDPOINT": closed, "HF_HOME": str(tmp_path)}
    started = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "cannot download 'Qwen/Qwen3-TTS-12Hz-0.6B-Base' (no network?): connect once, or pass"
        " --model with a local folder of it\n"
    )
    assert ran.stderr == ""
    assert time.perf_counter() - started < 60  # most of it is importing torch


def test_says_that_a_name_is_no_id() -> None:
    with pytest.raises(ModelUnavailable, match="neither a folder here nor a Hugging Face id"):
        load_model("some/thing/else", threads=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_says_that_there_is_no_cuda_device(tiny_checkpoint: TinyCheckpoint) -> None:
    with pytest.raises(ModelUnavailable, match="there is no cuda device here"):
        load_model(str(tiny_checkpoint("custom_voice")), device="cuda")


def test_threads_default_to_the_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 1 <= cpu.physical_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    assert cpu.physical_cores() == 1
    monkeypatch.undo()
    monkeypatch.setattr(cpu, "physical_cores", lambda: 1)
    assert cpu.set_up_cpu() == 1


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1), ("max 100000", 6)],
)
def test_container_limits_count(
    limit: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(limit)
    monkeypatch.setattr(cpu, "CPU_LIMIT_FILE", file)
    monkeypatch.setattr(cpu, "TOPOLOGY_FOLDER", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.physical_cores() == cores
