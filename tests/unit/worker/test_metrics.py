from __future__ import annotations

import urllib.request

import pytest
from prometheus_client import REGISTRY

from client.local.ports import free_port
from shared.errors import Misconfigured
from shared.speech_model import Task
from tests.support.stub_runner import StubCodec, StubRunner
from worker.engine.engine import Engine
from worker.engine.request import SynthesisRequest
from worker.metrics import EngineMetrics, observe_speech, serve_metrics

MODEL = "of this test"


def value(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": MODEL}) or 0


def test_the_work_of_an_engine_is_counted() -> None:
    engine = Engine(
        StubRunner(), StubCodec(), slots=4, max_waiting=6, observer=EngineMetrics(MODEL, 4)
    )
    requests = [SynthesisRequest(Task.CUSTOM_VOICE, "a b c", max_frames=7) for _ in range(3)]
    speeches = [future.result(30) for future in map(engine.submit, requests)]
    engine.close()
    for speech in speeches:
        observe_speech(MODEL, speech)
    frames = sum(len(speech.codes) for speech in speeches)
    assert value("tts_engine_frames_total") == frames > 0
    assert frames / 3 <= value("tts_engine_step_seconds_count") <= frames
    assert value("tts_engine_prefill_seconds_count") == 3
    assert value("tts_engine_first_audio_seconds_count") == value("tts_speech_rtf_count") == 3
    assert (value("tts_engine_slots"), value("tts_engine_rows")) == (4, 0)


def test_a_worker_serves_its_metrics_and_says_if_it_cannot() -> None:
    port = free_port()
    serve_metrics("127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"\ntts_worker_ready 0.0\n" in answer.read()
    with pytest.raises(Misconfigured, match=f"TTS_METRICS_PORT={port} .*choose another port"):
        serve_metrics("127.0.0.1", port)
