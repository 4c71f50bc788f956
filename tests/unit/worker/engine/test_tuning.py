"""The fastest candidate is found once, and known from then on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from worker.engine.kernels import compiler
from worker.engine.kernels.compiler import CannotCompile
from worker.engine.tuning import Candidate, Run, fastest
from worker.model import tuning_file
from worker.model.tuning_file import TuningFile, processor_name


def candidate(name: str, *sleeps_s: float) -> Candidate[str]:
    return Candidate(name, name.upper(), lambda: [partial(time.sleep, one) for one in sleeps_s])


def impossible(name: str) -> Candidate[str]:
    def prepare() -> Sequence[Run]:
        raise CannotCompile(f"no {name}")

    return Candidate(name, name, prepare)


def test_the_fastest_over_all_runs_wins() -> None:
    """One row counts as much as many: 4 + 20 ms against 8 + 12 ms."""
    answers: dict[str, str] = {}
    one, both = candidate("one", 0.004, 0.02), candidate("both", 0.006, 0.01)
    assert fastest("speed", [one, both], answers).choice == "BOTH"
    assert answers == {"speed": "both"}


def test_what_is_known_is_not_timed_again() -> None:
    answers = {"speed": "slow"}
    found = fastest("speed", [candidate("fast", 0.001), impossible("slow")], answers)
    assert found.name == "slow"


def test_an_answer_that_is_no_longer_offered_is_looked_for_anew() -> None:
    answers = {"speed": "gone"}
    assert fastest("speed", [candidate("there", 0.001)], answers).name == "there"
    assert answers == {"speed": "there"}


def test_what_cannot_be_compiled_is_left_out() -> None:
    found = fastest("speed", [impossible("first"), candidate("there", 0.001)], {})
    assert found.name == "there"
    with pytest.raises(CannotCompile, match="no first"):
        fastest("speed", [impossible("first"), impossible("second")], {})


def test_what_could_not_be_compiled_is_tried_anew() -> None:
    answers: dict[str, str] = {}
    slow = candidate("slow", 0.02)
    assert fastest("speed", [impossible("fast"), slow], answers).name == "slow"
    assert answers == {}
    assert fastest("speed", [candidate("fast", 0.001), slow], answers).name == "fast"
    assert answers == {"speed": "fast"}


def test_answers_outlive_the_process_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "tuning.json"
    TuningFile(path)["speed"] = "fast"
    TuningFile(path)["size"] = "small"
    assert dict(TuningFile(path)) == {"speed": "fast", "size": "small"}
    monkeypatch.setattr(tuning_file, "processor_name", lambda: "another")
    other = TuningFile(path)
    assert not other
    other["speed"] = "slow"
    machines = json.loads(path.read_text())
    assert [answers["speed"] for answers in machines.values()] == ["fast", "slow"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "model name\t: Processor\nflags\t\t: avx2\n",
            "model name\t: Processor\nflags\t: avx512f\n",
        ),
        ("Features\t: asimddp\nCPU part\t: 0xd0c\n", "Features\t: asimddp\nCPU part\t: 0xd40\n"),
    ],
)
def test_processors_of_one_name_have_answers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str
) -> None:
    processors = tmp_path / "cpuinfo"
    monkeypatch.setattr(compiler, "PROCESSORS_FILE", processors)
    processors.write_text(one)
    TuningFile(tmp_path / "tuning.json")["speed"] = "fast"
    processors.write_text(other)
    assert not TuningFile(tmp_path / "tuning.json")
    processors.write_text(one)
    assert dict(TuningFile(tmp_path / "tuning.json")) == {"speed": "fast"}


def test_other_kernels_are_timed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kernels = tmp_path / "tuning.json", tmp_path / "kernels"
    kernels.mkdir()
    monkeypatch.setattr(compiler, "SOURCE_FOLDER", kernels)
    (kernels / "product.cpp").write_text("slow")
    TuningFile(path)["speed"] = "torch"
    assert dict(TuningFile(path)) == {"speed": "torch"}
    (kernels / "product.cpp").write_text("fast")
    assert not TuningFile(path)


def test_reading_answers_writes_none(tmp_path: Path) -> None:
    """Else a worker that is ended meanwhile leaves a part of them."""
    path = tmp_path / "tuning.json"
    answers = TuningFile(path)
    answers["speed"], answers["size"] = "fast", "small"
    written = path.stat()
    assert dict(TuningFile(path)) == {"speed": "fast", "size": "small"}
    assert path.stat() == written


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"machine": 3}', "\x00"])
def test_a_broken_file_is_begun_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(content)
    TuningFile(path)["speed"] = "fast"
    assert dict(TuningFile(path)) == {"speed": "fast"}


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    answers = TuningFile(tmp_path / "file" / "tuning.json")
    answers["speed"] = "fast"
    assert answers["speed"] == "fast"


def test_the_processor_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processor_name()
    monkeypatch.setattr(compiler, "PROCESSORS_FILE", tmp_path / "none")
    assert processor_name()
