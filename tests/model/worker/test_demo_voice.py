"""The voice that is part of the package can be understood."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.paths import ROOT
from worker.engine.precision import Precision
from worker.evaluate import judge_speech, make_requests
from worker.model import catalogue, demo_voice
from worker.model.loading import load_model
from worker.quality.judge import SpeechJudge
from worker.quality.texts import sentences

# Wrong words ÷ words: 0.25 when the voice was trained, and a little more, since these ten sentences
# are few and another processor rounds otherwise.
MAX_WER = 0.38

pytestmark = pytest.mark.skipif(
    not demo_voice.PACKED.is_file(), reason="the package has no demo voice"
)


def test_ten_sentences_of_the_demo_voice_are_understood() -> None:
    folder = catalogue.locate("demo")
    card = catalogue.card_of("demo", load_model(folder, threads=1))
    requests = [
        replace(request, speaker=card.voices[number % len(card.voices)], language="english")
        for number, request in enumerate(make_requests(card, sentences(10)))
    ]
    found = judge_speech(SpeechJudge(), folder, requests, Precision.FLOAT32, threads=1)
    assert found.unended == 0
    assert found.wer <= MAX_WER


def test_the_readme_speaks_with_one_of_its_voices() -> None:
    card = catalogue.card_of("demo", load_model(catalogue.locate("demo"), threads=1))
    assert card.languages == ("auto", "english")
    readme = (ROOT / "README.md").read_text("utf-8")
    assert any(f'"voice": "{voice}"' in readme for voice in card.voices)
