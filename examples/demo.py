"""Start the whole service, narrate a page over HTTP, check the WAV, stop everything."""

import argparse
import sys
import tempfile
import time
import wave
from array import array
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client import Narrator
from client.errors import NarrateError
from client.local.stack import Stack
from client.models import Job
from client.terminal import JobProgress

PAGE = Path(__file__).parent / "page.txt"
SILENCE_PEAK = 0.001  # of full scale
LOG_TAIL_LINES = 20

console = Console()


def main() -> int:
    """Return 0 if the page became a sound recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="default: %(default)s")
    parser.add_argument("-o", "--output", type=Path, default=Path("demo.wav"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="narrate-demo-") as folder:
        stack = Stack([args.model], data=Path(folder), port=0, logs_to_files=True)
        try:
            demo(stack, args.output)
        except (NarrateError, ValueError, wave.Error) as error:
            print_logs(stack.logs)
            console.print(f"The demo failed: {error}", style="red", markup=False, soft_wrap=True)
            return 1
    return 0


def demo(stack: Stack, output: Path) -> None:
    """Narrate the page into `output` and print what it took."""
    began = time.monotonic()
    with stack:
        stack.wait_ready()
        console.print(f"Ready on {stack.url} after {time.monotonic() - began:.1f} s")
        job = narrate(stack, output)
        timings = httpx.get(f"{stack.url}/v1/jobs/{job.id}/timings").raise_for_status().json()
    seconds, peak = check_wav(output)
    print_text(timings)
    print_table(job, output, seconds, peak)


def narrate(stack: Stack, output: Path) -> Job:
    """Return the finished job; an error as soon as any process of the stack ends."""
    with Narrator(stack.url) as narrator, JobProgress() as progress:

        def on_progress(job: Job) -> None:
            stack.check()
            progress(job)

        return narrator.speak(PAGE.read_text(encoding="utf-8"), output, on_progress)


def check_wav(path: Path) -> tuple[float, float]:
    """Return seconds and peak of a 24 kHz, mono, 16-bit WAV; ValueError if it is not, or silent."""
    with wave.open(str(path), "rb") as file:
        found = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
        samples = array("h", file.readframes(file.getnframes()))
    if found != (24_000, 1, 16):
        raise ValueError(f"{path} has {found[0]} Hz, {found[1]} channels, {found[2]} bits")
    if sys.byteorder == "big":
        samples.byteswap()
    peak = max(map(abs, samples), default=0) / 32_768
    if peak < SILENCE_PEAK:
        raise ValueError(f"{path} is silent")
    return len(samples) / 24_000, peak


def print_text(timings: dict[str, Any]) -> None:
    """Print the beginning of each segment after its time in the audio, below its chapter."""
    chapter = None
    for segment in timings["segments"]:
        if segment["chapter"] not in (None, chapter):
            chapter = segment["chapter"]
            console.print(Text(timings["chapters"][chapter]["title"], style="bold"))
        minutes, seconds = divmod(int(segment["start_s"]), 60)
        line = Text(f"{minutes:>3}:{seconds:02}  {segment['text']}")
        console.print(line, no_wrap=True, overflow="ellipsis")


def print_table(job: Job, path: Path, seconds: float, peak: float) -> None:
    """Print what the job was and what it took."""
    wall_s, rtf = job.synthesis.seconds, job.synthesis.rtf
    table = Table(title=f"{PAGE.name} → {path}", show_header=False)
    table.add_row("model, voice", f"{job.model}, {job.voice}")
    table.add_row("segments", f"{job.segments.completed} of {job.segments.total}")
    table.add_row("cut short", str(job.segments.truncated))
    table.add_row("audio", f"{seconds:.1f} s, peak {peak:.2f}")
    table.add_row("wall time", "unknown" if wall_s is None else f"{wall_s:.1f} s")
    table.add_row("RTF (wall ÷ audio)", "unknown" if rtf is None else f"{rtf:.2f}")
    sizes = sorted(job.synthesis.batch_sizes.items())
    table.add_row("batch size: segments", ", ".join(f"{size}: {n}" for size, n in sizes))
    console.print(table)


def print_logs(folder: Path) -> None:
    """Print the end of every log."""
    for log in sorted(folder.glob("*.log")):
        console.rule(log.name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[-LOG_TAIL_LINES:]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
