"""The client and its commands against a small real server that speaks the contract."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
import zipfile

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from client import Narrator
from client.cli import main
from client.errors import JobFailed, NarrateError, RequestRefused, ServerUnreachable
from client.models import Model
from client.options import resolve_options

PARTS_BEFORE_DONE = 3


def a_wav():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(b"\x10\x20" * 24_000)
    return buffer.getvalue()


WAV = a_wav()


def refusal(status, message, *, param=None, code=None, headers=None):
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


CONTENTS = {
    "title": "The Lamp",
    "author": "A. Writer",
    "language": "english",
    "characters": 12_345,
    "seconds": 823.0,
    "sections": [
        {
            "number": 1,
            "title": None,
            "kind": "title_page",
            "characters": 40,
            "seconds": 4.2,
            "spoken": False,
        },
        {
            "number": 2,
            "title": "One",
            "kind": "chapter",
            "characters": 12_345,
            "seconds": 823.0,
            "spoken": True,
        },
    ],
    "warnings": [{"code": "x", "message": "left out: title page", "where": None}],
}


class Server:
    """A uvicorn in a thread; every GET of a job brings it one segment further."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.reset()

    def reset(self):
        self.bodies, self.asked = [], 0
        self.ends_as, self.answers = "completed", []  # `answers` go out before the usual ones.
        self.models = [
            {"id": "tiny-Base", "task": "voice_clone", "workers": 1},
            {"id": "idle-CustomVoice", "task": "custom_voice", "voices": ["zoe"], "workers": 0},
            {"id": "tiny-CustomVoice", "task": "custom_voice", "voices": ["ann"], "workers": 1},
        ]

    def start(self):
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port))
        config = uvicorn.Config(self.app(), log_level="critical", ws="none", lifespan="off")
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, args=([self.listener],))
        self.thread.start()

    def stop(self):
        self.uvicorn.should_exit = self.uvicorn.force_exit = True
        self.thread.join()
        self.listener.close()
        self.listener = None

    def app(self):
        app = FastAPI()

        @app.post("/v1/documents")
        async def contents(request: Request):
            async with request.form() as form:
                self.bodies.append(
                    dict(form) | {"file": (await form["file"].read()).decode("latin-1")}
                )
            return CONTENTS

        @app.post("/v1/jobs")
        async def submit(request: Request):
            if request.headers["content-type"].startswith("multipart"):
                async with request.form() as form:
                    self.bodies.append(dict(form))
            else:
                self.bodies.append(await request.json())
            if self.answers:
                return self.answers.pop(0)
            return JSONResponse(self.job("queued", 0), 202)

        @app.get("/v1/jobs/{job_id}")
        async def job(job_id: str):
            if self.answers:
                return self.answers.pop(0)
            if job_id != "job_1":
                return refusal(404, f"there is no job {job_id}", code="not_found")
            self.asked += 1
            done = self.asked >= PARTS_BEFORE_DONE
            return self.job(self.ends_as if done else "in_progress", self.asked)

        @app.get("/v1/jobs/{job_id}/content")
        async def content(job_id: str):
            assert job_id == "job_1"
            return self.answers.pop(0) if self.answers else Response(WAV, media_type="audio/wav")

        @app.get("/v1/models")
        async def models():
            return {"object": "list", "data": self.models}

        @app.get("/v1/audio/voices")
        async def voices():
            voice = {"id": "ann", "name": "Ann", "model": "tiny-CustomVoice", "language": "english"}
            return {"voices": [voice], "data": [voice]}

        return app

    def job(self, status, completed):
        done = status == "completed"
        failed = status == "failed"
        audio = {"seconds": 1.0, "sample_rate": 24_000, "bytes": len(WAV), "format": "wav"}
        return {
            "id": "job_1",
            "object": "job",
            "status": status,
            "progress": 100 * completed // PARTS_BEFORE_DONE,
            "created_at": 1_700_000_000,
            "completed_at": 1_700_000_002 if done else None,
            "expires_at": None,
            "error": {"code": "out_of_memory", "message": "no memory"} if failed else None,
            "task": "custom_voice",
            "model": "tiny-CustomVoice",
            "voice": "ann",
            "language": "auto",
            "segments": {"total": 3, "completed": completed, "failed": 0, "truncated": int(done)},
            "audio": audio if done else None,
            "synthesis": {
                "seconds": 2.0 if done else None,
                "rtf": 2.0 if done else None,
                "batch_sizes": {"1": 1, "2": 2},
            },
            "metadata": {},
            "links": {},
        }


