"""A row of vox-tts, run by the Python that has it and nothing of this project; prints JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import vox

# As greedy as the other rows: the most probable code each time.
GREEDY = {"temperature": 0.0, "sub_temperature": 0.0}
FRAME_S = 0.08


def main() -> None:
    """Speak a text with `slots` sessions at once."""
    model, slots, frames, threads, text = sys.argv[1:]
    began_s = time.perf_counter()
    engine = vox.Engine(model, device="cpu", threads=int(threads))
    voice = engine.speaker_voice("ryan")
    load_s = time.perf_counter() - began_s

    def speak(count: int) -> tuple[int, float]:
        """Samples of a text, and when the first ones came."""
        made, first_s = 0, 0.0
        options = {"language": "english", "max_frames": count, **GREEDY}
        for chunk in engine.stream(text, voice, **options):
            first_s = first_s or time.perf_counter()
            made += len(chunk)
        return made, first_s

    speak(3)  # what is set up at the first call is not counted
    began_s = time.perf_counter()
    with ThreadPoolExecutor(int(slots)) as pool:
        spoken = list(pool.map(speak, [int(frames)] * int(slots)))
    wall_s = time.perf_counter() - began_s
    audio_s = sum(made for made, _ in spoken) / engine.sample_rate
    row = {
        "frames_per_s": audio_s / FRAME_S / wall_s,
        "rtf": wall_s / audio_s,
        "ttfa_s": min(first_s for _, first_s in spoken) - began_s,
        "load_s": load_s,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    sys.stdout.write(json.dumps(row))


if __name__ == "__main__":
    main()
