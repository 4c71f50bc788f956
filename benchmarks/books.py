"""What a book costs beside its speech: splitting it, admitting it, joining its segments.

Each part is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

# Not this folder: its queue.py would hide Python's.
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

CHARS, HOURS, SEGMENT_S, DISTINCT = 5_000_000, 10, 10, 24
FORMATS = ("wav", "flac", "mp3", "opus", "m4b")


def text(chars: int) -> str:
    """So many characters of prose."""
    page = (ROOT / "examples" / "page.txt").read_text("utf-8") + "\n\n"
    return (page * (chars // len(page) + 1))[:chars]


def split() -> dict[str, float]:
    """Seconds for splitting five million characters."""
    from api.text.segmentation import split

    book = text(CHARS)
    began_s = time.perf_counter()
    segments = split(book, "english", 240)
    return {"split, s": time.perf_counter() - began_s, "segments": len(segments)}


# What makes a splitter slow, again and again up to five million characters.
HOSTILE = {
    "flags": "🇦",
    "apostrophes": "'a",
    "nested brackets": "（『《〈【“‘«(a",
    "closing marks": "a)」”'",
    "initials": "a. ",
    "short forms": "Dr. ",
    "cries": "a! ",
    "short Chinese": "字。",
    "commas": "a, ",
    "Chinese commas": "a、",
    "dashes": "— a",
    "words of one letter": "a ",
    "no spaces": "a",
    "ideographs": "字",
    "numbers": "1,",
    "accents": "e\u0301 ",
    "accents on one letter": "\u0301\u0327",
    "composed letters": "\u0958",
    "invisible": "a\u200b\x00",
    "marks only": ". ",
    "rows of marks": "*\n\n",
    "joiners": "👨\u200d",
}


def hostile() -> dict[str, float]:
    """How many times as long as prose hostile texts of the same length take, in CPU time."""
    from api.text.segmentation import split
    from shared.errors import InvalidRequest

    def cpu_s(book: str) -> float:
        began_s = time.process_time()
        try:
            split(book, "auto", 240, most=100_000)
        except InvalidRequest as error:
            sys.stderr.write(f"{error}\n")
        return time.process_time() - began_s

    prose_s = min(cpu_s(text(CHARS)) for _ in range(2))
    times = {
        f"{name}, times prose": cpu_s("x" + unit * (CHARS // len(unit)) + ".") / prose_s
        for name, unit in HOSTILE.items()
    }
    return {"prose, s of CPU": prose_s, **times, "worst, times prose": max(times.values())}


def admit() -> dict[str, float]:
    """Seconds until such a book is accepted, and how long other requests take meanwhile."""
    import httpx

    from benchmarks.queue_service import Service

    with TemporaryDirectory() as name, Service("ours", Path(name) / "ours") as service:
        waits: list[float] = []
        ended = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=service.url, timeout=30) as http:
                while not ended.is_set():
                    began_s = time.perf_counter()
                    http.get("/v1/models").raise_for_status()
                    waits.append(time.perf_counter() - began_s)
                    time.sleep(0.02)

        asker = threading.Thread(target=ask)
        asker.start()
        began_s = time.perf_counter()
        job = service.submit(text(CHARS))
        took_s = time.perf_counter() - began_s
        ended.set()
        asker.join()
        httpx.post(f"{service.url}/v1/jobs/{job}/cancel", timeout=30)
    return {
        "admit, s": took_s,
        "others meanwhile, median ms": 1e3 * statistics.median(waits),
        "others meanwhile, longest ms": 1e3 * max(waits),
    }


def join(kind: str) -> dict[str, float]:
    """How fast ten hours are joined, and the memory of the process that does it."""
    import numpy as np

    from shared.audio.wav import encode_wav
    from shared.formats import Format
    from shared.jobs import SpokenSegment
    from shared.speech_model import SAMPLE_RATE
    from shared.storage import Storage
    from worker.join import join_segments

    rng, count = np.random.default_rng(0), HOURS * 3_600 // SEGMENT_S
    with TemporaryDirectory() as name:
        storage = Storage.open((Path(name) / "results").as_uri())
        for number in range(DISTINCT):
            tone = np.sin(np.arange(SEGMENT_S * SAMPLE_RATE) * 0.03 * (1 + number / DISTINCT))
            noise = rng.normal(0, 0.02, len(tone))
            storage.put(str(number), encode_wav((0.3 * tone + noise).astype(np.float32)))
        segments = [
            SpokenSegment(
                text="",
                start=0,
                end=0,
                pause_s=0.2,
                key=str(number % DISTINCT),
                samples=SEGMENT_S * SAMPLE_RATE,
                truncated=False,
            )
            for number in range(count)
        ]
        path = Path(name) / f"book.{kind}"
        began_s = time.perf_counter()
        samples = join_segments(segments, storage.get, path, Format(kind))
        storage.put("book", path)
        took_s = time.perf_counter() - began_s
    assert samples == count * (SEGMENT_S * SAMPLE_RATE + 4_800)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"times real time": samples / SAMPLE_RATE / took_s, "peak memory, MB": peak_mb}


def measured(part: str) -> dict[str, float]:
    """The figures of a part, from a process of its own."""
    ran = subprocess.run([sys.executable, __file__, part], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def main() -> None:
    """Measure all parts, or the one that is named; writes JSON for that."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["split", "hostile", "admit", *FORMATS])
    asked = parser.parse_args()
    parts = {"split": split, "hostile": hostile, "admit": admit}
    if asked.part:
        found = parts[asked.part]() if asked.part in parts else join(asked.part)
        sys.stdout.write(json.dumps(found))
        return
    for part in (*parts, *FORMATS):
        for name, value in measured(part).items():
            sys.stdout.write(f"{part:<7} {name:<40} {value:>12,.1f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
