"""The runner makes the codes that qwen-tts makes, code for code, whatever shares its batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.engine import runner as runner_module
from worker.engine.errors import EngineError
from worker.engine.linear import Linear
from worker.engine.request import Codes, Reference, Sampling, SynthesisRequest, Task
from worker.engine.runner import TalkerRunner
from worker.engine.utterance import Utterance
from worker.loading import load_model

Checkpoint = Callable[[str], Path]
GREEDY = {"do_sample": False, "subtalker_dosample": False}
MOST = 22
KINDS = ("custom_voice", "voice_design", "base")
SLOTS = 4
FIXTURES = [HealthCheck.function_scoped_fixture]


def recording() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.05, 40_000)
    return (0.3 * np.sin(np.arange(40_000) * 0.05) + noise).astype(np.float32)


HEARD = recording()


class Case(NamedTuple):
    """A request, and the same for a direct call of qwen-tts."""

    request: SynthesisRequest
    direct: dict[str, Any]


def custom(text: str, speaker: str, language: str, instruct: str | None = None) -> Case:
    asked = {"language": language, "speaker": speaker, "instruct": instruct}
    request = SynthesisRequest(
        task=Task.CUSTOM_VOICE, text=text, max_frames=MOST, sampling=Sampling(**GREEDY), **asked
    )
    return Case(request, {"text": text, **asked})


def design(text: str, instruct: str, language: str) -> Case:
    asked = {"language": language, "instruct": instruct}
    request = SynthesisRequest(
        task=Task.VOICE_DESIGN, text=text, max_frames=MOST, sampling=Sampling(**GREEDY), **asked
    )
    return Case(request, {"text": text, **asked})


def clone(text: str, said: str | None, language: str) -> Case:
    request = SynthesisRequest(
        task=Task.VOICE_CLONE,
        text=text,
        max_frames=MOST,
        language=language,
        reference=Reference(f"heard:{said}", HEARD, 24_000, said),
        sampling=Sampling(**GREEDY),
    )
    heard = {"ref_audio": (HEARD, 24_000), "ref_text": said, "x_vector_only_mode": said is None}
    return Case(request, {"text": text, "language": language, **heard})


CASES = {
    "custom_voice": [
        custom("Hello there.", "ryan", "english"),
        custom("Hi.", "vivian", "auto"),
        custom("今天天气很好。", "eric", "chinese"),
        custom("Ça va? Oui, et toi?", "dylan", "auto", "In a whisper"),
        custom("😀 1, 2, 3", "serena", "german"),
    ],
    "voice_design": [
        design("Hello there.", "An old man", "english"),
        design("Hi.", "", "auto"),
        design("Доброе утро.", "A child, laughing", "russian"),
    ],
    "base": [
        clone("Hello there.", "This is what is said in it.", "english"),
        clone("Hi.", None, "auto"),
        clone("Good morning to you all.", None, "german"),
        clone("今天。", "Somebody says a great deal more than was recorded here", "auto"),
    ],
}


class Bench(NamedTuple):
    """A runner and, for each case, what qwen-tts itself makes of it."""

    runner: TalkerRunner
    expected: list[Codes]
    samples: list[np.ndarray]


@pytest.fixture(scope="session")
def bench(tiny_checkpoint: Checkpoint) -> Callable[[str], Bench]:
    @cache
    def build(kind: str) -> Bench:
        model = load_model(str(tiny_checkpoint(kind)), threads=1)
        pairs = [directly(model, kind, case) for case in CASES[kind]]
        codes, samples = zip(*pairs, strict=True)
        return Bench(TalkerRunner(model, SLOTS), list(codes), list(samples))

    return build


def directly(model: Any, kind: str, case: Case) -> tuple[Codes, np.ndarray]:
    heard: list[torch.Tensor] = []
    decode = model.model.speech_tokenizer.decode

    def listen(encoded: list[dict[str, torch.Tensor]]) -> Any:
        heard.append(encoded[0]["audio_codes"])
        return decode(encoded)

    name = "voice_clone" if kind == "base" else kind
    generate = getattr(model, f"generate_{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.model.speech_tokenizer, "decode", listen)
        # qwen-tts makes one frame less than it makes tokens.
        samples = generate(**case.direct, **GREEDY, max_new_tokens=MOST + 1)[0][0]
    frames = len(samples) // 1_920
    return heard[0][-frames:].numpy(), samples


def run(runner: TalkerRunner, requests: list[SynthesisRequest], every: int) -> list[Utterance]:
    """Admit a request every so many steps, as rows come free."""
    waiting, running = list(enumerate(requests)), []
    done: dict[int, Utterance] = {}
    step = 0
    while waiting or running:
        while waiting and len(running) < SLOTS and (step % every == 0 or not running):
            number, request = waiting.pop(0)
            runner.admit(request)
            running.append(number)
            if every > 1:
                break
        for row in runner.step():
            done[running[row]] = runner.remove(row)
            running[row] = running[-1]
            running.pop()
        step += 1
    return [done[number] for number in range(len(requests))]


@pytest.mark.parametrize("kind", KINDS)
def test_alone_the_codes_and_samples_are_those_of_qwen_tts(
    bench: Callable[[str], Bench], kind: str
) -> None:
    runner, expected, samples = bench(kind)
    for case, codes, sound in zip(CASES[kind], expected, samples, strict=True):
        (utterance,) = run(runner, [case.request], 1)
        np.testing.assert_array_equal(utterance.codes, codes)
        np.testing.assert_array_equal(utterance.decode(), sound)
        # qwen-tts cannot tell whether a speech of just that length has ended; the runner can.
        assert utterance.finish_reason == "stop" or len(codes) == MOST


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12, suppress_health_check=FIXTURES)
@given(data=st.data())
def test_in_any_company_the_codes_are_the_same(
    bench: Callable[[str], Bench], kind: str, data: st.DataObject
) -> None:
    runner, expected, _samples = bench(kind)
    numbers = st.lists(st.integers(0, len(expected) - 1), min_size=1, max_size=7)
    order = data.draw(numbers)
    every = data.draw(st.integers(1, 5))
    made = run(runner, [CASES[kind][number].request for number in order], every)
    for number, utterance in zip(order, made, strict=True):
        np.testing.assert_array_equal(utterance.codes, expected[number])


@settings(deadline=None, max_examples=8, suppress_health_check=FIXTURES)
@given(
    seeds=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    every=st.integers(1, 4),
)
def test_a_seed_decides_the_codes_whatever_the_company(
    bench: Callable[[str], Bench], seeds: list[int], every: int
) -> None:
    runner = bench("custom_voice").runner

    def seeded(seed: int) -> SynthesisRequest:
        sampling = Sampling(seed=seed, temperature=0.5 + seed, top_p=0.9 if seed % 2 else None)
        return SynthesisRequest(
            task=Task.CUSTOM_VOICE, text="Hi.", max_frames=8, speaker="ryan", sampling=sampling
        )

    alone = {seed: run(runner, [seeded(seed)], 1)[0].codes for seed in set(seeds)}
    for seed, utterance in zip(seeds, run(runner, [seeded(s) for s in seeds], every), strict=True):
        np.testing.assert_array_equal(utterance.codes, alone[seed])


def test_without_a_seed_every_speech_is_another(bench: Callable[[str], Bench]) -> None:
    runner = bench("custom_voice").runner
    request = SynthesisRequest(
        task=Task.CUSTOM_VOICE, text="Hello.", max_frames=8, speaker="ryan", sampling=Sampling()
    )
    first, second = run(runner, [request, request], 1)
    assert not np.array_equal(first.codes, second.codes)


def test_a_request_that_overflows_fails_and_leaves_nothing_behind(
    bench: Callable[[str], Bench],
) -> None:
    runner, expected, _samples = bench("base")
    loud = Reference("loud", np.full(40_000, 1e38, dtype=np.float32), 24_000)
    broken = SynthesisRequest(
        task=Task.VOICE_CLONE, text="Never to be heard. " * 9, max_frames=9, reference=loud
    )
    with pytest.raises(EngineError, match="overflow"):
        runner.admit(broken)
    for case, codes in zip(CASES["base"], expected, strict=True):
        np.testing.assert_array_equal(run(runner, [case.request], 1)[0].codes, codes)


def test_a_request_that_cannot_be_admitted_leaves_no_row(
    bench: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, expected, _samples = bench("custom_voice")

    def explode(_self: TalkerRunner, _own: slice) -> None:
        raise MemoryError

    cases = CASES["custom_voice"]
    with monkeypatch.context() as patch:
        patch.setattr(TalkerRunner, "_choose_first_codes", explode)
        with pytest.raises(MemoryError):
            runner.admit(cases[0].request)
    np.testing.assert_array_equal(run(runner, [cases[1].request], 1)[0].codes, expected[1])


def test_the_cache_grows_and_keeps_what_it_has(
    bench: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint
) -> None:
    monkeypatch.setattr(runner_module, "FIRST_POSITIONS", 20)
    model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
    runner, expected = TalkerRunner(model, SLOTS), bench("custom_voice").expected
    requests = [case.request for case in CASES["custom_voice"]]
    for utterance, codes in zip(run(runner, requests, 3), expected, strict=True):
        np.testing.assert_array_equal(utterance.codes, codes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 16, 40])
def test_packed_products_are_the_plain_ones(dtype: torch.dtype, bias: bool, rows: int) -> None:
    torch.manual_seed(0)
    modules = [torch.nn.Linear(96, size, bias=bias).to(dtype) for size in (64, 32, 32)]
    packed = Linear(*modules)
    assert packed.is_packed, "this torch lacks the private operations; F.linear is used instead"
    x = torch.randn(rows, 3, 96).to(dtype)
    with torch.inference_mode():
        expected = torch.cat([module(x) for module in modules], dim=-1)
        close = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {}
        torch.testing.assert_close(packed(x), expected, **close)
