"""One row of `engine.py`, in a process of its own; prints JSON."""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.roofline import FRAME_S
from benchmarks.steps import Steps
from shared.speech_model import SamplingOverrides, Task
from worker.engine.build import build_engine, choose_parts
from worker.engine.codec.codec import Codec
from worker.engine.engine import Engine
from worker.engine.nn.decoder import Decoder
from worker.engine.precision import Precision
from worker.engine.prompt import Prompt, PromptBuilder
from worker.engine.request import Codes, Samples, Speech, SynthesisRequest
from worker.engine.threads import run_in_temporary_thread
from worker.model.cpu import give_memory_back, set_up_cpu
from worker.model.loading import load_model

# As many tokens of the checkpoint's byte-level tokenizer as the released one makes of 5 seconds.
TEXT = "The lamp is lit."
GREEDY = {"do_sample": False, "subtalker_dosample": False}
# Requests for each slot of the mixed load.
QUEUE = 3
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Timed:
    """A callable that adds up the seconds spent in it."""

    call: Callable[..., Any]
    seconds: float = 0.0
    seen: list[Any] = field(default_factory=list)

    def __call__(self, *args: Any) -> Any:
        """Call, and remember the last argument."""
        began_s = time.perf_counter()
        try:
            return self.call(*args)
        finally:
            self.seconds += time.perf_counter() - began_s
            self.seen = [args[-1]]


def main() -> None:
    """Measure one system at one precision with `slots` requests at once."""
    folder, system, precision, slots, frames = sys.argv[1:]
    runs = {
        "baseline": qwen_tts,
        "qwen_tts": qwen_tts,
        "ours": ours,
        "uncompiled": uncompiled,
        "mixed": mixed,
        "cuda": partial(ours, device="cuda"),
        "cuda_without_graphs": partial(ours, device="cuda", compiled=False),
    }
    row = runs[system](folder, precision, int(slots), int(frames))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    named = {"system": system, "precision": precision, "slots": int(slots)}
    sys.stdout.write(json.dumps({**named, **row, "peak_rss_bytes": peak}))


