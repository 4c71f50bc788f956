import pytest
from pydantic import ValidationError

from shared.jobs import Sampling, SpeechSpec
from shared.speech_model import Task


def test_records_are_frozen_and_pass_over_what_newer_versions_add(spec: SpeechSpec) -> None:
    assert SpeechSpec.model_validate_json(spec.model_dump_json()) == spec
    with pytest.raises(ValidationError):
        spec.voice = "other"
    newer = SpeechSpec.model_validate_json('{"task": "custom_voice", "model": "m", "odd": 1}')
    assert newer == SpeechSpec(task=Task.CUSTOM_VOICE, model="m")
    with pytest.raises(ValidationError):
        Sampling.model_validate_json('{"temperatur": 1}')
