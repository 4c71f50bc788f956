"""TTS_REDIS_URL: what is understood, what is refused with a sentence, and no secret in either."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import InvalidSetting
from shared.settings import Settings
from shared.store.redis_address import RedisAddress

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown", "options"),
    [
        ("redis://h", "redis://h:6379/0", {"host": "h", "port": 6379, "db": 0}),
        ("redis://h:1/3", "redis://h:1/3", {"db": 3}),
        ("redis://h?db=4", "redis://h:6379/4", {"db": 4}),
        ("redis://:hunter2@h", "redis://h:6379/0", {"username": None, "password": SECRET}),
        ("redis://u:a%2Fhunter2@h", "redis://h:6379/0", {"password": "a/hunter2"}),
        ("redis://h?username=u&password=hunter2", "redis://h:6379/0", {"password": SECRET}),
        ("rediss://u:hunter2@h/1", "rediss://h:6379/1", {"username": "u"}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss://h:6379/0", {"ssl_cert_reqs": "none"}),
        ("rediss://h?ssl_check_hostname=False", "rediss://h:6379/0", {"ssl_check_hostname": False}),
        ("redis://[::1]:7/0", "redis://[::1]:7/0", {"host": "::1", "port": 7}),
        ("unix:///run/r.sock", "unix:///run/r.sock?db=0", {"path": "/run/r.sock"}),
        (
            "unix://u:hunter2@/run/r.sock?db=2",
            "unix:///run/r.sock?db=2",
            {"db": 2, "password": SECRET},
        ),
    ],
)
def test_an_address_is_understood_and_shown_without_its_password(
    url: str, shown: str, options: dict[str, object]
) -> None:
    address = RedisAddress.parse(url)
    assert str(address) == shown
    assert options.items() <= address.options().items()
    assert SECRET not in repr(address)
    assert SECRET not in repr(Settings(redis_url=url))


REFUSED = {
    "sentinel://:hunter2@h:26379": "Sentinels are named so: redis.sentinel://HOST",
    "redis+sentinel://:hunter2@h:26379": "no service of the Sentinels",
    "redis+sentinel://:hunter2@h,/mymaster": "with commas",
    "redis+sentinel://:hunter2@a;b/mymaster": "with commas",
    "redis+sentinel://:hunter2@h:port/mymaster": "its port is no number",
    "redis+sentinel://:hunter2@h/mymaster/zero": "its database is a number",
    "redis+sentinel://:hunter2@h/mymaster?ssl_cert_reqs=none": "of rediss:// only",
    "redis://:hunter2@h?sentinel_password=hunter2": "its options are",
    "redis+cluster://:hunter2@h": "Cluster",
    "redis-cluster://h": "Cluster",
    "redis://:hunter2@a,b": "one server",
    "redis://:hunter2@a;redis://b": "one server",
    "http://:hunter2@h": "begins with redis://",
    ":hunter2@h:6379": "begins with redis://",
    # Python's own messages repeat these; the second has a # once it is normalised.
    "redis://:a[hunter2]b@h": "cannot be told apart",
    "redis://:hunter2＃@h": "cannot be told apart",
    "redis+sentinel://:hunter2@h,[x/mymaster": "cannot be told apart",
    "redis://": "begins with redis://",
    "socket:///run/r.sock": "begins with redis://",
    "redis://:hunt/hunter2@h": "its port is no number",
    "redis://:hunter2@h:port": "its port is no number",
    "redis://:hunter2@h:70000": "its port is no number",
    "redis://:hunter2@h:0": "its port is no number",
    "redis://:hunter2#x@h": "has a #",
    "redis://:hunter2@h/zero": "its database is a number",
    "redis://:hunter2@h?db=-1": "its database is a number",
    "redis://:hunter2@h?socket_timeout=1": "its options are",
    "redis://:hunter2@h?ssl_cert_reqs=none": "of rediss:// only",
    "rediss://:hunter2@h?ssl_cert_reqs=maybe": "is one of required",
    "rediss://:hunter2@h?ssl_check_hostname=maybe": "is true or false",
    "rediss://:hunter2@h?ssl_ca_certs=/none/ca.pem": "no file that can be read",
    "rediss://:hunter2@h?ssl_ca_path=/none": "no folder that can be read",
    "unix://:hunter2@run/r.sock": "three slashes",
    "unix://:hunter2@/": "three slashes",
}


@pytest.mark.parametrize(
    ("url", "sentinels", "shown"),
    [
        ("redis+sentinel://h/s", (("h", 26379),), "redis+sentinel://h:26379/s/0"),
        (
            "redis+sentinel://u:hunter2@a,b:7,[::1]:8/s/3?sentinel_password=hunter2",
            (("a", 26379), ("b", 7), ("::1", 8)),
            "redis+sentinel://a:26379,b:7,[::1]:8/s/3",
        ),
        (
            "rediss+sentinel://:hunter2@a/s?db=2&ssl_cert_reqs=none",
            (("a", 26379),),
            "rediss+sentinel://a:26379/s/2",
        ),
    ],
)
def test_sentinels_are_understood(
    url: str, sentinels: tuple[tuple[str, int], ...], shown: str
) -> None:
    address = RedisAddress.parse(url)
    assert (address.sentinels, str(address), address.service) == (sentinels, shown, "s")
    assert address.sentinel_options().get("ssl", False) is address.is_tls
    assert SECRET not in repr(address) + address.broker_url
    assert Settings(redis_url=url).redis_url == url


@pytest.mark.parametrize("url", REFUSED)
def test_another_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidSetting, match=f"TTS_REDIS_URL.*{REFUSED[url]}") as refused:
        Settings.load(redis_url=url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://u:hunter2@h", "file://h/?key=hunter2", "s3:hunter2@"])
def test_a_storage_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidSetting, match="TTS_STORAGE_URL") as refused:
        Settings.load(storage_url=url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "command", ["api", "api.keys list", "worker --model tiny", "worker.health"]
)
def test_every_process_refuses_it_with_one_sentence(command: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *command.split()],
        env=os.environ | {"TTS_REDIS_URL": "sentinel://:hunter2@h:26379"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert "Sentinels are named so" in said
    assert SECRET not in said
    assert len(said.splitlines()) == 1
