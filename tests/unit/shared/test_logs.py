"""Lines of the log: their two forms, their context, and what no client can write into them."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared import log_context
from shared.log_context import add_to_context, set_process_context
from shared.logs import JsonLine, OneLine

EVIL = 'a\nb\r\x1b[0m\u2028\x00" é'


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_context, "_of_process", {})


def record(message: str = "said", *args: object, **more: Any) -> logging.LogRecord:
    return logging.LogRecord("worker.x", logging.WARNING, "f", 1, message, args, None, **more)


def as_json(each: logging.LogRecord) -> dict[str, Any]:
    line = JsonLine().format(each)
    assert line.isascii()
    assert line.isprintable()
    read: dict[str, Any] = json.loads(line)
    return read


def test_a_json_line_has_time_level_logger_and_message() -> None:
    each = record("%s of %d", "one", 2)
    each.created = 1_764_475_200.12345
    assert as_json(each) == {
        "time": "2025-11-30T04:00:00.123Z",
        "level": "warning",
        "logger": "worker.x",
        "message": "one of 2",
    }


def test_a_time_of_a_whole_second_has_milliseconds_too() -> None:
    each = record()
    each.created = 1_764_475_200.0
    assert as_json(each)["time"] == "2025-11-30T04:00:00.000Z"


def test_the_context_is_in_every_line_of_a_task() -> None:
    set_process_context(worker="w1")
    with log_context.log_context(job="j1", model="m"):
        with log_context.log_context(segment="3"):
            inner = as_json(record())
        add_to_context(request="r1")
        outer = as_json(record())
    assert {k: inner[k] for k in ("worker", "job", "model", "segment")} == {
        "worker": "w1",
        "job": "j1",
        "model": "m",
        "segment": "3",
    }
    assert (outer["request"], "segment" in outer) == ("r1", False)
    add_to_context(job="nobody's")
    assert "job" not in as_json(record())


def test_threads_do_not_share_a_context() -> None:
    with log_context.log_context(job="j1"), ThreadPoolExecutor() as pool:
        assert "job" not in pool.submit(as_json, record()).result()


def test_a_text_line_names_what_its_message_does_not() -> None:
    set_process_context(worker="w1")
    with log_context.log_context(job="j1", segment="3", model="m"):
        line = OneLine("%(message)s").format(record("Spoke job=j1"))
    assert line == "Spoke job=j1 segment=3 worker=w1"


def test_fields_of_a_record_are_members_of_its_json() -> None:
    each = record()
    each.fields = {"status": 202, "ms": 1.5}
    read = as_json(each)
    assert (read["status"], read["ms"]) == (202, 1.5)


@pytest.mark.parametrize("form", [OneLine(), JsonLine()])
def test_no_message_or_context_writes_a_line_of_its_own(form: logging.Formatter) -> None:
    with log_context.log_context(request=EVIL):
        line = form.format(record("%s", EVIL))
    assert line.isprintable()
    if isinstance(form, JsonLine):
        assert (json.loads(line)["message"], json.loads(line)["request"]) == (EVIL, EVIL)


def test_a_traceback_is_one_member() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        each = record()
        each.exc_info = sys.exc_info()
    said = as_json(each)["exception"]
    assert re.search(r"Traceback .*\n.*test_logs.*\n", said)
    assert said.endswith(f"ValueError: {EVIL}")


def test_warnings_errors_of_threads_and_a_refused_start_are_json_too() -> None:
    code = """if True:
        import sys, threading, warnings
        from shared import logs
        logs.configure("info", "json")
        warnings.warn("old")
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        sys.exit(logs.fatal(ValueError("TTS_X: no")))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    warned, failed, refused = map(json.loads, ran.stderr.splitlines())
    assert (warned["level"], warned["logger"]) == ("warning", "py.warnings")
    assert "old" in warned["message"]
    assert failed["level"] == "critical"
    assert failed["exception"].endswith("ZeroDivisionError: division by zero")
    assert (refused["level"], refused["message"]) == ("critical", "TTS_X: no")
    assert ran.returncode == 1


@pytest.mark.parametrize(
    "sent", ["\x1b[2J", "a\r2026-11-30 INFO b", "a\n2026-11-30 INFO b", "\u2028b"]
)
def test_an_error_that_repeats_what_was_sent_looks_like_no_other_line(sent: str) -> None:
    try:
        raise ValueError(sent)
    except ValueError:
        record = logging.LogRecord("api", logging.ERROR, "", 0, "It failed", None, sys.exc_info())
    first, *others = OneLine("%(message)s").format(record).split("\n")
    assert first == "It failed"
    assert others[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert any("ValueError: " in line for line in others)