@pytest.fixture(scope="module")
def running_server():
    server = Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running_server):
    running_server.reset()
    return running_server


@pytest.fixture
def narrator(server):
    with Narrator(server.url, patience_s=10) as narrator:
        yield narrator


def test_speaking_writes_the_wav_and_returns_the_finished_job(server, narrator, tmp_path):
    seen = []
    job = narrator.speak("Hello.", tmp_path / "a.wav", lambda job: seen.append(job.progress))
    assert (tmp_path / "a.wav").read_bytes() == WAV
    assert (job.audio.seconds, job.synthesis.rtf) == (1.0, 2.0)
    assert job.synthesis.batch_sizes == {1: 1, 2: 2}
    assert seen == [33, 66, 100]
    # The first voice of the first model that does the task and has a worker.
    body = {"task": "custom_voice", "model": "tiny-CustomVoice", "voice": "ann", "input": "Hello."}
    assert server.bodies == [body | {"response_format": "wav"}]


def test_only_what_was_asked_for_is_sent(server, narrator):
    narrator.submit("One.", voice="ann", seed=0, sampling={"top_k": 5}, model=None)
    narrator.submit("Two.", reference=b"RIFF", metadata={"a": "b"}, cover=b"PNG")
    narrator.submit("Three.", instructions="A low voice.", priority="low", webhook="https://a.b/c")
    narrator.submit("Four.", voice="ann", normalise="numbers")
    assert server.bodies == [
        {
            "task": "custom_voice",
            "input": "One.",
            "voice": "ann",
            "seed": 0,
            "sampling": {"top_k": 5},
        },
        {
            "task": "voice_clone",
            "input": "Two.",
            "metadata": {"a": "b"},
            "reference": {"audio": base64.b64encode(b"RIFF").decode(), "text": None},
            "cover": base64.b64encode(b"PNG").decode(),
        },
        {
            "task": "voice_design",
            "input": "Three.",
            "instructions": "A low voice.",
            "priority": "low",
            "webhook": "https://a.b/c",
        },
        {"task": "custom_voice", "input": "Four.", "voice": "ann", "normalise": "numbers"},
    ]


def test_the_catalogue_is_typed(narrator):
    assert [model.workers for model in narrator.models()] == [1, 0, 1]
    assert narrator.voices()[0].name == "Ann"


def test_a_refusal_carries_what_the_server_said(server, narrator):
    server.answers = [refusal(422, "no such voice", param="voice", code="unknown_voice")]
    with pytest.raises(RequestRefused, match=r"no such voice \(voice\)") as raised:
        narrator.submit("Hello.", voice="nobody")
    assert (raised.value.status, raised.value.param) == (422, "voice")
    assert raised.value.code == "unknown_voice"
    server.answers = [Response("<h1>Bad gateway</h1>", 502)]
    with pytest.raises(RequestRefused, match="HTTP 502 Bad Gateway"):
        narrator.submit("Hello.", voice="nobody")


def test_a_job_that_fails_ends_the_wait_with_its_reason(server, narrator):
    server.ends_as = "failed"
    with pytest.raises(JobFailed, match="job job_1 failed: no memory") as raised:
        narrator.wait("job_1", poll_s=0.01)
    assert raised.value.code == "out_of_memory"


