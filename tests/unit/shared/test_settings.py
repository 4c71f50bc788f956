"""Settings: their prefix, and their names of the version before."""

from __future__ import annotations

import logging
import os

import pytest

from shared.errors import InvalidSetting
from shared.models import DEFAULT_MODEL
from shared.settings import Settings

# Values of those that are neither a number nor a switch: none is the default.
OTHERS: dict[str, str | float] = {
    "redis_url": "redis://h/0",
    "storage_url": "file:///s",
    "log_level": "debug",
    "log_format": "json",
    "tracing": True,
    "model": "tiny",
    "model_memory": 2.5,
    "compile": True,
    "device": "cuda",
    "precision": "bfloat16",
    "threads": 2,
    "auth": "open",
    "hosts": "a b",
    "metrics": "open",
    "metrics_host": "::1",
    "model_aliases": '{"kokoro": "tts-1"}',
    "voice_aliases": '{"*": "ryan"}',
    "ledgers": '{"b": {"redis_url": "redis://b:6379/0", "owners": ["acme"]}}',
    "cors_origins": "https://a.example",
    "root_path": "/tts",
    "trusted_proxies": "10.0.0.7",
    "reference_urls": "any",
    "webhook_targets": "any",
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
        monkeypatch.delenv(f"TTS_{field.upper()}", raising=False)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_each_setting_is_read_with_the_prefix(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings.model_fields[field].default
    value = not default if isinstance(default, bool) else OTHERS.get(field) or default + 1
    monkeypatch.setenv(f"TTS_{field.upper()}", str(value))
    assert getattr(Settings.load(), field) == value


def test_an_old_name_is_read_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A process warns of a name once: no other test here reads this one.
    monkeypatch.setenv("MAX_VOICES", "3")
    assert [Settings.load().max_voices, Settings.load().max_voices] == [3, 3]
    assert caplog.messages == ["MAX_VOICES is read for this version only: name it TTS_MAX_VOICES"]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_command_line_option_wins_over_an_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOTS", "3")
    assert Settings.load(slots="4").slots == 4


def test_the_prefixed_name_wins_over_the_old_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MAX_VOICES", "not even a number")
    monkeypatch.setenv("TTS_MAX_VOICES", "5")
    assert Settings.load().max_voices == 5
    assert caplog.messages == ["MAX_VOICES is not read, since TTS_MAX_VOICES is set"]


@pytest.mark.parametrize(("new", "slots"), [("", 3), (None, 3), ("5", 5)])
def test_an_empty_name_is_one_that_is_not_set(
    new: str | None, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOTS", "3")
    if new is not None:
        monkeypatch.setenv("TTS_SLOTS", new)
    assert Settings.load().slots == slots


def test_empty_old_names_are_no_matter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLOTS", "")
    assert Settings.load().slots == 16
    assert not caplog.messages


def test_a_bad_value_is_reported_under_the_name_that_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLOTS", "0")
    with pytest.raises(InvalidSetting, match=r"^SLOTS='0'"):
        Settings.load()
    monkeypatch.setenv("TTS_SLOTS", "0")
    with pytest.raises(InvalidSetting, match=r"^TTS_SLOTS='0'"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("TTS_SLOT", "did you mean TTS_SLOTS?"),
        ("TTS_REDISURL", "did you mean TTS_REDIS_URL?"),
        ("TTS_ZZZZZZZZZZZZZZZZZZZZZZ", "docs/settings.md lists all settings"),
    ],
)
def test_an_unknown_name_is_an_error_that_says_what_to_do(
    name: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(InvalidSetting) as refused:
        Settings.load()
    assert str(refused.value) == f"there is no setting {name}; unset it: {advice}"


def test_what_kubernetes_sets_for_a_service_called_tts_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "TTS_SERVICE_HOST",
        "TTS_SERVICE_PORT",
        "TTS_SERVICE_PORT_HTTP",
        "TTS_PORT",
        "TTS_PORT_8000_TCP",
        "TTS_PORT_8000_TCP_ADDR",
        "TTS_API_SERVICE_HOST",
    ):
        monkeypatch.setenv(name, "tcp://10.0.0.1:8000")
    assert Settings.load().slots == 16


def test_no_warning_or_error_shows_a_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@h/0")
    assert Settings.load().redis_url == os.environ["REDIS_URL"]
    monkeypatch.setenv("TTS_REDIS_URL", "redis://:hunter3@h/0")
    assert Settings.load().redis_url == os.environ["TTS_REDIS_URL"]
    monkeypatch.setenv("TTS_REDIS_URL", "")
    monkeypatch.setenv("REDIS_URL", "sentinel://:hunter2@h")
    with pytest.raises(InvalidSetting, match="REDIS_URL") as refused:
        Settings.load()
    assert len(caplog.messages) == 2
    assert "hunter" not in caplog.text + str(refused.value)


def test_settings_come_from_the_environment_and_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTS_SLOTS", "16")
    monkeypatch.setenv("TTS_THREADS", "")
    assert (Settings.load().slots, Settings.load().threads) == (16, None)
    assert Settings.load(slots="4", model=None).slots == 4
    assert Settings.load(slots="4", model=None).model == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TTS_SLOTS", "0"),
        ("TTS_MAX_SPEECH_CHARS", "20001"),
        ("TTS_THREADS", "x"),
        ("TTS_RESULT_TTL_S", "inf"),
        ("TTS_LEASE_S", "nan"),
        ("TTS_DEVICE", "tpu"),
        ("TTS_REDIS_URL", "here"),
        ("TTS_STORAGE_URL", "file://here"),
    ],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting, match=f"{name}='{value}'"):
        Settings.load()


