"""Teacher forcing tells how far a precision is from float32."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shared.speech_model import SamplingOverrides, Task
from worker.engine.precision import Precision
from worker.engine.request import SynthesisRequest
from worker.engine.runner import TalkerRunner
from worker.engine.sequence import Sequence
from worker.engine.teacher_forcing import force
from worker.evaluate import main
from worker.model import catalogue, demo_voice
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
ASKED = SynthesisRequest(task=Task.CUSTOM_VOICE, text="Hi there.", max_frames=6, speaker="ryan")


def test_float32_agrees_with_itself_and_with_the_runner(tiny_checkpoint: Checkpoint) -> None:
    folder = str(tiny_checkpoint("custom_voice"))
    (first,) = force(load_model(folder, threads=1), Precision.FLOAT32, [ASKED], [None])
    (again,) = force(load_model(folder, threads=1), Precision.FLOAT32, [ASKED], [first.codes])
    assert again.argmax_codes == first.codes == again.codes
    torch.testing.assert_close(again.logits, first.logits)
    greedy = SamplingOverrides(do_sample=False, subtalker_dosample=False)
    runner = TalkerRunner(load_model(folder, threads=1), 1)
    sequence = Sequence(replace(ASKED, sampling=greedy))
    runner.admit(sequence)
    assert runner.prefill()
    while not runner.step():
        pass
    assert sequence.codes.flatten().tolist() == first.codes


def test_given_codes_are_said_whatever_the_model_wishes(tiny_checkpoint: Checkpoint) -> None:
    codes = [number % 7 for number in range(6 * 16)]
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    (run,) = force(model, Precision.FLOAT32, [ASKED], [codes])
    assert run.codes == codes
    assert run.argmax_codes != codes


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=COMPILER)])
@pytest.mark.parametrize("kind", ["custom_voice", "voice_design", "base"])
def test_the_table_has_a_line_for_each_precision(
    tiny_checkpoint: Checkpoint,
    kind: str,
    compiled: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(tiny_checkpoint(kind))
    asked = ["--model", folder, "--frames", "8", "--text", "Good morning."]
    monkeypatch.setattr(
        sys, "argv", ["evaluate", "--threads", "1", *asked, *([] if compiled else ["--no-compile"])]
    )
    main()
    lines = capsys.readouterr().out.splitlines()
    table = [line.replace(" %", "").replace(" dB", "").split()[:7] for line in lines[1:]]
    assert all(("kernel;" in line or "onednn;" in line) is compiled for line in lines[2:])
    assert [row[0] for row in table] == list(Precision)
    assert table[0][1:] == ["100.00", "100.00", "0.0000", "exact", "exact", "exact"]
    *_, bfloat16, quality, near, distance = table[1]
    *_, int8, same, farther, farthest = table[2]
    # Compiled, bfloat16 may be computed in float32, from the same weights.
    assert compiled or float(bfloat16) > 0
    assert float(bfloat16) < float(int8) < 0.2
    # Without kernels, int8 has the codec of bfloat16; with them, the codec of what is the fastest
    # here, which may be float32.
    assert float(same) > 20
    assert float(quality) > 20 if compiled else quality == same
    assert compiled or float(distance) > 0
    assert (float(near) == 0) is (float(quality) > 100)
    assert 0 < float(farther) < 12 or float(same) > 100
    assert float(distance) < float(farthest) < 12
    assert all(50 < float(cell) <= 100 for row in table for cell in row[1:3])


def test_one_precision_can_be_chosen(
    tiny_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = [
        "--model",
        str(tiny_checkpoint("custom_voice")),
        "--frames",
        "2",
        "--precision",
        "int8",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate", "--threads", "1", *asked])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["precision", "float32", "int8"]


def test_speech_is_judged_in_each_precision(
    tiny_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the demo voice, or, while the package has none, by a tiny model that speaks noise."""
    has_demo = demo_voice.PACKED.is_file()
    folder = catalogue.locate("demo") if has_demo else tiny_checkpoint("custom_voice")
    asked = ["--model", str(folder), "--threads", "1", "--precision", "int8"]
    text = "The birch canoe slid on the smooth planks."
    monkeypatch.setattr(sys, "argv", ["evaluate", "--speech", *asked, "--text", text])
    main()
    lines = capsys.readouterr().out.splitlines()
    head, *table = [line.replace(" % ", " ").split() for line in lines]
    assert head == ["precision", "wrong", "words", "wrong", "characters", "no", "end"]
    assert [row[0] for row in table] == ["float32", "int8"]
    for _precision, words, characters, *unended in table:
        # Noise is heard as more words than were in the text.
        assert 0 <= float(words) <= (100 if has_demo else 10_000)
        assert 0 <= float(characters) <= (100 if has_demo else 10_000)
        assert unended == ["0", "of", "1"]


def test_without_the_judge_the_error_says_what_to_install_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setattr(sys, "argv", ["evaluate", "--speech", "--model", "./nowhere"])
    with pytest.raises(SystemExit, match=r"^error: judging speech .*pip install .*\[speech-test\]"):
        main()
    assert capsys.readouterr().out == ""


def test_a_model_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model", "./nowhere"])
    with pytest.raises(SystemExit, match=r"^error: there is no folder '/.*/nowhere'"):
        main()


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--frames", "0", "at least 1"),
        ("--threads", "0", "at least 1"),
        ("--reference", "./no.wav", "there is no file no.wav"),
        ("--precision", "float32", "choose from 'bfloat16', 'int8'"),
    ],
)
def test_bad_options_are_told(
    option: str,
    value: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model", "tiny", option, value])
    with pytest.raises(SystemExit):
        main()
    assert told in capsys.readouterr().err
