"""The runner makes the codes that qwen-tts makes, code for code, whatever shares its batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.speech_model import SamplingOverrides, Task
from tests.support.talker_rows import admit, run
from worker.checkpoints import configs, make_checkpoint
from worker.engine import runner as runner_module
from worker.engine.errors import EngineError
from worker.engine.kernels.decoder import FusedDecoder
from worker.engine.nn import decoder as decoder_module
from worker.engine.nn.decoder import Decoder
from worker.engine.nn.kv_cache import KVCache
from worker.engine.request import Codes, Reference, SynthesisRequest
from worker.engine.runner import TalkerRunner
from worker.engine.sampler import BatchSampler
from worker.engine.sequence import Sequence
from worker.model.loading import load_model

Checkpoint = Callable[[str], Path]
GREEDY = {"do_sample": False, "subtalker_dosample": False}
MOST = 22
KINDS = ("custom_voice", "voice_design", "base")
SLOTS = 4
COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
DECODERS = [Decoder, pytest.param(FusedDecoder, marks=COMPILER)]
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
        task=Task.CUSTOM_VOICE,
        text=text,
        max_frames=MOST,
        sampling=SamplingOverrides(**GREEDY),
        **asked,
    )
    return Case(request, {"text": text, **asked})


def design(text: str, instruct: str, language: str) -> Case:
    asked = {"language": language, "instruct": instruct}
    request = SynthesisRequest(
        task=Task.VOICE_DESIGN,
        text=text,
        max_frames=MOST,
        sampling=SamplingOverrides(**GREEDY),
        **asked,
    )
    return Case(request, {"text": text, **asked})


def clone(text: str, said: str | None, language: str) -> Case:
    request = SynthesisRequest(
        task=Task.VOICE_CLONE,
        text=text,
        max_frames=MOST,
        language=language,
        reference=Reference(f"heard:{said}", HEARD, 24_000, said),
        sampling=SamplingOverrides(**GREEDY),
    )
    heard = {"ref_audio": (HEARD, 24_000), "ref_text": said, "x_vector_only_mode": said is None}
    return Case(request, {"text": text, "language": language, **heard})


def turned(case: Case) -> Case:
    """The same, with the text read the other way: beside the speech, or before it."""
    streams = case.request.task is not Task.VOICE_CLONE
    request = replace(case.request, streams_text=streams)
    return Case(request, {**case.direct, "non_streaming_mode": not streams})


CASES = {
    "custom_voice": [
        custom("Hello there.", "ryan", "english"),
        custom("Hi.", "vivian", "auto"),
        custom("今天天气很好。", "eric", "chinese"),
        custom("Ça va? Oui, et toi?", "dylan", "auto", "In a whisper"),
        custom("😀 1, 2, 3", "serena", "german"),
        turned(custom("Hello there.", "ryan", "english")),
    ],
    "voice_design": [
        design("Hello there.", "An old man", "english"),
        design("Hi.", "", "auto"),
        design("Доброе утро.", "A child, laughing", "russian"),
        turned(design("Hello there.", "An old man", "english")),
    ],
    "base": [
        clone("Hello there.", "This is what is said in it.", "english"),
        clone("Hi.", None, "auto"),
        clone("Good morning to you all.", None, "german"),
        clone("今天。", "Somebody says a great deal more than was recorded here", "auto"),
        turned(clone("Hello there.", "This is what is said in it.", "english")),
        turned(clone("Hi.", None, "auto")),
    ],
}


class Bench(NamedTuple):
    """A runner and, for each case, what qwen-tts itself makes of it."""

    runner: TalkerRunner
    expected: list[Codes]


class SmallBench(NamedTuple):
    """A bench whose cache grows by 8 positions, with that cache."""

    runner: TalkerRunner
    expected: list[Codes]
    cache: KVCache


@pytest.fixture(scope="session")
def bench(tiny_checkpoint: Checkpoint) -> Callable[..., Bench]:
    @cache
    def expected(kind: str) -> list[Codes]:
        plain = load_model(str(tiny_checkpoint(kind)), dtype=torch.float32, threads=1)
        return [directly(plain, kind, case) for case in CASES[kind]]

    @cache
    def build(kind: str, decoder: type[Decoder] = Decoder) -> Bench:
        model = load_model(str(tiny_checkpoint(kind)), threads=1)
        return Bench(TalkerRunner(model, SLOTS, decoder=decoder), expected(kind))

    return build


@pytest.fixture
def make_small_bench(
    bench: Callable[..., Bench], tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> Callable[[type[Decoder]], SmallBench]:
    """Makes a bench of the kind `custom_voice`."""

    def make(decoder: type[Decoder]) -> SmallBench:
        # Before the patch: the first call of a process makes a cache of its own.
        expected = bench("custom_voice").expected
        caches: list[KVCache] = []
        new_cache = decoder.new_cache

        def keep(self: Decoder, slots: int, *, long: bool) -> KVCache:
            made = new_cache(self, slots, long=long)
            if long:
                caches.append(made)
            return made

        monkeypatch.setattr(decoder_module, "GROWTH_POSITIONS", 8)
        monkeypatch.setattr(decoder, "new_cache", keep)
        model = load_model(str(tiny_checkpoint("custom_voice")), threads=1)
        runner = TalkerRunner(model, SLOTS, decoder=decoder)
        (cache,) = caches
        return SmallBench(runner, expected, cache)

    return make


def directly(model: Any, kind: str, case: Case) -> Codes:
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
    return heard[0][-frames:].numpy()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_alone_the_codes_are_those_of_qwen_tts(
    bench: Callable[..., Bench], kind: str, decoder: type[Decoder]
) -> None:
    runner, expected = bench(kind, decoder)
    for case, codes in zip(CASES[kind], expected, strict=True):
        (utterance,) = run(runner, [case.request], 1)
        np.testing.assert_array_equal(utterance.codes, codes)
        # qwen-tts cannot tell whether a speech of just that length has ended; the runner can.
        assert utterance.finish_reason == "stop" or len(codes) == MOST


@pytest.mark.parametrize("decoder", DECODERS)
def test_of_odd_dimensions_the_codes_are_those_of_qwen_tts(
    decoder: type[Decoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No width is a multiple of what a processor's vectors hold, and three heads share a key."""
    odd: dict[str, dict[str, Any]] = {
        "_HEADS": {"head_dim": 12, "num_attention_heads": 3, "num_key_value_heads": 1},
        "_TALKER": {"hidden_size": 51, "intermediate_size": 101, "num_hidden_layers": 2},
        "_PREDICTOR": {"hidden_size": 27, "intermediate_size": 45, "vocab_size": 256}
        | {"num_hidden_layers": 2},
    }
    for table, tiny in odd.items():
        monkeypatch.setitem(getattr(configs, table), "tiny", tiny)
    monkeypatch.setitem(configs._MROPE_SECTION, "tiny", [2, 2, 2])
    folder = str(make_checkpoint("tiny", "custom_voice", tmp_path / "odd"))
    runner = TalkerRunner(load_model(folder, threads=1), SLOTS, decoder=decoder)
    plain = load_model(folder, dtype=torch.float32, threads=1)
    for case in CASES["custom_voice"]:
        (utterance,) = run(runner, [case.request], 1)
        np.testing.assert_array_equal(utterance.codes, directly(plain, "custom_voice", case))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12, suppress_health_check=FIXTURES)
