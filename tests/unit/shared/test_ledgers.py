import json

import pytest

from shared.errors import InvalidSetting
from shared.ledgers import read_ledgers
from shared.settings import Settings


def table(**ledgers: object) -> str:
    return json.dumps(ledgers)


def ledger(*owners: str, url: str = "redis://:hunter2@b:6379/0") -> dict[str, object]:
    return {"redis_url": url, "owners": owners}


def test_each_name_has_a_redis_and_its_owners() -> None:
    found = read_ledgers(table(b=ledger("acme", "globex"), c=ledger("initech", url="unix:///r")))
    assert found["b"].owners == {"acme", "globex"}
    assert found["c"].redis_url == "unix:///r"
    assert read_ledgers(" ") == {}


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("redis://b", "write it as JSON"),
        (table(b="redis://b"), "write it as JSON"),
        (table(b=ledger() | {"models": ["m"]}), "write it as JSON"),
        (table(**{"a b": ledger()}), "'a b' is no name of a ledger"),
        (table(b=ledger(url="http://b")), "redis_url of b: it begins with redis://"),
        (table(b=ledger("acme"), c=ledger("acme", url="redis://c")), "acme is in b and in c"),
        (table(first=ledger()), "first is the ledger of TTS_REDIS_URL"),
        (table(b=ledger(), c=ledger(url="redis://b/0")), "b and c have the same Redis"),
        (table(b=ledger(url="redis://a:6379")), "first and b have the same Redis"),
        # A parser keeps the last one: what belongs to acme would be in the first ledger.
        (f'{{"b": {json.dumps(ledger("acme"))}, {table(b=ledger())[1:]}', "'b' is in it twice"),
        ("[" * 100_000, "write it as JSON"),
    ],
)
def test_a_bad_table_is_told_without_its_passwords(
    text: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTS_REDIS_URL", "redis://:secret@a/0")
    monkeypatch.setenv("TTS_LEDGERS", text)
    with pytest.raises(InvalidSetting) as refused:
        Settings.load()
    assert advice in str(refused.value)
    assert "hunter2" not in str(refused.value)
