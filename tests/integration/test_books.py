"""Books: from a file to an audiobook, whatever happens on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from redis import Redis

from client import Narrator
from client.cli import main
from client.local.stack import Stack
from tests.support.audio_files import pcm
from tests.support.epub_files import Page, make_epub
from tests.support.paths import ROOT
from tests.support.processes import wait_until

pytestmark = pytest.mark.integration

GREEDY = {"do_sample": False, "subtalker_dosample": False, "max_new_tokens": 40}
PAGE = ROOT / "examples" / "page.txt"
RATE = 24_000


def chapter(chars: int) -> str:
    """The opening of Alice (public domain), again and again, with its paragraphs told apart."""
    paragraphs, text = PAGE.read_text("utf-8").split("\n\n"), ""
    number = 0
    while len(text) < chars:
        text += f"{number}. {paragraphs[number % len(paragraphs)]}\n\n"
        number += 1
    return text


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("books")
    with Stack(["tiny"], data=data, port=0, workers=2, logs_to_files=True) as stack:
        stack.wait_ready(120)
        yield stack


@pytest.fixture
def narrator(books: Stack) -> Iterator[Narrator]:
    with Narrator(books.url) as narrator:
        yield narrator


@pytest.fixture
def redis(books: Stack) -> Iterator[Redis]:
    assert books.redis
    with Redis.from_url(books.redis.url, decode_responses=True) as redis:
        yield redis


def begun(redis: Redis, job_id: str) -> int:
    """How often segments of a job were begun in all."""
    total = int(redis.hget(f"tts:job:{job_id}", "total") or 0)
    keys = (f"tts:segment:{job_id}:{index}" for index in range(total))
    return sum(int(redis.hget(key, "attempts") or 0) for key in keys)


def test_a_long_chapter_is_spoken_in_order_to_the_sample(
    books: Stack, narrator: Narrator, tmp_path: Path
) -> None:
    text = "Chapter 1. Down the Rabbit-Hole\n\n" + chapter(30_000)
    source = tmp_path / "alice.txt"
    source.write_text(text)
    job = narrator.narrate(source, tmp_path / "alice.wav", voice="vivian", sampling=GREEDY)
    assert job.chapters == ("Chapter 1. Down the Rabbit-Hole",)
    url = f"{books.url}/v1/jobs/{job.id}"
    told = httpx.get(f"{url}/timings").json()
    segments = told["segments"]
    assert len(segments) == job.segments.total > 100

    # The ranges are the whole input, in order, and what is spoken stands in them.
    assert [segments[0]["start"], *(each["end"] for each in segments)] == [
        *(each["start"] for each in segments),
        len(text),
    ]
    for each in segments:
        squeezed = " ".join(text[each["start"] : each["end"]].split())
        assert each["text"] in squeezed

    # The file is as long as its segments and pauses, and every segment is where it should be.
    whole = pcm(tmp_path / "alice.wav")
    assert len(whole) == round(told["duration_s"] * RATE)
    spoken = sum(each["end_s"] - each["start_s"] for each in segments)
    pauses = [later["start_s"] - before["end_s"] for before, later in pairwise(segments)]
    assert min(pauses) >= 0
    assert round((spoken + sum(pauses)) * RATE) == pytest.approx(len(whole), abs=len(segments))
    alone: dict[str, np.ndarray] = {}
    for each in segments[:: len(segments) // 8]:
        path = tmp_path / "one.wav"
        narrator.speak(each["text"], path, voice="vivian", sampling=GREEDY)
        alone[each["text"]] = pcm(path)
        at, until = (round(each[name] * RATE) for name in ("start_s", "end_s"))
        assert until - at == len(alone[each["text"]])
        # Apart from its edges, which are faded.
        assert (whole[at + 150 : until - 150] == alone[each["text"]][150:-150]).all()

    captions = httpx.get(f"{url}/subtitles", params={"format": "srt"}).text
    times = [line.split(" --> ") for line in captions.splitlines() if " --> " in line]
    assert len(times) > len(segments)
    assert all(
        begin < end <= after
        for (begin, end), (after, _) in zip(times, [*times[1:], ["99:59:59,999", ""]], strict=True)
    )
    spelled = "".join(
        line for line in captions.splitlines() if " --> " not in line and not line.isdecimal()
    )
    assert spelled.replace(" ", "") == "".join(each["text"] for each in segments).replace(" ", "")


def test_what_is_finished_is_not_spoken_again(
    books: Stack, narrator: Narrator, redis: Redis, tmp_path: Path
) -> None:
    text = chapter(8_000)
    options = {"task": "custom_voice", "voice": "vivian", "sampling": GREEDY}
    whole = narrator.wait(narrator.submit(text, **options).id)
    narrator.download(whole.id, tmp_path / "whole.wav")
    job = narrator.submit(text, **options)
    wait_until(lambda: narrator.job(job.id).segments.completed > job.segments.total // 2, 120)
    workers = books.worker_children
    for worker in workers:
        worker.kill()
    for worker in workers:
        wait_until(lambda worker=worker: worker.exit_code is not None)
    kept = narrator.job(job.id).segments.completed
    in_hand = begun(redis, job.id) - kept
    assert job.segments.total // 2 < kept < job.segments.total
    wait_until(
        lambda: (
            books.restart_ended() is None or all(w.exit_code is None for w in books.worker_children)
        ),
        60,
    )
    done = narrator.wait(job.id)
    assert begun(redis, job.id) == done.segments.total + in_hand
    narrator.download(job.id, tmp_path / "again.wav")
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_a_book_does_not_hold_up_a_sentence(narrator: Narrator) -> None:
    """It is begun as soon as a segment under way has ended: within two segments' time."""
    options = {"task": "custom_voice", "voice": "vivian", "sampling": GREEDY}
    book = narrator.submit("\n\n".join(f"Number {n}." for n in range(3_000)), **options)
    wait_until(lambda: narrator.job(book.id).segments.completed > 40, 60)
    before = narrator.job(book.id)
    sentence = narrator.submit("A sentence.", **options)
    wait_until(lambda: narrator.job(sentence.id).status != "queued", 30)
    after = narrator.job(book.id)
    narrator.cancel(book.id)
    served = after.segments.completed - before.segments.completed
    assert served <= 2 * 32  # of two workers with 16 slots each
    narrator.wait(sentence.id)


