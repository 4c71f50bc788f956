"""The stack and `narrate up`, run for real with a pretended API and worker.

The pretended `api` and `worker` stand first on PYTHONPATH, so that the real commands find them.
Each worker leaves a file in the results folder while it lives; the API counts those.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from processes import alive, wait_until

from client.errors import ChildExited, StartFailed
from client.local import stack as stack_module
from client.local.child import Child, stop
from client.local.ports import free_port
from client.local.stack import Stack

COMMON = """
import os, pathlib, signal, sys, time
results = pathlib.Path(os.environ["STORAGE_URL"].removeprefix("file://"))
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
        model = {"id": "m", "task": "custom_voice", "voices": ["ann"], "workers": live}
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
if model == "broken":
    sys.exit("cannot load broken")
leave(f"worker-{model}-{os.getpid()}" if model == "stubborn" else "worker")
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
        pids = [child.pid for child in (*stack._workers, stack._api, stack._redis._child)]
    assert not any(alive(pid) for pid in pids)
    stopped = (tmp_path / "data" / "results" / "stopped").read_text().split()
    assert stopped == ["worker"] * 4 + ["api"]


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
    monkeypatch.setattr(stack_module, "WORKER_STOP_S", 0.3)
    with make_stack(tmp_path, "stubborn") as stack:
        stack.wait_ready(timeout_s=10)
        pid = stack._workers[0].pid
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_stops_cleanly_when_asked_during_start_up(tmp_path, number):
    up = narrate_up(tmp_path, "--model", "slow", "--port", "0")
    pids = [started(tmp_path, "api"), started(tmp_path, "worker")]
    up.send_signal(number)
    out, err = up.communicate(timeout=10)
    assert up.returncode == 0, err
    assert "Ready" not in out
    assert not any(alive(pid) for pid in pids)


def test_up_says_when_it_is_ready_and_what_to_do_next(tmp_path):
    port = free_port()
    up = narrate_up(tmp_path, "--model", "m", "--port", str(port))
    assert up.stdout.readline().startswith(f"Ready on http://127.0.0.1:{port} with m")
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
    monkeypatch.setattr("client.local.keeper.FIRST_PAUSE_S", 0.1)
    with make_stack(tmp_path, "m") as stack:
        stack.wait_ready(30)
        first = stack._workers[0]
        first.kill()
        found = []
        wait_until(lambda: found.extend(stack.tend()) or stack._workers[0] is not first)
        assert [error.exit_code for error in found] == [-signal.SIGKILL]
        wait_until(lambda: alive(stack._workers[0].pid))
        stack.check()
        again = time.monotonic()
        stack._workers[0].kill()
        second = stack._workers[0]
        wait_until(lambda: stack.tend() is None or stack._workers[0] is not second)
        assert time.monotonic() - again >= 0.2  # it waits longer each time
