"""One row of `engine.py`, in a process of its own; prints JSON."""

from __future__ import annotations

import itertools
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from worker.cpu import give_memory_back, set_up_cpu
from worker.engine.aside import aside
from worker.engine.assemble import assemble
from worker.engine.codec.codec import Codec
from worker.engine.engine import Engine
from worker.engine.precision import Precision
from worker.engine.request import Codes, Samples, Sampling, Speech, SynthesisRequest, Task
from worker.engine.runner import TalkerRunner
from worker.loading import load_model

TEXT = "The lamp was lit, and nobody spoke for quite a while."
GREEDY = {"do_sample": False, "subtalker_dosample": False}
FRAME_S = 0.08
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
    run = {"ours": ours, "mixed": mixed}.get(system, qwen_tts)
    row = run(folder, precision, int(slots), int(frames))
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
    told = {"ttfa_s": wall_s, "load_s": load_s, "weights_bytes": weights}
    return told | figures(codes, slots, wall_s, codec.seconds)


def ours(folder: str, precision: str, slots: int, frames: int) -> dict[str, Any]:
    """All requests submitted at once; the codec's seconds run beside the frames."""
    codec = Timed(Codec.decode)
    Codec.decode = lambda *args: codec(*args)  # type: ignore[method-assign]
    engine, told = start(folder, precision, slots)
    engine.submit(request(3)).result()
    codec.seconds = 0.0
    began_s = time.perf_counter()
    speeches, ttfa_s = speak(engine, slots, frames)
    wall_s = time.perf_counter() - began_s
    engine.close()
    assert len({speech.codes.tobytes() for speech in speeches}) == 1
    told |= {"ttfa_s": ttfa_s}
    return told | figures(speeches[0].codes, slots, wall_s, codec.seconds)


def start(folder: str, precision: str, slots: int) -> tuple[Engine, dict[str, Any]]:
    """An engine as a worker starts it, how long that took, and the memory that it added."""
    before = resident_bytes()
    began_s = time.perf_counter()
    set_up_cpu()
    model = aside(lambda: load_model(folder))
    engine = assemble(model, precision=Precision(precision), slots=slots, max_waiting=64)
    load_s = time.perf_counter() - began_s
    give_memory_back()
    return engine, {"load_s": load_s, "weights_bytes": resident_bytes() - before}


def mixed(folder: str, precision: str, slots: int, frames: int) -> dict[str, Any]:
    """Requests of 1 to 20 seconds that come at random, against slots that are always full.

    `of_steady` compares frames a second; `longest_wait` is the longest time from one step to the
    next, in median steps of full slots.
    """
    steps = Timed(TalkerRunner.step)
    ends: list[float] = []

    def step(runner: TalkerRunner) -> Any:
        try:
            return steps(runner)
        finally:
            ends.append(time.perf_counter())

    TalkerRunner.step = step  # type: ignore[method-assign]
    engine, told = start(folder, precision, slots)
    began_s = time.perf_counter()
    speak(engine, slots, frames)
    steady = slots * frames / (time.perf_counter() - began_s)
    waits = [after - before for before, after in itertools.pairwise(ends)]
    usual_s = statistics.median(waits)
    ends.clear()
    random.seed(0)
    lengths = [random.randint(12, 250) for _ in range(2 * slots)]
    began_s = time.perf_counter()
    futures = []
    for length in lengths:
        futures.append(engine.submit(request(length)))
        # Faster than they are spoken, so that the slots stay full until the last have come.
        time.sleep(random.expovariate(2 * steady / statistics.mean(lengths)))
    speeches = [future.result() for future in futures]
    wall_s = time.perf_counter() - began_s
    engine.close()
    made = sum(len(speech.codes) for speech in speeches)
    longest = max(after - before for before, after in itertools.pairwise(ends))
    told |= {
        "of_steady": made / wall_s / steady,
        "longest_wait": longest / usual_s,
        "ttfa_s": None,
    }
    return told | figures(speeches[0].codes, 1, wall_s * len(speeches[0].codes) / made, 0.0)


def speak(engine: Engine, count: int, frames: int) -> tuple[list[Speech], float]:
    """Speak the same request several times at once; returns when the first sound came."""
    began_s = time.perf_counter()
    heard: list[float] = []

    def listen(_: Samples) -> None:
        heard.append(time.perf_counter() - began_s)

    futures = [engine.submit(request(frames, listen)) for _ in range(count)]
    return [future.result() for future in futures], min(heard)


def request(frames: int, listen: Callable[[Samples], None] | None = None) -> SynthesisRequest:
    """The request of every row."""
    return SynthesisRequest(
        task=Task.CUSTOM_VOICE,
        text=TEXT,
        max_frames=frames,
        speaker="ryan",
        language="english",
        sampling=Sampling(**GREEDY),
        on_frames=listen,
    )


def figures(codes: Codes, slots: int, wall_s: float, codec_s: float) -> dict[str, Any]:
    """What is reported; RTF is seconds ÷ seconds of audio, and wall = language model + codec."""
    audio_s = slots * len(codes) * FRAME_S
    return {
        "frames_per_s": slots * len(codes) / wall_s,
        "lm_rtf": (wall_s - codec_s) / audio_s,
        "codec_rtf": codec_s / audio_s,
        "rtf": wall_s / audio_s,
        "codes": codes.tolist(),
    }


def resident_bytes() -> int:
    """What the process holds in memory now, files that it has mapped included."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