def qwen_tts(folder: str, precision: str, slots: int, frames: int) -> dict[str, Any]:
    """One qwen-tts call over all requests; the first sound comes with the last."""
    before = resident_bytes()
    began_s = time.perf_counter()
    model = load_model(folder, dtype=DTYPES[precision])
    load_s = time.perf_counter() - began_s
    codec = Timed(model.model.speech_tokenizer.decode)
    model.model.speech_tokenizer.decode = codec
    lengths: list[int] = []
    model.model.talker.model.register_forward_pre_hook(
        lambda _module, _args, options: lengths.append(options["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )

    def speak(count: int, tokens: int) -> None:
        options = {"speaker": "ryan", "language": "english", "max_new_tokens": tokens, **GREEDY}
        with torch.inference_mode():
            model.generate_custom_voice([TEXT] * count, **options)

    speak(1, 4)  # what is set up at the first call is not counted
    weights = resident_bytes() - before
    codec.seconds = 0.0
    began_s = time.perf_counter()
    speak(slots, frames + 1)
    wall_s = time.perf_counter() - began_s
    codes = codec.seen[0][0]["audio_codes"].numpy()
    told = {
        "ttfa_s": wall_s,
        "load_s": load_s,
        "weights_bytes": weights,
        "prompt_positions": max(lengths),
    }
    return told | figures(codes, slots, wall_s, codec.seconds)


def uncompiled(folder: str, precision: str, slots: int, frames: int) -> dict[str, Any]:
    """As `ours`, with TTS_COMPILE=0."""
    return ours(folder, precision, slots, frames, compiled=False)


def ours(
    folder: str,
    precision: str,
    slots: int,
    frames: int,
    *,
    compiled: bool = True,
    device: str = "cpu",
) -> dict[str, Any]:
    """All requests submitted at once."""
    codec = Timed(Codec.decode)
    with patch.object(Codec, "decode", lambda *args: codec(*args)), prompt_lengths() as lengths:
        engine, told = start(folder, precision, slots, compiled=compiled, device=device)
        engine.submit(request(3)).result()
        if device != "cpu":  # what is captured in a run of this length is not counted
            speak(engine, slots, frames)
        codec.seconds = 0.0
        began_s = time.perf_counter()
        speeches, ttfa_s = speak(engine, slots, frames)
        wall_s = time.perf_counter() - began_s
        engine.close()
    assert len({speech.codes.tobytes() for speech in speeches}) == 1
    told |= {"ttfa_s": ttfa_s, "prompt_positions": max(lengths)}
    return told | figures(speeches[0].codes, slots, wall_s, codec.seconds)


def start(
    folder: str, precision: str, slots: int, *, compiled: bool, device: str = "cpu"
) -> tuple[Engine, dict[str, Any]]:
    """An engine as a worker starts it, how long that took, and the memory that it added."""
    before = resident_bytes()
    began_s = time.perf_counter()
    set_up_cpu()
    model = run_in_temporary_thread(lambda: load_model(folder, device=device))
    at, kind = time.perf_counter(), Precision(precision)
    parts = choose_parts(model, kind, slots, compiled=compiled)
    if compiled and parts.decoder is Decoder and device == "cpu":
        sys.exit("There is no C++ compiler here: install g++.")
    compile_s = time.perf_counter() - at if compiled else 0.0
    engine = build_engine(model, parts, slots=slots, max_waiting=QUEUE * slots)
    load_s = time.perf_counter() - began_s
    give_memory_back()
    language_model, codec = parts.names
    told = {
        "products": language_model,
        "codec_products": codec,
        "load_s": load_s,
        "compile_s": compile_s,
        "weights_bytes": resident_bytes() - before,
    }
    return engine, told


def mixed(folder: str, precision: str, slots: int, _frames: int) -> dict[str, Any]:
    """Requests of 1 to 20 seconds that come at random, against slots that are always full.

    As long as requests are waiting, so without the end, when slots stay empty. `of_steady` compares
    frames a second; `longest_wait` is the longest time from one step to the next, in median steps
    of full slots.
    """
    random.seed(0)
    lengths = [random.randint(12, 250) for _ in range(QUEUE * slots)]
    usual = round(statistics.mean(lengths))
    steady, loaded = Steps(), Steps()
    with steady.watched(), prompt_lengths() as positions:
        engine, told = start(folder, precision, slots, compiled=True)
        speak(engine, slots, usual)
    full, waits = steady.between(slots, slots + 1)
    began_s = time.perf_counter()
    with loaded.watched():
        futures = []
        for length in lengths:
            futures.append(engine.submit(request(length)))
            # Twice as fast as they are spoken, so that some are always waiting.
            time.sleep(random.expovariate(2 * full / usual))
        speeches = [future.result() for future in futures]
    wall_s = time.perf_counter() - began_s
    engine.close()
    made = sum(len(speech.codes) for speech in speeches)
    busy, mixed_waits = loaded.between(slots, len(lengths))
    told |= {
        "of_steady": busy / full,
        "longest_wait": max(mixed_waits) / statistics.median(waits),
        "ttfa_s": None,
        "prompt_positions": max(positions),
    }
    shown = figures(speeches[0].codes, 1, wall_s * len(speeches[0].codes) / made, 0.0)
    return told | shown | {"frames": made / len(speeches)}


def speak(engine: Engine, count: int, frames: int) -> tuple[list[Speech], float]:
    """Speak the same request several times at once; returns when the first sound came."""
    began_s = time.perf_counter()
    heard: list[float] = []

    def listen(_: Samples) -> None:
        heard.append(time.perf_counter() - began_s)

    futures = [engine.submit(request(frames, listen)) for _ in range(count)]
    return [future.result() for future in futures], min(heard)


@contextmanager
def prompt_lengths() -> Iterator[list[int]]:
    """The positions of each prompt that an engine builds meanwhile."""
    build, lengths = PromptBuilder.build, list[int]()

    def building(*args: Any) -> Prompt:
        prompt = build(*args)
        lengths.append(len(prompt.embeds))
        return prompt

    with patch.object(PromptBuilder, "build", building):
        yield lengths


def request(frames: int, listen: Callable[[Samples], None] | None = None) -> SynthesisRequest:
    """The request of every row."""
    return SynthesisRequest(
        task=Task.CUSTOM_VOICE,
        text=TEXT,
        max_frames=frames,
        speaker="ryan",
        language="english",
        sampling=SamplingOverrides(**GREEDY),
        on_frames=listen,
    )


def figures(codes: Codes, slots: int, wall_s: float, codec_s: float) -> dict[str, Any]:
    """The figures of a row; RTF is seconds ÷ seconds of audio, wall = language model + codec."""
    audio_s = slots * len(codes) * FRAME_S
    return {
        "frames": len(codes),
        "frames_per_s": slots * len(codes) / wall_s,
        "lm_rtf": (wall_s - codec_s) / audio_s,
        "codec_rtf": codec_s / audio_s,
        "rtf": wall_s / audio_s,
        "codes": codes.tolist(),
    }


def resident_bytes() -> int:
    """The process's memory now, files that it has mapped included."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
