import os
import signal
import time

import pytest
import redis

from client.errors import ChildExited, StartFailed
from client.local import redis_server
from client.local.redis_server import RedisServer, answers_ping


def check_for(server, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        server.check()


def test_what_is_written_survives_a_restart_on_the_same_folder(tmp_path):
    with RedisServer(tmp_path / "redis", log=tmp_path / "log") as server:
        with redis.Redis.from_url(server.url) as connection:
            connection.set("job", "kept")
            assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        first_port = server.port
    assert not answers_ping(first_port)

    with (
        RedisServer(tmp_path / "redis", log=tmp_path / "log") as server,
        redis.Redis.from_url(server.url) as connection,
    ):
        assert connection.get("job") == b"kept"


def test_it_answers_on_loopback_only_and_says_when_it_has_died(tmp_path):
    with RedisServer(tmp_path, log=tmp_path / "log") as server:
        with redis.Redis.from_url(server.url) as connection:
            assert connection.config_get("bind") == {"bind": "127.0.0.1"}
            os.kill(connection.info("server")["process_id"], signal.SIGKILL)
        with pytest.raises(ChildExited, match="Redis ended on signal 9: its log is"):
            check_for(server, seconds=5)


def test_a_folder_it_cannot_use_is_one_error_that_names_the_log(tmp_path):
    (tmp_path / "appendonlydir").write_text("a file where Redis wants a folder")
    server = RedisServer(tmp_path, log=tmp_path / "log")
    with pytest.raises(StartFailed, match="Redis ended with exit code 1: its log is"):
        server.start()


def test_without_any_program_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(redis_server, "find_spec", lambda _: None)
    with pytest.raises(StartFailed, match="install Redis"):
        redis_server.find_program()
