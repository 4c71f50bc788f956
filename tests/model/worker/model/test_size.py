"""The computed size of a model is that of what is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from worker.engine.precision import Precision
from worker.model.loading import ModelUnavailable, load_model
from worker.model.size import in_gib, weight_bytes

Checkpoint = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["base", "custom_voice"])
def test_in_float32_it_is_that_of_all_loaded_weights(
    tiny_checkpoint: Checkpoint, kind: str
) -> None:
    folder = tiny_checkpoint(kind)
    model = load_model(str(folder), threads=1)
    codec, talker = model.model.speech_tokenizer.model, model.model
    tables = [talker.talker.model.text_embedding, talker.talker.model.codec_embedding]
    tables += talker.talker.code_predictor.model.codec_embedding
    stored = sum(table.weight.nbytes for table in tables)
    numbers = sum(each.numel() for each in talker.parameters())
    numbers -= sum(table.weight.numel() for table in tables)
    if kind != "base":
        del codec.encoder  # as the engine does
    numbers += sum(each.numel() for each in codec.state_dict().values())
    assert weight_bytes(folder, Precision.FLOAT32) == stored + 4 * numbers


def test_a_smaller_precision_takes_less(tiny_checkpoint: Checkpoint) -> None:
    folder = tiny_checkpoint("custom_voice")
    sizes = [weight_bytes(folder, precision) for precision in Precision]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_weights_that_bfloat16_does_not_hold_are_counted_as_float32(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint("custom_voice"), folder)
    as_released = weight_bytes(folder, Precision.BFLOAT16)
    path = folder / "model.safetensors"
    name = "talker.model.layers.0.mlp.up_proj.weight"
    weights = load_file(path)
    weights[name] = weights[name].float()
    save_file(weights, path)
    assert weight_bytes(folder, Precision.BFLOAT16) - as_released == 2 * weights[name].numel()


def test_a_folder_that_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        weight_bytes(tmp_path, Precision.FLOAT32)


def test_sizes_are_told_in_gib() -> None:
    assert in_gib(2.5 * 2**30) == "2.50 GiB"
