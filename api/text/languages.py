"""Languages by the codes that clients send."""

from __future__ import annotations

import re

# ISO 639-1, 639-2 and 639-3, and `cmn`, which is Mandarin, for the models' languages.
_CODES = {
    "chinese": "zh zho chi cmn",
    "english": "en eng",
    "french": "fr fra fre",
    "german": "de deu ger",
    "italian": "it ita",
    "japanese": "ja jpn",
    "korean": "ko kor",
    "portuguese": "pt por",
    "russian": "ru rus",
    "spanish": "es spa",
}
_LANGUAGES = {code: name for name, codes in _CODES.items() for code in codes.split()}
LANGUAGES = frozenset(_CODES)
# A code with a script or a region: `en`, `en-US`, `zh_Hans_CN`.
_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]{2,8}){0,3}", re.I)


def language_name(text: str) -> str:
    """The name of a language that is given by its code; other texts stay, `auto` for none.

    Example: `zh-CN` is `chinese`, ` English ` is `English`.
    """
    text = text.strip()
    found = _TAG.fullmatch(text)
    return _LANGUAGES.get(found[1].lower(), text) if found else text or "auto"
