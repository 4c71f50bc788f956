"""One row of `engine.py`, in a process of its own; prints JSON."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from worker.engine.engine import Engine
from worker.engine.request import Codes, Sampling, Speech, SynthesisRequest, Task
from worker.engine.runner import TalkerRunner
from worker.loading import load_model

TEXT = "The lamp was lit, and nobody spoke for quite a while."
GREEDY = {"do_sample": False, "subtalker_dosample": False}
FRAME_S = 0.08


@dataclass
class Timed:
    """A callable that adds up the seconds spent in it."""

    call: Callable[..., Any]
    seconds: float = 0.0
    seen: list[Any] = field(default_factory=list)

    def __call__(self, *args: Any) -> Any:
        """Call, and remember the arguments."""
        began_s = time.perf_counter()
        try:
            return self.call(*args)
        finally:
            self.seconds += time.perf_counter() - began_s
            self.seen.append(args)


def main() -> None:
    """Measure one system at one precision with `slots` requests at once."""
    folder, system, precision, slots, frames = sys.argv[1:]
    began_s = time.perf_counter()
    model = load_model(folder, precision=precision)
    codec = Timed(model.model.speech_tokenizer.decode)
    model.model.speech_tokenizer.decode = codec
    run = ours if system == "ours" else qwen_tts
    row = run(model, codec, int(slots), int(frames), began_s)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    named = {"system": system, "precision": precision, "slots": int(slots)}
    sys.stdout.write(json.dumps({**named, **row, "peak_rss_bytes": peak}))


def qwen_tts(
    model: Any, codec: Timed, slots: int, frames: int, began_s: float
) -> dict[str, float | str]:
    """One qwen-tts call over all requests; the first sound comes with the last."""
    load_s = time.perf_counter() - began_s

    def speak(count: int, tokens: int) -> None:
        options = {"speaker": "ryan", "language": "english", "max_new_tokens": tokens, **GREEDY}
        with torch.inference_mode():
            model.generate_custom_voice([TEXT] * count, **options)

    speak(1, 4)  # what is set up at the first call is not counted
    codec.seconds = 0.0
    began_s = time.perf_counter()
    speak(slots, frames + 1)
    wall_s = time.perf_counter() - began_s
    codes = codec.seen[-1][0][0]["audio_codes"].numpy()
    return figures(codes, slots, wall_s, codec.seconds, ttfa_s=wall_s, load_s=load_s)


def ours(
    model: Any, codec: Timed, slots: int, frames: int, began_s: float
) -> dict[str, float | str]:
    """All requests submitted at once; the codec's seconds run beside the frames."""
    engine = Engine(TalkerRunner(model, slots), slots=slots, max_waiting=slots)
    load_s = time.perf_counter() - began_s
    engine.submit(request(3)).result()
    codec.seconds = 0.0
    began_s = time.perf_counter()
    first: list[float] = []
    futures: list[Future[Speech]] = [engine.submit(request(frames)) for _ in range(slots)]
    for future in futures:
        future.add_done_callback(lambda _: first.append(time.perf_counter() - began_s))
    speeches = [future.result() for future in futures]
    wall_s = time.perf_counter() - began_s
    engine.close()
    assert len({speech.codes.tobytes() for speech in speeches}) == 1
    return figures(
        speeches[0].codes, slots, wall_s, codec.seconds, ttfa_s=min(first), load_s=load_s
    )


def request(frames: int) -> SynthesisRequest:
    """The request of every row."""
    return SynthesisRequest(
        task=Task.CUSTOM_VOICE,
        text=TEXT,
        max_frames=frames,
        speaker="ryan",
        language="english",
        sampling=Sampling(**GREEDY),
    )


def figures(
    codes: Codes, slots: int, wall_s: float, codec_s: float, *, ttfa_s: float, load_s: float
) -> dict[str, float | str]:
    """What is reported; RTF is seconds ÷ seconds of audio, and wall = language model + codec."""
    audio_s = slots * len(codes) * FRAME_S
    return {
        "frames_per_s": slots * len(codes) / wall_s,
        "lm_rtf": (wall_s - codec_s) / audio_s,
        "codec_rtf": codec_s / audio_s,
        "rtf": wall_s / audio_s,
        "ttfa_s": ttfa_s,
        "load_s": load_s,
        "codes_sha256": hashlib.sha256(np.ascontiguousarray(codes).tobytes()).hexdigest(),
    }


if __name__ == "__main__":
    main()