@given(data=st.data())
def test_in_any_company_the_codes_are_the_same(
    bench: Callable[..., Bench], kind: str, decoder: type[Decoder], data: st.DataObject
) -> None:
    runner, expected = bench(kind, decoder)
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
    bench: Callable[..., Bench], seeds: list[int], every: int
) -> None:
    runner = bench("custom_voice").runner

    def seeded(seed: int) -> SynthesisRequest:
        sampling = SamplingOverrides(
            seed=seed, temperature=0.5 + seed, top_p=0.9 if seed % 2 else None
        )
        return SynthesisRequest(
            task=Task.CUSTOM_VOICE, text="Hi.", max_frames=8, speaker="ryan", sampling=sampling
        )

    alone = {seed: run(runner, [seeded(seed)], 1)[0].codes for seed in set(seeds)}
    for seed, utterance in zip(seeds, run(runner, [seeded(s) for s in seeds], every), strict=True):
        np.testing.assert_array_equal(utterance.codes, alone[seed])


def test_without_a_seed_every_speech_is_another(bench: Callable[..., Bench]) -> None:
    runner = bench("custom_voice").runner
    request = SynthesisRequest(
        task=Task.CUSTOM_VOICE,
        text="Hello.",
        max_frames=8,
        speaker="ryan",
        sampling=SamplingOverrides(),
    )
    first, second = run(runner, [request, request], 1)
    assert not np.array_equal(first.codes, second.codes)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_request_that_overflows_fails_and_leaves_nothing_behind(
    bench: Callable[..., Bench], decoder: type[Decoder]
) -> None:
    runner, expected = bench("base", decoder)
    loud = Reference("loud", np.full(40_000, 1e38, dtype=np.float32), 24_000)
    broken = SynthesisRequest(
        task=Task.VOICE_CLONE, text="Never to be heard. " * 9, max_frames=9, reference=loud
    )
    with pytest.raises(EngineError, match="overflow"):
        admit(runner, broken)
    for case, codes in zip(CASES["base"], expected, strict=True):
        np.testing.assert_array_equal(run(runner, [case.request], 1)[0].codes, codes)


