"""Sentences of real texts; `tests/texts` has one a line, as a person reads them."""

from itertools import pairwise
from pathlib import Path

import pytest

from api.text.segmentation import CLAUSE_PAUSE_S, split
from api.text.sentences import SentenceEnds
from tests.support.paths import ROOT

FILES = sorted((ROOT / "tests").glob("texts/*.txt"))
LIMIT = 240


def paragraphs(path: Path) -> list[list[str]]:
    return [block.split("\n") for block in path.read_text("utf-8").strip().split("\n\n")]


def joined(path: Path, sentences: list[str]) -> str:
    return ("" if path.stem in ("chinese", "japanese") else " ").join(sentences)


def test_there_is_a_text_of_each_language() -> None:
    assert len(FILES) == 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("named", [True, False])
def test_sentences_end_where_a_reader_ends_them(path: Path, named: bool) -> None:
    for sentences in paragraphs(path):
        text = joined(path, sentences)
        ends = SentenceEnds(text, path.stem if named else "auto", LIMIT)
        found = [0, *filter(ends.holds, ends.candidates()), len(text)]
        assert [text[start:end].strip() for start, end in pairwise(found)] == sentences


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("limit", [60, 120, LIMIT])
def test_segments_are_whole_and_none_is_a_scrap(path: Path, limit: int) -> None:
    text = "\n\n".join(joined(path, sentences) for sentences in paragraphs(path))
    segments = split(text, path.stem, limit)
    assert [text[segment.start : segment.end].strip() for segment in segments] == [
        segment.text for segment in segments
    ]
    assert not any(segment.text[0] in "”’)」』，。、；！？,.;!?" for segment in segments)
    broken = [segment.text for segment in segments[:-1] if segment.pause_s <= CLAUSE_PAUSE_S]
    assert all(limit / 8 < len(text) <= limit for text in broken)
