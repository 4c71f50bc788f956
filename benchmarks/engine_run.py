"""One row of `engine.py`, in a process of its own; prints JSON."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from worker.cpu import set_up_cpu
from worker.engine.aside import aside
from worker.engine.assemble import assemble
from worker.engine.codec.codec import Codec
from worker.engine.engine import Engine
from worker.engine.precision import Precision
from worker.engine.request import Codes, Samples, Sampling, Speech, SynthesisRequest, Task
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
    run = ours if system == "ours" else qwen_tts
    row = run(folder, precision, int(slots), int(frames))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    named = {"system": system, "precision": precision, "slots": int(slots)}
    sys.stdout.write(json.dumps({**named, **row, "peak_rss_bytes": peak}))


def qwen_tts(folder: str, precision: str, slots: int, frames: int) -> dict[str, Any]:
    """One qwen-tts call over all requests; the first sound comes with the last."""
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
    resident = resident_bytes()
    codec.seconds = 0.0
    began_s = time.perf_counter()
    speak(slots, frames + 1)
    wall_s = time.perf_counter() - began_s
    codes = codec.seen[0][0]["audio_codes"].numpy()
    told = {"ttfa_s": wall_s, "load_s": load_s, "resident_bytes": resident}
    return told | figures(codes, slots, wall_s, codec.seconds)


def ours(folder: str, precision: str, slots: int, frames: int) -> dict[str, Any]:
    """All requests submitted at once; the codec's seconds run beside the frames."""
    codec = Timed(Codec.decode)
    Codec.decode = lambda *args: codec(*args)  # type: ignore[method-assign]
    began_s = time.perf_counter()
    set_up_cpu()
    model = aside(lambda: load_model(folder))
    engine = assemble(model, precision=Precision(precision), slots=slots, max_waiting=slots)
    load_s = time.perf_counter() - began_s
    engine.submit(request(3)).result()
    resident = resident_bytes()
    codec.seconds = 0.0
    began_s = time.perf_counter()
    speeches, ttfa_s = speak(engine, slots, frames)
    wall_s = time.perf_counter() - began_s
    engine.close()
    assert len({speech.codes.tobytes() for speech in speeches}) == 1
    told = {"ttfa_s": ttfa_s, "load_s": load_s, "resident_bytes": resident}
    return told | figures(speeches[0].codes, slots, wall_s, codec.seconds)


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
        "codes_sha256": hashlib.sha256(np.ascontiguousarray(codes).tobytes()).hexdigest(),
    }


def resident_bytes() -> int:
    """What the process holds in memory now, files that it has mapped included."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