def test_narrate_makes_an_audiobook_of_an_epub(
    books: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"Down the Rabbit-Hole": "Alice was tired. ", "The Pool of Tears": "Curiouser! "}
    pages = [Page(title, f"<h1>{title}</h1><p>{text * 9}</p>") for title, text in said.items()]
    book, out = tmp_path / "alice.epub", tmp_path / "alice.m4b"
    book.write_bytes(make_epub(pages, title="Alice", author="Lewis Carroll"))
    assert main([str(book), "-o", str(out), "--url", books.url]) == 0
    printed = capsys.readouterr()
    assert "2 chapters" in printed.err
    assert printed.out.startswith(f"{out}: ")
    with av.open(str(out)) as file:
        assert (file.metadata["title"], file.metadata["artist"]) == ("Alice", "Lewis Carroll")
        titles = [each["metadata"]["title"] for each in file.chapters()]
        assert titles == [page.title for page in pages]


def test_narrate_has_a_way_back_to_a_job_that_was_left(books: Stack, tmp_path: Path) -> None:
    book, out = tmp_path / "book.md", tmp_path / "book.flac"
    book.write_text("\n\n".join(f"# Part {n}\n\n{'The lamp was lit. ' * 20}" for n in range(9)))
    command = [sys.executable, "-m", "client", str(book), "-o", str(out), "--url", books.url]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as narrate:
        assert narrate.stderr
        said = narrate.stderr.readline()
        assert "9 chapters" in said
        narrate.send_signal(signal.SIGINT)
        _, rest = narrate.communicate(timeout=30)
    job_id = said.split()[1].rstrip(":")
    assert f"narrate resume {job_id} --url {books.url}" in rest
    assert not out.exists()
    assert main(["resume", job_id, "--url", books.url]) == 0
    assert out.read_bytes()[:4] == b"fLaC"


def test_narrate_speaks_a_batch_into_a_folder(
    books: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, folder = tmp_path / "jobs.jsonl", tmp_path / "out"
    # Names that would meet in one file, or fit in none; line ends that are none.
    names = ["x/../y", "x/.._y", "章" * 100 + "1", "章" * 100 + "2", "\u2028z"]
    lines = [
        {"input": "The first.", "metadata": {"note": "a\u2028b\x85c"}},
        *(
            {"custom_id": name, "body": {"input": "The rest.", "response_format": "mp3"}}
            for name in names
        ),
    ]
    written = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    jobs.write_text(written, "utf-8-sig")
    assert main(["batch", str(jobs), "-o", str(folder), "--url", books.url]) == 0
    made = sorted(path.name for path in folder.iterdir())
    assert made[0] == "0001.wav"
    assert [name.endswith(".mp3") for name in made[1:]] == [True] * 5
    said = capsys.readouterr().err
    assert "6 of 6 jobs completed" in said
    batch = said.split("Batch ")[1].split(":")[0]
    assert main(["status", batch, "--url", books.url]) == 0
    assert "6: 6 completed, 0 failed" in capsys.readouterr().out
    assert main(["status", batch, "--json", "--url", books.url]) == 0
    assert json.loads(capsys.readouterr().out)["request_counts"]["completed"] == 6
    assert main(["cancel", batch, "--url", books.url]) == 1  # too late
    assert "is completed" in capsys.readouterr().out
    assert main(["resume", batch, "-o", str(tmp_path / "again"), "--url", books.url]) == 0
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == made


def test_resume_writes_over_nothing_and_names_no_file_wrongly(
    books: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.wav"
    assert main(["say", "The lamp.", "-o", str(out), "--url", books.url]) == 0
    job_id = capsys.readouterr().err.split("Job ")[1].split()[0].rstrip(":")
    assert main(["resume", job_id, "--url", books.url]) == 1
    assert f"-o {out} writes over it" in capsys.readouterr().err.replace("\n", " ")
    wrong = tmp_path / "a.mp3"
    assert main(["resume", job_id, "-o", str(wrong), "--url", books.url]) == 1
    assert not wrong.exists()
    assert main(["resume", job_id, "-o", str(out), "--url", books.url]) == 0