def test_a_request_that_cannot_be_admitted_leaves_no_row(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, expected = bench("custom_voice")

    def explode(*_: object) -> NoReturn:
        raise MemoryError

    cases = CASES["custom_voice"]
    with monkeypatch.context() as patch:
        patch.setattr(BatchSampler, "draw", explode)
        with pytest.raises(MemoryError):
            admit(runner, cases[0].request)
    np.testing.assert_array_equal(run(runner, [cases[1].request], 1)[0].codes, expected[1])


@pytest.mark.parametrize("change", [{"temperature": 1e-40}, {"repetition_penalty": float("nan")}])
def test_sampling_that_draws_no_code_is_refused(
    bench: Callable[..., Bench], change: dict[str, float]
) -> None:
    runner, expected = bench("custom_voice")
    case = CASES["custom_voice"][1]
    with pytest.raises(ValueError, match=next(iter(change))):
        admit(runner, replace(case.request, sampling=SamplingOverrides(**change)))
    np.testing.assert_array_equal(run(runner, [case.request], 1)[0].codes, expected[1])


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_cache_follows_the_longest_row_and_keeps_what_it_has(
    make_small_bench: Callable[[type[Decoder]], SmallBench],
    decoder: type[Decoder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, expected, cache = make_small_bench(decoder)
    monkeypatch.setattr(runner_module, "PREFILL_CHUNK_POSITIONS", 5)
    monkeypatch.setattr(runner_module, "CACHE_MARGIN_POSITIONS", 2)
    requests = [case.request for case in CASES["custom_voice"]]
    for utterance, codes in zip(run(runner, requests, 3), expected, strict=True):
        np.testing.assert_array_equal(utterance.codes, codes)
    room = cache.positions
    assert room % 8 == 0
    run(runner, [requests[1]], 1)
    assert cache.positions <= room


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_long_prompt_waits_for_room_while_others_speak(
    make_small_bench: Callable[[type[Decoder]], SmallBench],
    decoder: type[Decoder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, expected, cache = make_small_bench(decoder)
    short, long = (CASES["custom_voice"][number].request for number in (1, 3))
    monkeypatch.setattr(runner_module, "CACHE_MARGIN_POSITIONS", 2)
    first = admit(runner, short)
    second = Sequence(long)
    runner.admit(second)
    rooms = []
    while not runner.prefill():
        rooms.append([keys.shape[2] for keys in cache.keys])
        runner.step()
    assert len(rooms[0]) == 2
    assert rooms[0][0] > rooms[0][1]  # one layer at a time
    while len(runner):
        for row in runner.step():
            runner.remove(row)
    np.testing.assert_array_equal(first.codes, expected[1])
    np.testing.assert_array_equal(second.codes, expected[3])


def test_a_prompt_too_long_for_the_memory_fails_alone(
    make_small_bench: Callable[[type[Decoder]], SmallBench], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, expected, _ = make_small_bench(Decoder)
    short, long = (CASES["custom_voice"][number].request for number in (1, 3))
    row = admit(runner, short)

    def explode(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    runner.admit(Sequence(replace(long, text=long.text * 50)))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "zeros", explode)
        with pytest.raises(MemoryError):
            runner.prefill()
    while len(runner):
        for ended in runner.step():
            runner.remove(ended)
    np.testing.assert_array_equal(row.codes, expected[1])
