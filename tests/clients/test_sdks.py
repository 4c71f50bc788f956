"""Packages that speak to OpenAI, given another address."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest

from client.local.ports import free_port
from tests.clients.conftest import FOLDER, Programs, Start, newest_jobs

FORMATS = ("mp3", "opus", "aac", "flac", "wav")
REFUSED = {"param": "voice", "code": "invalid_value"}


def assert_as_spoken(programs: Programs, service: httpx.Client, names: list[str]) -> None:
    """The files are as long as the sound of the jobs, of which there is one for each."""
    for name, job in zip(names, newest_jobs(service, len(names)), strict=True):
        assert job["status"] == "completed"
        assert programs.seconds(name) == pytest.approx(job["audio"]["seconds"], abs=0.11), name


def test_openai_s_package_for_python(programs: Programs, service: httpx.Client) -> None:
    told = programs.python("openai", "openai_python.py")
    names = ["streamed.mp3", *(f"{kind}.{kind}" for kind in FORMATS)]
    assert_as_spoken(programs, service, [*names, "events.wav", "asynchronous.mp3"])
    assert told["refused"] == REFUSED
    assert told["done"] == "speech.audio.done"
    served = [model["id"] for model in service.get("/v1/models").json()["data"]]
    assert told["models"] == served
    assert told["model"] == served[0]
    assert told["created"] > 0


def test_openai_s_package_for_node(programs: Programs, service: httpx.Client) -> None:
    told = programs.node("openai_node.mjs")
    names = ["streamed.mp3", *(f"{kind}.{kind}" for kind in FORMATS)]
    assert_as_spoken(programs, service, names)
    assert told["refused"] == REFUSED
    assert told["models"] == [model["id"] for model in service.get("/v1/models").json()["data"]]
    assert told["created"] > 0


def test_the_ai_sdk(programs: Programs, service: httpx.Client) -> None:
    told = programs.node("ai_sdk.mjs")
    assert_as_spoken(programs, service, ["spoken.mp3", "spoken.wav"])
    assert told["media"] == {"mp3": "audio/mpeg", "wav": "audio/wav"}
    assert told["warnings"] == []
    assert told["refused"]["status"] == 400
    assert "no voice 'nobody'" in told["refused"]["message"]


def test_litellm_s_package(programs: Programs, service: httpx.Client) -> None:
    told = programs.python("litellm", "litellm_package.py")
    assert_as_spoken(programs, service, ["a.mp3", "b.wav", "c.mp3"])
    assert "no voice 'nobody'" in told["refused"]


PROXY_CONFIG = """\
model_list:
  - model_name: narrator
    litellm_params:
      model: openai/tts-1
      api_base: os.environ/OPENAI_BASE_URL
      api_key: any
general_settings:
  master_key: sk-of-the-proxy-itself-0123456789
"""


def test_litellm_s_proxy(
    programs: Programs, service: httpx.Client, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(PROXY_CONFIG)
    port = free_port()
    command = (FOLDER / "litellm" / "bin" / "litellm", "--config", tmp_path / "config.yaml")
    start("litellm", *command, "--host", "127.0.0.1", "--port", str(port), port=port)
    own_key = PROXY_CONFIG.split()[-1]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=own_key) as client:
        assert [model.id for model in client.models.list()] == ["narrator"]
        for kind in ("mp3", "wav"):
            spoken = client.audio.speech.create(
                model="narrator", voice="alloy", input="The lamp was lit.", response_format=kind
            )
            spoken.write_to_file(tmp_path / f"spoken.{kind}")
        assert_as_spoken(programs, service, ["spoken.mp3", "spoken.wav"])
        with pytest.raises(openai.APIStatusError, match="no voice 'nobody'"):
            client.audio.speech.create(model="narrator", voice="nobody", input="The lamp.")
