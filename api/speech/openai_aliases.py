"""Names that clients of OpenAI's API send without a thought of what is served here."""

from __future__ import annotations

from shared.models import ModelCard

# Each means: whatever is served that can do it.
MODELS = frozenset({"tts-1", "tts-1-hd", "gpt-4o-mini-tts"})
# OpenAI's voices, and who speaks for them among the released models' speakers.
VOICES = {
    "alloy": "vivian",
    "ash": "aiden",
    "ballad": "dylan",
    "coral": "serena",
    "echo": "ryan",
    "fable": "eric",
    "onyx": "uncle_fu",
    "nova": "vivian",
    "sage": "serena",
    "shimmer": "ono_anna",
    "verse": "ryan",
    "marin": "sohee",
    "cedar": "aiden",
}
_ORDER = tuple(VOICES)


def is_model_alias(name: str) -> bool:
    """Whether a model's name leaves the choice to us."""
    return name.lower() in MODELS


def voice_of(card: ModelCard, name: str) -> str:
    """The voice of a model that a name stands for: its own, else the one for OpenAI's name.

    A model without the released speakers gives its own voices out in order. Any other name stays
    as it is, to be refused where voices are checked.
    """
    known = name.lower()
    if known in card.voices or known not in VOICES or not card.voices:
        return name
    if VOICES[known] in card.voices:
        return VOICES[known]
    return card.voices[_ORDER.index(known) % len(card.voices)]
