"""The stack and `narrate up`, run for real with a pretended API and worker.

The pretended `api` and `worker` stand first on PYTHONPATH, so that the real commands find them.
Each worker leaves a file in the results folder while it lives; the API counts those.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest
import redis

from client.errors import ChildExited, StartFailed
from client.local import stack as stack_module
from client.local.data_folder import write_private
from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import find_program
from client.local.stack import Stack
from tests.support.processes import alive, wait_until

COMMON = """
import os, pathlib, signal, sys, time
results = pathlib.Path(os.environ["TTS_STORAGE_URL"].removeprefix("file://"))
def leave(name):
    def on_sigterm(*_):
        with (results / "stopped").open("a") as file:
            file.write(name + "\\n")
        os._exit(0)
    signal.signal(signal.SIGTERM, on_sigterm)
    (results / f"{name}.pid").write_text(str(os.getpid()))
"""

API = (
    COMMON
    + """
import http.server, json
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        live = len(list(results.glob("live-*")))
        precision = next((path.read_text() for path in results.glob("precision-*")), None)
        gain = {"int8": None, "bfloat16": 1.1}.get(precision, 2.25)
        model = {"id": "m", "task": "custom_voice", "voices": ["ann"], "workers": live}
        model["compute"] = {"precision": precision, "int8_speedup": gain}
        body = json.dumps({"object": "list", "data": [model], "workers": live}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
leave("api")
http.server.HTTPServer((sys.argv[2], int(sys.argv[4])), Answer).serve_forever()
"""
)

WORKER = (
    COMMON
    + """
model = sys.argv[2]
(results / f"command-{os.getpid()}").write_text(" ".join(sys.argv[1:]))
if model == "broken":
    sys.exit("cannot load broken")
leave(f"worker-{model}-{os.getpid()}" if model == "stubborn" else "worker")
(results / f"threads-{model}").write_text(os.environ.get("TTS_THREADS", "its default"))
(results / f"precision-{model}").write_text(os.environ.get("TTS_PRECISION", "float32"))
if model == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if model != "slow":
    (results / f"live-{os.getpid()}").touch()
time.sleep(60)
"""
)


@pytest.fixture(autouse=True)
def pretended_children(tmp_path, monkeypatch):
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    (fakes / "api.py").write_text(API)
    (fakes / "worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(fakes))


def make_stack(tmp_path, *models, **options):
    return Stack(models, data=tmp_path / "data", port=0, logs_to_files=True, **options)


def narrate_up(tmp_path, *arguments):
    command = [sys.executable, "-m", "client", "up", "--data", str(tmp_path / "data"), *arguments]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def started(tmp_path, name):
    path = tmp_path / "data" / "results" / f"{name}.pid"
    wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_it_becomes_ready_and_stops_workers_first(tmp_path):
    with make_stack(tmp_path, "m", "n", workers=2) as stack:
        stack.wait_ready(timeout_s=10)
        assert len(list((tmp_path / "data" / "results").glob("live-*"))) == 4
        pids = [child.pid for child in (*stack.worker_children, stack.api, stack.redis.child)]
    assert not any(alive(pid) for pid in pids)
    stopped = (tmp_path / "data" / "results" / "stopped").read_text().split()
    assert stopped == ["worker"] * 4 + ["api"]


@pytest.mark.parametrize(
    ("models", "threads"),
    [
        (["demo"], "1"),
        (["tiny", "demo"], "1"),
        (["m"], "its default"),
        (["demo-of-mine"], "its default"),
        (["m", "demo"], str(max(1, (os.cpu_count() or 1) // 2))),
    ],
)
def test_small_models_have_one_thread_and_others_share_the_cores(
    tmp_path, monkeypatch, models, threads
):
    monkeypatch.delenv("TTS_THREADS", raising=False)
    with make_stack(tmp_path, *models) as stack:
        stack.wait_ready(timeout_s=10)
        found = (tmp_path / "data" / "results").glob("threads-*")
        assert [path.read_text() for path in found] == [threads] * len(models)


def test_with_a_budget_one_worker_serves_all_models(tmp_path, monkeypatch):
    monkeypatch.delenv("TTS_THREADS", raising=False)
    with make_stack(tmp_path, "m", "n", model_memory=2.5) as stack:
        stack.wait_ready(timeout_s=10)
        assert [child.name for child in stack.worker_children] == ["worker of m, n"]
        results = tmp_path / "data" / "results"
        (command,) = results.glob("command-*")
        assert command.read_text() == "--model m --model n --model-memory 2.5"
        assert (results / "threads-m").read_text() == "its default"


def test_up_with_a_budget_starts_one_worker(tmp_path):
    options = ("--model", "m", "--model", "n", "--model-memory", "2", "--port", "0")
    up = narrate_up(tmp_path, *options)
    assert up.stdout.readline().startswith("Ready")
    up.terminate()
    _, err = up.communicate(timeout=10)
    assert " and a worker for m, n; everything" in err
    assert len(list((tmp_path / "data" / "results").glob("command-*"))) == 1


def test_a_budget_is_a_number_of_gib(tmp_path):
    up = narrate_up(tmp_path, "--model-memory", "none")
    _, err = up.communicate(timeout=10)
    assert up.returncode == 2
    assert "invalid gib value: 'none'" in err


def test_a_worker_that_cannot_load_is_named_with_its_exit_code_and_log(tmp_path):
    with make_stack(tmp_path, "m", "broken") as stack:
        with pytest.raises(ChildExited, match="worker of broken ended with exit code 1") as raised:
            stack.wait_ready(timeout_s=10)
        assert raised.value.log.read_text() == "cannot load broken\n"


def test_a_process_that_dies_later_is_named_too(tmp_path):
    with make_stack(tmp_path, "m") as stack:
        stack.wait_ready(timeout_s=10)
        os.kill(started(tmp_path, "api"), signal.SIGKILL)
        with pytest.raises(ChildExited, match="the API ended on signal 9"):
            wait_until(lambda: stack.check())


def test_waiting_for_ready_can_be_bounded(tmp_path):
    with (
        make_stack(tmp_path, "slow") as stack,
        pytest.raises(StartFailed, match=r"not ready within 0\.3 s: see .*/data/logs"),
    ):
        stack.wait_ready(timeout_s=0.3)


def test_a_process_that_does_not_stop_is_killed_at_its_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_module, "WORKER_STOP_TIMEOUT_S", 0.3)
    with make_stack(tmp_path, "stubborn") as stack:
        stack.wait_ready(timeout_s=10)
        pid = stack.worker_children[0].pid
    assert not alive(pid)


def test_a_second_stack_on_the_same_folder_is_refused(tmp_path):
    with make_stack(tmp_path), pytest.raises(StartFailed, match="in use by another `narrate up`"):
        make_stack(tmp_path).start()
    with make_stack(tmp_path):  # And the folder is free again afterwards.
        pass


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stack = Stack(["m"], data=tmp_path / "data", port=port)
        with pytest.raises(StartFailed, match=f"port {port} is in use"):
            stack.start()
    assert not (tmp_path / "data" / "redis").exists()


def test_a_command_that_does_not_exist_is_a_clear_error():
    with pytest.raises(StartFailed, match=r"cannot start it .*No such file"):
        Child("it", ["/does/not/exist"])


def test_stopping_kills_what_a_stuck_process_has_started_too(tmp_path):
    script = "trap '' TERM; sleep 60 & echo $! > $0/pid; while :; do sleep 1; done"
    child = Child("shell", ["bash", "-c", script, str(tmp_path)])
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    grandchild = int((tmp_path / "pid").read_text())
    stop([child], within_s=0.1)
    wait_until(lambda: not alive(grandchild))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_up_stops_cleanly_when_asked_during_start_up(tmp_path, number):
    up = narrate_up(tmp_path, "--model", "slow", "--port", "0")
    pids = [started(tmp_path, "api"), started(tmp_path, "worker")]
    up.send_signal(number)
    out, err = up.communicate(timeout=10)
    assert up.returncode == 0, err
    assert "Ready" not in out
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("precision", [None, "bfloat16", "int8"])
def test_up_says_when_it_is_ready_and_what_to_do_next(tmp_path, precision):
    port = free_port()
    asked = ["--precision", precision] if precision else []
    up = narrate_up(tmp_path, "--model", "m", "--port", str(port), *asked)
    assert up.stdout.readline().startswith(f"Ready on http://127.0.0.1:{port} with m")
    if precision is None:  # else there is no gain worth a line
        assert "int8 would speak 2.2 times as fast" in up.stdout.readline()
    assert 'narrate say "Hello there." -o hello.wav --url' in up.stdout.readline()
    up.terminate()
    up.communicate(timeout=10)
    assert up.returncode == 0


def test_up_fails_with_one_line_when_a_model_cannot_be_loaded(tmp_path):
    up = narrate_up(tmp_path, "--model", "broken", "--port", "0")
    _, err = up.communicate(timeout=10)
    assert up.returncode == 1
    assert "cannot load broken\n" in err
    assert "narrate: worker of broken ended with exit code 1: its output is above" in err
    assert "Traceback" not in err


def test_a_second_signal_kills_at_once(tmp_path):
    up = narrate_up(tmp_path, "--model", "stubborn", "--port", "0")
    assert up.stdout.readline().startswith("Ready")
    up.terminate()
    assert "Starting" in up.stderr.readline()
    assert "Stopping" in up.stderr.readline()
    up.terminate()
    up.communicate(timeout=5)
    assert up.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of our death")
def test_nothing_outlives_a_killed_supervisor(tmp_path):
    up = narrate_up(tmp_path, "--model", "m", "--port", "0")
    assert up.stdout.readline().startswith("Ready")
    pids = [started(tmp_path, "api"), started(tmp_path, "worker")]
    up.kill()
    up.communicate(timeout=10)
    wait_until(lambda: not any(alive(pid) for pid in pids))
    with make_stack(tmp_path, "m"):  # Its Redis is gone too, or the folder would be locked.
        pass


def test_a_worker_that_ends_is_started_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("client.local.process.FIRST_BACKOFF_S", 0.1)
    with make_stack(tmp_path, "m") as stack:
        stack.wait_ready(30)
        first = stack.worker_children[0]
        first.kill()
        found = []
        wait_until(
            lambda: found.extend(stack.restart_ended()) or stack.worker_children[0] is not first
        )
        assert [error.exit_code for error in found] == [-signal.SIGKILL]
        wait_until(lambda: alive(stack.worker_children[0].pid))
        stack.check()
        again = time.monotonic()
        stack.worker_children[0].kill()
        second = stack.worker_children[0]
        wait_until(lambda: stack.restart_ended() is None or stack.worker_children[0] is not second)
        assert time.monotonic() - again >= 0.2  # it waits longer each time


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("client.local.process.FIRST_BACKOFF_S", 0.1)
    monkeypatch.setattr("client.local.process.MAX_BACKOFF_S", 0.2)


def restarted(stack, child_of):
    """Kill a child and tend until there is another; returns what was said of it."""
    first, said = child_of(), []
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: said.extend(map(str, stack.restart_ended())) or child_of() is not first)
    return said


@pytest.mark.usefixtures("impatient")
def test_the_api_is_started_anew_at_its_port(tmp_path):
    with make_stack(tmp_path, "m") as stack:
        stack.wait_ready(timeout_s=10)
        port = stack.port
        (said,) = restarted(stack, lambda: stack.api)
        assert said.startswith("the API ended on signal 9: its log is")
        wait_until(stack.ready)
        assert stack.port == port


@pytest.mark.usefixtures("impatient")
def test_redis_is_started_anew_at_its_port_with_what_it_had(tmp_path):
    with make_stack(tmp_path, "m") as stack:
        url = stack.redis.url
        with redis.Redis.from_url(url) as connection:
            for number in range(500):
                connection.set(f"job:{number}", "accepted")
            wait_until(lambda: connection.info("persistence")["aof_buffer_length"] == 0)
        (said,) = restarted(stack, lambda: stack.redis.child)
        assert said.startswith("Redis ended on signal 9: its log is")
        assert stack.redis.url == url
        with redis.Redis.from_url(url) as connection:
            wait_until(lambda: answers(connection))
            assert connection.dbsize() == 500
        assert (tmp_path / "data" / "redis.url").read_text() == url


def answers(connection):
    try:
        return connection.ping()
    except redis.ConnectionError:
        return False


@pytest.mark.usefixtures("impatient")
def test_what_keeps_redis_down_is_said_until_it_is_gone(tmp_path):
    with make_stack(tmp_path, "m") as stack:
        os.kill(stack.redis.child.pid, signal.SIGKILL)
        wait_until(lambda: stack.redis.child.exit_code is not None)
        with socket.create_server(("127.0.0.1", stack.redis.port)):
            said = []
            wait_until(lambda: said.extend(map(str, stack.restart_ended())) or len(said) == 4)
        assert "on signal 9" in said[0]
        for each in said[1:]:
            assert each.startswith("Redis ended with exit code 1: its log is")
            assert "which ends with: " in each
            assert "listening on" in each
        with redis.Redis.from_url(stack.redis.url) as connection:
            wait_until(lambda: stack.restart_ended() is not None and answers(connection))


@pytest.mark.usefixtures("impatient")
def test_a_redis_that_cannot_even_be_started_is_tried_again(tmp_path, monkeypatch):
    with make_stack(tmp_path, "m") as stack:
        with monkeypatch.context() as patch:
            patch.setattr("client.local.redis_server.find_program", lambda: "/does/not/exist")
            os.kill(stack.redis.child.pid, signal.SIGKILL)
            said = []
            wait_until(lambda: said.extend(map(str, stack.restart_ended())) or len(said) >= 3)
        assert "on signal 9" in said[0]
        assert (
            said[1] == said[2] == "cannot start Redis (/does/not/exist): No such file or directory"
        )
        with redis.Redis.from_url(stack.redis.url) as connection:
            wait_until(lambda: stack.restart_ended() is not None and answers(connection))


def test_nobody_else_reads_the_data_folder_or_the_password(tmp_path):
    with make_stack(tmp_path, "m") as stack:
        stack.wait_ready(timeout_s=10)
        password = stack.redis.url.partition("//:")[2].partition("@")[0]
        assert len(password) > 30
        for pid in (
            os.getpid(),
            *(child.pid for child in (*stack.worker_children, stack.api, stack.redis.child)),
        ):
            with open(f"/proc/{pid}/cmdline") as command:
                assert password not in command.read()
        with (
            redis.Redis(port=stack.redis.port) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        assert modes(tmp_path / "data") == {"data": 0o700, **PRIVATE}
        assert mode(tmp_path / "data" / "redis" / "redis.conf") == 0o600


PRIVATE = {"lock": 0o600, "redis.url": 0o600, "redis": 0o700, "results": 0o700, "logs": 0o700}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder):
    return {path.name: mode(path) for path in (folder, *folder.iterdir())}


def test_a_data_folder_of_the_version_before_is_tightened_and_used(tmp_path):
    data = tmp_path / "data"
    before = os.umask(0o022)
    try:
        for name in ("redis", "results", "logs"):
            (data / name).mkdir(parents=True)
        for name in ("lock", "redis.url"):
            (data / name).touch()
        old_redis(data / "redis")
        with make_stack(tmp_path, "m") as stack:
            assert modes(data) == {"data": 0o700, **PRIVATE, "lock": 0o644}
            with redis.Redis.from_url(stack.redis.url) as connection:
                assert connection.get("job") == b"accepted"
    finally:
        os.umask(before)


def old_redis(folder):
    """Leave what a Redis without a password, started by options alone, leaves."""
    port = free_port()
    options = ["--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    child = Child("Redis", [find_program(), *options], log=folder.parent / "logs" / "redis.log")
    with redis.Redis(port=port) as connection:
        wait_until(lambda: answers(connection))
        connection.set("job", "accepted")
    stop([child], within_s=10)


def test_a_folder_that_holds_other_things_keeps_its_mode(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "letter.txt").touch(mode=0o644)
    with make_stack(tmp_path):
        found = modes(data)
    assert found == {"data": 0o755, **PRIVATE, "letter.txt": 0o644}


def test_a_private_file_takes_the_place_of_one_that_others_read(tmp_path):
    path = tmp_path / "redis.url"
    path.write_text("old, and longer than what comes")
    path.chmod(0o644)
    with path.open() as reader:
        write_private(path, "new")
        assert reader.read().startswith("old")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
