import pytest

from api.text.headings import headings
from api.text.segmentation import split
from shared.document import Chapter

BODY = "\n\nIt was a dark night, and nobody slept.\n\n"


@pytest.mark.parametrize(
    "heading",
    [
        "CHAPTER I.",
        "Chapter 12: The End",
        "Chapter 3 The End",
        "Chapter One: The Boy",
        "PART II",
        "CHAPTER I.\nDown the Rabbit-Hole",
        "Chapter 7\nMr. Brown",
        "Chapter.1",
        "Chapter. 12 The End",
        "CHAPTER THE FIRST",
        "Chapter the Last: Home",
        "ACT I",
        "VOLUME II",
        "Canto I",
        "CHAPTER TWENTY ONE",
        "Scene 2. A road",
        "Interlude",
        "Interlude: The Sea",
        "Prologue",
        "EPILOGUE.",
        "PREFACE",
    ],
)
def test_english_headings(heading: str) -> None:
    title = heading.replace("\n", " ")
    assert headings(heading + BODY) == (Chapter(title, 0),)
    assert headings(BODY + heading + BODY) == (Chapter(title, len(BODY)),)


@pytest.mark.parametrize(
    "heading",
    [
        "Kapitel 3",
        "Erstes Kapitel",
        "3. Kapitel",
        "Zweiter Teil: Die Reise",
        "Prolog",
        "Vorwort",
        "Capítulo 4",
        "CAPÍTULO PRIMERO",
        "Capítulo I — Del título",
        "Parte prima",
        "Capitolo 2",
        "Chapitre V",
        "Première partie",
        "Épilogue",
        "Глава 2",
        "ГЛАВА ПЕРВАЯ",
        "Часть вторая",
        "第一章 少年",
        "第3回",
        "第十回：甄士隐",
        "尾声",
        "エピローグ",
        "第三話",
        "제1장",
        "제 2 장 봄",
        "프롤로그",
        "第壹章",
        "第贰章 夜谈",
        "第拾陸回",
        "第1章来客",
        "第１２章 夜",
        "第三章山中的老人",
        "【第一章】",
        "【第二章 夜谈】",
        "〔第三章〕归来",
        "877화",
        "12화 봄",
        "외전",
        "幕間",
        "プロローグ 始まり",
        "Интерлюдия",
        "Acte II",
        "Zwischenspiel",
    ],
)
def test_headings_of_other_languages(heading: str) -> None:
    assert headings(BODY + heading + BODY) == (Chapter(heading, len(BODY)),)


@pytest.mark.parametrize(
    "text",
    [
        "Chapter 3 was boring. She slept.",
        "Chapter three was boring",
        "chapter 3",
        "Parting is such",
        "Part of the ship was gone",
        "Book me a room",
        "Introduction to the thing was long",
        "Kapitel 3 handelt von ihm.",
        "第三章很无聊。",
        "第一回合",
        "제1장미",
        "877화면",
        "12 화를 냈다",
        "第三章很无聊，我没有看完。",
        "第三章讲的是一个老人和一个孩子在山里遇见的故事",
        "【第一章",
        "Act on it",
        "Acts of war",
        "Scene by the river",
        "Interlude was over",
        "Chapter.",
        "番外地だ",
        "Chapter 1 " + "x" * 80,
        "CHAPTER I\nIt was late.",
        "She read on.\nChapter 3",
        "Chapter 1\nand so on\nand on",
    ],
)
def test_what_is_no_heading(text: str) -> None:
    assert headings(text + BODY) == ()


@pytest.mark.parametrize("apart", ["\n", "\n\n", "\r\n\r\n"])
def test_a_table_of_contents_has_no_chapters(apart: str) -> None:
    titles = ["CHAPTER I. Down the Rabbit-Hole", "CHAPTER II. The Pool", "CHAPTER III. A Tale"]
    contents = "Contents\n\n" + apart.join(titles) + "\n\n\n"
    text = contents + "".join(title + BODY for title in titles)
    found = headings(text)
    assert [chapter.title for chapter in found] == titles
    assert found[0].start == len(contents)
    assert headings(contents + BODY) == ()


def test_a_part_and_its_first_chapter_are_two() -> None:
    assert len(headings("Part One\n\nChapter 1" + BODY)) == 2


def test_a_title_is_squeezed_and_starts_at_its_first_letter() -> None:
    text = "\r\n  \r\n  Chapter\t1:\x00  The  End \r\n\r\nText."
    assert headings(text) == (Chapter("Chapter 1: The End", text.index("C")),)


def test_each_heading_begins_a_segment() -> None:
    text = BODY.join(["Chapter 1", "Chapter 2", "Chapter 3"]) + BODY
    chapters = headings(text)
    starts = {segment.start for segment in split(text, "auto", 200, chapters=chapters)}
    assert {chapter.start for chapter in chapters} <= starts


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\x00", "Chapter"])
def test_a_text_without_headings(text: str) -> None:
    assert headings(text) == ()
