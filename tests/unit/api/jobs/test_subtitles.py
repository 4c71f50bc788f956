"""Subtitles: all that is said, when it is said, in lines that can be read."""

from __future__ import annotations

import re
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.jobs.subtitles import MAX_CUE_LINES, MAX_LINE_COLUMNS, cues, srt, vtt
from shared.timings import SegmentTiming, Timings


def columns(line: str) -> int:
    """The columns of a line, of which a wide character takes two."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in line)


def timings(*texts: str, each_s: float = 12.0, pause_s: float = 0.5) -> Timings:
    segments = [
        SegmentTiming(
            index=index,
            text=text,
            start=0,
            end=1,
            start_s=index * (each_s + pause_s),
            end_s=index * (each_s + pause_s) + each_s,
            chapter=None,
            truncated=False,
        )
        for index, text in enumerate(texts)
    ]
    duration_s = len(texts) * (each_s + pause_s)
    return Timings(sample_rate=24_000, duration_s=duration_s, segments=segments, chapters=())


LONG = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
    "nothing to do: once or twice she had peeped into the book her sister was reading."
)
CHINESE = "黛玉便忖度着:因他有玉,故问我有也无,因答道:我没有那个。想来那玉是一件罕物,岂能人人有的。"


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(st.lists(st.text(min_size=1, max_size=240).map(str.strip).filter(bool), max_size=4))
def test_cues_show_everything_in_order_and_never_overlap(texts: list[str]) -> None:
    told = timings(*texts)
    shown = list(cues(told))
    assert squeezed("".join(cue.text for cue in shown)) == squeezed("".join(texts))
    assert all(cue.start_ms < cue.end_ms for cue in shown)
    ends = [0, *(cue.end_ms for cue in shown)]
    assert all(cue.start_ms >= end for cue, end in zip(shown, ends, strict=False))


@given(st.text("ab c章", min_size=1, max_size=240).map(str.strip).filter(bool))
def test_a_cue_is_never_more_than_its_lines(text: str) -> None:
    for cue in cues(timings(text)):
        lines = cue.text.split("\n")
        assert len(lines) <= MAX_CUE_LINES
        assert all(columns(line) <= MAX_LINE_COLUMNS for line in lines)


def test_a_cue_is_two_even_lines_at_the_most() -> None:
    for text in (LONG, CHINESE, "x" * 240, "한국어 문장입니다. " * 20):
        for cue in cues(timings(text.strip())):
            lines = cue.text.split("\n")
            assert len(lines) <= 2
            assert all(0 < columns(line) <= MAX_LINE_COLUMNS for line in lines), lines
    first, second = list(cues(timings(LONG)))[:2]
    assert (
        first.text == "Alice was beginning to get very tired\nof sitting by her sister on the bank,"
    )
    assert abs(len(first.text) - len(second.text)) < 15


JAPANESE = (
    "「ねえ、どうしてそんなに急いでいるの？」と彼女は聞いた。彼は答えなかった。コンピューターの画面を見つめて、"
    "ただ黙っていた。外では、雨が降り続いていた。"
)
MARKS = tuple("、。，！？：；」』）…ーっゃょ")


@pytest.mark.parametrize(
    "text",
    [
        CHINESE,
        JAPANESE,
        "他说：“我们明天早上八点钟，在火车站门口见面，好吗？”她点了点头，没有说话，慢慢地走开了。",
        "价格是1234567.89元，也就是说，Alexander先生在2024年10月5日付了百分之十五的定金！",
        "今日はとても良い天気ですね。" * 9,
    ],
)
def test_lines_of_ideographs_break_at_marks_and_never_before_one(text: str) -> None:
    lines = [line for cue in cues(timings(text)) for line in cue.text.split("\n")]
    assert "".join(lines) == text.replace(" ", "")
    assert all(columns(line) <= MAX_LINE_COLUMNS for line in lines)
    assert not any(line.startswith(MARKS) for line in lines), lines
    assert not any(line.endswith(tuple("「『（“")) for line in lines), lines
    at_marks = sum(
        line.endswith(("、", "。", "，", "？", "”", "」", "！", ",", ":")) for line in lines
    )
    assert 2 * at_marks >= len(lines), lines


def test_lines_of_a_sentence_break_at_its_commas() -> None:
    text = "黛玉便忖度着，因他有玉，故问我有也无，因答道，我没有那个。"
    (cue,) = cues(timings(text))
    assert cue.text == "黛玉便忖度着，因他有玉，\n故问我有也无，因答道，我没有那个。"


def test_no_number_and_no_word_is_cut_among_ideographs() -> None:
    text = "价格是一千二百三十四元，也就是说是1234567.89元，Alexander先生说这太贵了。"
    lines = "\n".join(cue.text for cue in cues(timings(text)))
    assert "1234567.89" in lines
    assert "Alexander" in lines


def test_no_word_and_no_grapheme_is_cut() -> None:
    family = "👨‍👩‍👧‍👦"
    for cue in cues(timings(family * 60)):
        assert squeezed(cue.text).count(family) * len(family) == len(squeezed(cue.text))
    words = {word for cue in cues(timings(LONG)) for word in cue.text.split()}
    assert words == set(LONG.split())


def test_webvtt_is_as_its_specification_wants_it() -> None:
    written = vtt(timings("Fish & chips <now> --> here.", "Next."))
    assert written == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:12.000\nFish &amp; chips &lt;now&gt; --&gt; here.\n\n"
        "00:00:12.500 --> 00:00:24.500\nNext.\n"
    )


def test_srt_counts_its_cues_and_a_day_has_more_than_99_hours() -> None:
    told = timings("One.", "Two --> three.", each_s=360_000)
    assert srt(told) == (
        "1\n00:00:00,000 --> 100:00:00,000\nOne.\n\n"
        "2\n100:00:00,500 --> 200:00:00,500\nTwo → three.\n"
    )


def test_without_segments_there_are_no_cues() -> None:
    assert vtt(timings()) == "WEBVTT\n"
    assert srt(timings()) == ""
