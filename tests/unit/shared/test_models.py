from dataclasses import asdict, fields
from pathlib import Path

import pytest

from shared.jobs import Sampling
from shared.models import DEFAULT_MODEL, full_name, model_id
from shared.speech_model import SamplingOverrides


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
        ("Demo", "demo"),
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
    assert model_id("demo") == "demo"
