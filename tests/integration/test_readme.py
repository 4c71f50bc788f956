"""The commands of the README and of docs/api.md work."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import Narrator, cli
from client.local.stack import Stack
from client.narrator import DEFAULT_URL
from client.options import Options
from tests.support.audio_files import recording
from tests.support.epub_files import Page, make_epub
from tests.support.paths import ROOT

README = ROOT / "README.md"
API = README.parent / "docs" / "api.md"
JOB, DESIGNED_JOB = "job_6f0c…", "job_18c2…"
DESIGN: Options = {"task": "voice_design", "instructions": "An old sailor, hoarse and cheerful"}
# The README speaks with the demo voice; the stack of these tests has a tiny model.
DEMO_VOICE, TINY_VOICE = '"ada"', '"vivian"'


def commands(start: str) -> Iterator[str]:
    """The commands of both pages that begin so, with the lines that continue them."""
    written = README.read_text("utf-8") + API.read_text("utf-8")
    for block in re.findall(r"```console\n(.*?)```", written, re.DOTALL):
        for command in re.findall(r"^\$ ((?:.*\\\n)*.*)", block, re.MULTILINE):
            if command.startswith(start):
                yield command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "me.wav").write_bytes(recording(4.0))
    (tmp_path / "alice.epub").write_bytes(make_epub([Page("Down", "<p>Alice was tired.</p>")]))
    return tmp_path


def test_every_curl_command_works(stack: Stack, narrator: Narrator, files: Path) -> None:
    written = README.read_text("utf-8") + API.read_text("utf-8")
    inline = re.findall(r"`(curl http[^`]+)`", written)
    job, ran = JOB, 0
    designed = narrator.submit("The lamp was lit, and the tide was high.", **DESIGN)
    for command in [*commands("curl"), *(" ".join(each.split()) for each in inline)]:
        asked = command.replace(DEFAULT_URL, stack.url).replace(JOB, job)
        asked = asked.replace(DEMO_VOICE, TINY_VOICE).replace(DESIGNED_JOB, designed.id)
        for needed, said in ((job, "/content"), (designed.id, designed.id)):
            if said in asked:
                narrator.wait(needed)
        told = subprocess.run(
            ["bash", "-c", asked.replace("curl ", "curl --fail-with-body ", 1)],
            cwd=files,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, f"{asked}\n{told.stdout}{told.stderr}"
        if found := re.search(r'"id":"(job_\w+)"', told.stdout):
            job = found[1]
        ran += 1
    assert ran >= 7
    assert (files / "lamp.wav").read_bytes().startswith(b"RIFF")
    assert (files / "lamp.mp3").stat().st_size > 1_000


def test_the_python_of_the_readme_works(
    stack: Stack, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(files)
    exec(code.replace(DEFAULT_URL, stack.url), {})
    assert (files / "lamp.mp3").stat().st_size > 1_000


def test_every_command_of_narrate_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, found in list(vars(cli).items()):
        if getattr(found, "__module__", "").startswith("client.commands"):
            monkeypatch.setattr(cli, name, lambda *_: 0)
    for command in commands("narrate"):
        words = shlex.split(command, comments=True)[1:]
        assert cli.main(words) == 0, command
