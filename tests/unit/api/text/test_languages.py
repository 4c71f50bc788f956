"""Languages by the codes that clients send."""

from __future__ import annotations

import pytest

from api.text.languages import language_name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("en", "english"),
        ("EN", "english"),
        ("en-US", "english"),
        ("en_GB", "english"),
        ("eng", "english"),
        ("zh-CN", "chinese"),
        ("zh_Hant_TW", "chinese"),
        ("cmn", "chinese"),
        (" de ", "german"),
        ("pt-BR", "portuguese"),
        ("es-419", "spanish"),
        ("", "auto"),
        ("  ", "auto"),
        # No codes of these languages: they stay, and are refused where languages are checked.
        ("English", "English"),
        (" auto", "auto"),
        ("nl", "nl"),
        ("beijing_dialect", "beijing_dialect"),
        ("en-", "en-"),
        ("e", "e"),
        ("en-US-x-a-b-c-d", "en-US-x-a-b-c-d"),
    ],
)
def test_a_code_is_a_language(sent: str, name: str) -> None:
    assert language_name(sent) == name