def test_int8_is_refused_where_it_cannot_run() -> None:
    assert Settings.load(precision="int8").precision == "int8"
    with pytest.raises(
        InvalidSetting, match=r"TTS_PRECISION='int8'.*use bfloat16 with TTS_DEVICE=cuda"
    ):
        Settings.load(device="cuda", precision="int8")


def test_several_models_have_commas_between_them() -> None:
    assert Settings.load(model=" tiny, a/b ,,tiny,/some/folder").models == (
        "tiny",
        "a/b",
        "/some/folder",
    )
    assert Settings.load().models == (DEFAULT_MODEL,)
    with pytest.raises(InvalidSetting, match="TTS_MODEL=' ,': name a model"):
        Settings.load(model=" ,")


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(InvalidSetting, match="TTS_SLOT="):
        Settings.load(slot=3)


@pytest.mark.parametrize(
    "origins",
    [
        "https://app.example",
        " https://App.example , http://localhost:3000,",
        "http://[::1]:8080",
        "chrome-extension://abcdefgh",
        "tauri://localhost,http://192.168.1.7:443",
    ],
)
def test_origins_are_listed_with_commas(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_CORS_ORIGINS", origins)
    listed = Settings.load().allowed_origins
    assert listed == tuple(each.strip().lower() for each in origins.split(",") if each.strip())


@pytest.mark.parametrize(
    "origins",
    [
        "app.example",
        "https://app.example/",
        "https://app.example/page",
        "https://*.example",
        "https://app.example:443",
        "http://localhost:80",
        "https://user@app.example",
        "https://bücher.example",
        "null",
        "https://a.example https://b.example",
        "https://a.example,*",
    ],
)
def test_what_is_no_origin_is_refused(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_CORS_ORIGINS", origins)
    monkeypatch.setenv("TTS_AUTH", "required")
    with pytest.raises(InvalidSetting, match="TTS_CORS_ORIGINS"):
        Settings.load()


@pytest.mark.parametrize("auth", ["auto", "open", None])
def test_every_origin_needs_keys(auth: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_CORS_ORIGINS", "*")
    if auth:
        monkeypatch.setenv("TTS_AUTH", auth)
    with pytest.raises(InvalidSetting, match="narrate keys create NAME` and set TTS_AUTH=required"):
        Settings.load()
    monkeypatch.setenv("TTS_AUTH", "required")
    assert Settings.load().allowed_origins == ("*",)


@pytest.mark.parametrize("path", ["/tts", "/apps/tts", "/~me/v2.1_x-y"])
def test_a_root_path_is_a_path(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_ROOT_PATH", path)
    assert Settings.load().root_path == path


@pytest.mark.parametrize(
    "path",
    ["tts", "/tts/", "/", "//tts", "/a//b", "/..", "/a/./b", "/a b", "/%41", "/ü", "http://a/tts"],
)
def test_what_is_no_root_path_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_ROOT_PATH", path)
    with pytest.raises(InvalidSetting, match="such as /tts"):
        Settings.load()


@pytest.mark.parametrize(
    ("listed", "read"),
    [
        ("*", "*"),
        ("10.0.0.7", "10.0.0.7"),
        (" 172.16.0.0/12 , fd00::/8,", "172.16.0.0/12,fd00::/8"),
    ],
)
def test_proxies_are_addresses(listed: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_TRUSTED_PROXIES", listed)
    assert Settings.load().trusted_proxies == read


@pytest.mark.parametrize(
    "listed", ["nginx", "*,10.0.0.7", "10.0.0.7/8", "10.0.0", "10.0.0.7 10.0.0.8", "10.0.0.7:80"]
)
def test_what_is_no_proxy_is_refused(listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_TRUSTED_PROXIES", listed)
    with pytest.raises(InvalidSetting, match="TTS_TRUSTED_PROXIES"):
        Settings.load()


@pytest.mark.parametrize("name", ["TTS_MODEL_ALIASES", "TTS_VOICE_ALIASES"])
@pytest.mark.parametrize(
    "text",
    ["kokoro=tts-1", "{", "[]", '"a"', '{"a": 1}', '{"a": ""}', '{" ": "a"}', '{"a": {"b": "c"}}'],
)
def test_aliases_are_json(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(InvalidSetting, match="write it as JSON") as refused:
        Settings.load()
    assert refused.value.param == name