def test_waiting_survives_a_restart_of_the_server(server, narrator):
    def restart_once(job):
        if job.segments.completed == 1:
            server.stop()
            threading.Timer(0.3, server.start).start()

    job = narrator.wait("job_1", restart_once, poll_s=0.01)
    assert job.status == "completed"


def test_waiting_keeps_to_retry_after(server, narrator):
    server.answers = [refusal(503, "Redis is away", headers={"retry-after": "1"})]
    began = time.monotonic()
    assert narrator.wait("job_1", poll_s=0.01).status == "completed"
    assert time.monotonic() - began >= 1.0


def test_patience_has_an_end(server):
    server.answers = [refusal(503, "Redis is away") for _ in range(20)]
    with (
        Narrator(server.url, patience_s=0.5) as narrator,
        pytest.raises(RequestRefused, match="Redis is away"),
    ):
        narrator.wait("job_1", poll_s=0.01)


def test_a_download_broken_in_the_middle_is_fetched_again(server, narrator, tmp_path):
    def half():
        yield WAV[:1000]
        raise ConnectionError

    server.answers = [StreamingResponse(half(), headers={"content-length": str(len(WAV))})]
    narrator.download("job_1", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == WAV


def test_a_download_that_fails_leaves_the_old_file_and_no_half_one(server, tmp_path):
    def half():
        yield WAV[:1000]
        raise ConnectionError

    (tmp_path / "a.wav").write_bytes(b"old")
    server.answers = [
        StreamingResponse(half(), headers={"content-length": str(len(WAV))}) for _ in range(5)
    ]
    with (
        Narrator(server.url, patience_s=0.1) as narrator,
        pytest.raises(ServerUnreachable, match="lost the server"),
    ):
        narrator.download("job_1", tmp_path / "a.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"old"


def test_content_that_is_not_ready_is_refused_at_once(server, narrator, tmp_path):
    server.answers = [refusal(409, "not ready", headers={"x-should-retry": "false"})]
    with pytest.raises(RequestRefused, match="not ready"):
        narrator.download("job_1", tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


def test_a_download_replaces_no_device(narrator):
    with pytest.raises(NarrateError, match="not a regular file"):
        narrator.download("job_1", "/dev/null")


def test_something_else_on_the_port_is_not_taken_for_a_server(server, narrator):
    server.answers = [Response("<html>hello</html>"), JSONResponse({"hello": "you"})]
    for _ in range(2):
        with pytest.raises(NarrateError, match="is no narration server"):
            narrator.job("job_1")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://a:b"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(NarrateError, match="not a server's address"):
        Narrator(url)


def test_a_server_here_is_asked_without_the_proxy_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Narrator(server.url) as narrator:
        assert narrator.models()


def served(*ids):
    tasks = {"Base": "voice_clone", "CustomVoice": "custom_voice", "VoiceDesign": "voice_design"}
    return [
        Model(id, tasks[id.rsplit("-")[-1]], None, ("ann",) * ("Custom" in id), (), True, 1)
        for id in ids
    ]


@pytest.mark.parametrize(
    ("options", "task", "model"),
    [
        ({}, "custom_voice", "tiny-CustomVoice"),
        ({"reference": b"x"}, "voice_clone", "tiny-Base"),
        ({"instructions": "low"}, "voice_design", "Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign"),
        ({"instructions": "low", "voice": "ann"}, "custom_voice", "tiny-CustomVoice"),
        ({"instructions": "low", "model": "tiny"}, "custom_voice", "tiny-CustomVoice"),
        ({"model": "1.7B-voicedesign"}, "voice_design", "Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign"),
    ],
)
def test_task_and_model_follow_from_what_was_said(options, task, model):
    models = served("tiny-Base", "tiny-CustomVoice", "Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign")
    filled = resolve_options(options, models)
    assert (filled["task"], filled["model"]) == (task, model)


def test_a_task_that_nobody_does_says_what_to_start():
    with pytest.raises(NarrateError, match=r"--model 0\.6B-Base added"):
        resolve_options({"reference": b"x"}, served("tiny-CustomVoice"))
    with pytest.raises(NarrateError, match="the model tiny does not do voice_clone"):
        resolve_options(
            {"reference": b"x", "model": "tiny"}, served("tiny-CustomVoice", "tiny-VoiceDesign")
        )


def test_say_writes_plain_lines_where_there_is_no_terminal(server, tmp_path, capsys):
    out = tmp_path / "out.wav"
    assert main(["say", "Hello.", "-o", str(out), "--url", server.url]) == 0
    assert out.read_bytes() == WAV
    printed = capsys.readouterr()
    assert printed.out == f"{out}: 1.0 s of audio in 2.0 s (RTF 2.00)\n"
    assert "completed: 3/3 segments, 1.0 s of audio, RTF 2.00\n" in printed.err
    assert "1 of 3 segments were cut short\n" in printed.err
    assert "\x1b" not in printed.out + printed.err


def test_say_tells_once_which_model_has_no_worker_and_how_to_start_one(server, tmp_path, capsys):
    waiting = server.job("queued", 0) | {"waiting_for_model": "tiny-CustomVoice"}
    server.answers = [waiting, waiting]
    assert main(["say", "Hello.", "-o", str(tmp_path / "out.wav"), "--url", server.url]) == 0
    line = (
        "No worker serves tiny-CustomVoice; the job waits until one starts:"
        " python -m worker --model tiny-CustomVoice\n"
    )
    assert capsys.readouterr().err.count(line) == 1


def test_status_tells_which_model_has_no_worker(server, capsys):
    server.answers = [server.job("queued", 0) | {"waiting_for_model": "tiny-CustomVoice"}]
    assert main(["status", "job_1", "--url", server.url]) == 0
    told = "waits for  a worker: python -m worker --model tiny-CustomVoice\n"
    assert told in capsys.readouterr().out


WARNINGS = [
    {"code": "missing_page", "message": "the page is not there", "where": "b.xhtml"},
    {"code": "notes_skipped", "message": "3 notes are left out", "where": None},
]


def test_say_and_status_tell_what_was_mended(server, tmp_path, capsys):
    server.answers = [server.job("queued", 0) | {"warnings": WARNINGS}]
    assert main(["say", "Hello.", "-o", str(tmp_path / "out.wav"), "--url", server.url]) == 0
    told = "Warning: b.xhtml: the page is not there\nWarning: 3 notes are left out\n"
    assert told in capsys.readouterr().err
    server.answers = [server.job("queued", 0) | {"warnings": WARNINGS}]
    assert main(["status", "job_1", "--url", server.url]) == 0
    assert "warning    b.xhtml: the page is not there\n" in capsys.readouterr().out


def test_a_book_is_listed_without_being_narrated(server, tmp_path, capsys):
    book = tmp_path / "a.txt"
    book.write_text("One.")
    arguments = ["--list", "--chapters", "1-2", "--with-front-matter", "--images", "alt"]
    assert main([str(book), *arguments, "--url", server.url]) == 0
    told = capsys.readouterr()
    assert told.out == "   1       4.2 s  (title page)\n   2      14 min  One\n"
    assert told.err == (
        "Warning: left out: title page\nThe Lamp by A. Writer: 12,345 characters, about 14 min\n"
    )
    chosen = {"chapters": "1-2", "front_matter": "read", "images": "alt", "file": "One."}
    assert server.bodies == [chosen]
    assert not book.with_suffix(".m4b").exists()


def test_a_book_is_narrated_as_the_options_choose(server, tmp_path):
    book = tmp_path / "a.txt"
    book.write_text("One.")
    out = ["-o", str(tmp_path / "out.wav"), "--chapters", "2,4"]
    assert main([str(book), *out, "--url", server.url]) == 0
    assert server.bodies[0]["chapters"] == "2,4"
    assert "front_matter" not in server.bodies[0]


def test_several_files_are_one_book(server, tmp_path, capsys):
    files = [tmp_path / "part 1.txt", tmp_path / "part 2.txt"]
    for file in files:
        file.write_text(file.stem)
    seen = []
    server.bodies = seen
    assert main([*map(str, files), "--list", "--url", server.url]) == 0
    with zipfile.ZipFile(io.BytesIO(seen[0]["file"].encode("latin-1"))) as archive:
        assert archive.namelist() == ["part 1.txt", "part 2.txt"]
        assert archive.read("part 2.txt") == b"part 2"
    other = tmp_path / "b" / "part 1.txt"
    other.parent.mkdir()
    other.write_text("x")
    assert main([str(files[0]), str(other), "--list", "--url", server.url]) == 1
    assert "have one name" in capsys.readouterr().err


def test_say_reads_standard_input(server, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("From a pipe.\n"))
    monkeypatch.setenv("NARRATE_URL", server.url)
    assert main(["say", "-o", str(tmp_path / "out.wav"), "--voice", "ann"]) == 0
    assert server.bodies[0]["input"] == "From a pipe.\n"


def test_errors_are_one_line(server, tmp_path, capsys):
    def error(*arguments, out="out.wav"):
        assert main(["say", *arguments, "-o", str(tmp_path / out), "--url", server.url]) == 1
        return capsys.readouterr().err

    assert error("Hello.", out="no/out.wav").startswith("narrate: cannot write")
    assert error("Hello.", "--reference", "nowhere.wav").endswith(
        "nowhere.wav: No such file or directory\n"
    )
    server.answers = [refusal(400, "too\nlong\x1b[31m", param="input")]
    assert error("Hello.") == "narrate: the server refused: too long [31m (input)\n"
    server.ends_as = "failed"
    assert error("Hello.").endswith("narrate: job job_1 failed: no memory\n")


def test_without_a_server_say_tells_how_to_start_one(tmp_path, capsys):
    out = str(tmp_path / "out.wav")
    assert main(["say", "Hello.", "-o", out, "--url", "http://127.0.0.1:9"]) == 1
    expected = "narrate: no server at http://127.0.0.1:9: start one with `narrate up`\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["say", "Hello."],
        ["say", "Hello.", "-o", "a.wav", "--reference-text", "Hi."],
        ["say", "Hello.", "-o", "a.wav", "--reference", "a", "--voice", "b"],
        ["up", "--port", "70000"],
        ["up", "--workers", "0"],
        [],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage: narrate" in capsys.readouterr().err


def test_an_empty_text_is_wrong_usage(capsys):
    assert main(["say", " ", "-o", "a.wav"]) == 2
    assert capsys.readouterr().err == "narrate: nothing to say: the text is empty\n"


def test_status_prints_facts_or_json(server, capsys):
    server.asked = PARTS_BEFORE_DONE - 1
    assert main(["status", "job_1", "--url", server.url]) == 0
    facts = capsys.readouterr().out
    assert "status     completed, 100 %\n" in facts
    assert f"{server.url}/v1/jobs/job_1/content\n" in facts
    assert main(["status", "job_1", "--url", server.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "job_1"
    assert main(["status", "job_2", "--url", server.url]) == 1
    assert capsys.readouterr().err == "narrate: the server refused: there is no job job_2\n"


def test_ctrl_c_leaves_the_job_running_and_says_its_id(server, tmp_path):
    server.ends_as = "in_progress"
    command = ["say", "Hello.", "-o", str(tmp_path / "out.wav"), "--url", server.url]
    with subprocess.Popen(
        [sys.executable, "-m", "client", *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as say:
        try:
            assert say.stderr.readline() == "Job job_1\n"
            while "segments" not in say.stderr.readline():
                assert say.poll() is None
            say.send_signal(signal.SIGINT)
            _, err = say.communicate(timeout=10)
        finally:
            say.kill()
    assert say.returncode == 1
    assert err.endswith(
        f"Job job_1 goes on at the server: narrate resume job_1 --url {server.url}\n"
    )
    assert not list(tmp_path.iterdir())
