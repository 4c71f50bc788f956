import io
import time
import zipfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.documents import markdown, read
from api.documents.reading import ReadingOptions
from api.text.normalise import normalise
from shared.document import Document
from shared.errors import InvalidRequest, UnsupportedMedia
from tests.support.epub_files import Page, make_epub


def read_text(
    content: bytes | str,
    name: str | None = "a.txt",
    media_type: str | None = None,
    most: int = 10_000,
    **options: Any,
) -> Document:
    encoded = content.encode() if isinstance(content, str) else content
    chosen = ReadingOptions(**options)
    return read(
        io.BytesIO(encoded), name=name, media_type=media_type, max_chars=most, options=chosen
    )


def read_markdown(text: str) -> Document:
    return read_text(text, "a.md")


def chapters(document: Document) -> list[str]:
    """The titles; each has to be what the text says at its place."""
    starts = [chapter.start for chapter in document.chapters]
    assert starts == sorted(set(starts))
    assert all(document.text.startswith(title, start) for title, start in document.chapters)
    return [chapter.title for chapter in document.chapters]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.TXT", None),
        (None, "text/plain; charset=utf-8"),
        ("a.log", "text/plain"),
        ("a.md", "x/y"),
    ],
)
def test_the_kind_is_that_of_the_name_or_else_of_the_type(
    name: str | None, media_type: str | None
) -> None:
    assert read_text("One.", name, media_type).text == "One."


def test_a_book_is_known_by_its_content() -> None:
    book = make_epub([Page("One", "<h1>One</h1>")])
    assert read_text(book, "a.txt", "text/plain").text == "One"
    assert read_text(book, None).text == "One"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "a.pdf"),
        (b"%PDF-1.7\n", "a.txt"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a.docx"),
        (zipped("word/document.xml"), "a.txt"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><p>Hi", "a.txt"),
        (b"<html><p>Hi", "a.html"),
        (b"{\\rtf1 Hi}", "a.txt"),
        (b"BOOKMOBI\0\0", "a.mobi"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a.txt"),
        (b"One.", "a.py"),
        (b"One.", None),
    ],
)
def test_other_kinds_are_refused_and_told_what_is_read(content: bytes, name: str | None) -> None:
    with pytest.raises(
        UnsupportedMedia, match=r"text \(.txt\), Markdown \(.md\) and EPUB"
    ) as raised:
        read_text(content, name)
    assert raised.value.param == "file"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_says_its_encoding_by_its_first_bytes(encoding: str) -> None:
    text = "Café 走了。\r\n\r\nZwei."
    assert read_text(text.encode(encoding)).text == text  # as it is: ranges refer to it


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfea\0b", "in no known encoding: save it as UTF-8"),
        (b"", "nothing to speak"),
        (b" \n* * *\n", "nothing to speak"),
        (b"x" * 10_001, "longer than 10,000 characters: send it in parts"),
        (b"x" * 50_000, "longer than 10,000 characters"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_text_that_cannot_be_spoken_is_refused(content: bytes, says: str, name: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as raised:
        read_text(content, name)
    assert raised.value.param == "file"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("A *b* **c** ~~d~~ _e_ `f` g\nh\\\ni", "A b c d e f g h i"),
        ("[Link](http://x.y 'T') and ![a *tree*](t.png)", "Link and"),
        ("See <http://x.y/z> and https://x.y/(z)?a=b. Or me@x.org", "See and. Or me@x.org"),
        ("Go to [here][1].\n\n[1]: http://x.y", "Go to here."),
        ("One.\n\n```py\nx = 1\n```\n\n    y = 2\n\nTwo.", "One.\n\nTwo."),
        ("One<br>two <b>three</b><!-- four -->\n\n<div>\nfive\n</div>", "One two three"),
        ("- a\n- b\n  1. c\n\n     d\n- e", "a\n\nb\n\nc\n\nd\n\ne"),
        ("> Quoted\n> on.\n\nNot.", "Quoted on.\n\nNot."),
        ("a | b\n--|--\n1 | 2", "a, b\n\n1, 2"),
        ("Noted[^1] so.\n\n[^1]: The note.\n\nOn.", "Noted so.\n\nOn."),
        ("Wait [pause 1.5s] here [pause 2s](really)", "Wait [pause 1.5s] here pause 2s"),
        ("5 &lt; 6 &amp; 2*3 \\*x\\*", "5 < 6 & 2*3 *x*"),
        ("---\ntitle: T\nlang: en\n---\nOne.", "One."),
        ("---\n\nOne: two.\n\n---\n\nThree.", "One: two.\n\nThree."),
        ("One.\n\n---\n\nTwo.", "One.\n\nTwo."),
    ],
)
def test_markdown_is_read_without_its_marks(source: str, text: str) -> None:
    assert read_markdown(source).text == text


@pytest.mark.parametrize(
    ("source", "names", "title"),
    [
        ("# T *t*\n\n## A\n\na\n\n### a\n\nB\n---\n\nb", ["T t", "A", "B"], "T t"),
        ("# A\n\na\n\n# B\n\nb", ["A", "B"], None),
        ("### A\n\na\n\n#### a\n\n### B", ["A", "B"], None),
        ("before\n\n## A\n#\n## A", ["A", "A"], None),
        ("none", [], None),
    ],
)
def test_headings_of_markdown_are_chapters(
    source: str, names: list[str], title: str | None
) -> None:
    document = read_markdown(source)
    assert (chapters(document), document.title) == (names, title)


PIECES = [
    "[",
    "](",
    "![",
    "*",
    "**a",
    "`",
    "<a",
    "<!--",
    ">",
    "- ",
    "\n",
    "# ",
    "|",
    "-|-\n",
    "a ",
    "[^a]",
]
PIECES += [
    "&amp;",
    "~~",
    "---\n",
    "a: b\n",
    "\t",
    "\\",
    "http://",
    "\u200b",
    "e\u0301",
    "==\n",
    "\r",
]
MARKDOWN = st.lists(st.sampled_from(PIECES), max_size=80).map("".join) | st.text()


@given(MARKDOWN)
def test_any_markdown_is_read_or_has_nothing_to_speak(source: str) -> None:
    with suppress(InvalidRequest, UnsupportedMedia):
        document = read_markdown(source)
        chapters(document)
        assert document.text == normalise(document.text)


@pytest.mark.parametrize(
    "piece", ["[", "![", "> ", "*a ", "`` ` ", "a|b\n-|-\n", "[a](", "- a\n  "]
)
def test_nasty_markdown_takes_no_long(piece: str) -> None:
    began = time.thread_time()
    read_text("a" + (piece * 9_000)[:9_000], "a.md", most=100_000)
    assert time.thread_time() - began < 5


def test_markdown_of_too_many_marks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MAX_EVENTS", 100)
    with pytest.raises(InvalidRequest, match="too many marks: send it as plain text"):
        read_markdown("> " * 60 + "a")


@given(st.binary(), st.sampled_from(["a.txt", "a.md", "a.epub", "a.x", None]))
def test_random_bytes_are_read_or_refused(content: bytes, name: str | None) -> None:
    with suppress(InvalidRequest, UnsupportedMedia):
        read_text(content, name)


def test_markdown_that_is_left_out_is_told() -> None:
    document = read_markdown("One.\n\n```\ncode\n```\n\n<p>HTML</p>\n\n<!-- a comment -->\n")
    assert [warning.message for warning in document.warnings] == [
        "blocks that are left out: 1 of code, 1 of HTML"
    ]


def test_markdown_without_headings_has_those_of_a_plain_text() -> None:
    assert chapters(read_markdown("Chapter 1\n\nOne.\n\nChapter 2\n\nTwo.")) == [
        "Chapter 1",
        "Chapter 2",
    ]


def test_a_heading_of_markdown_in_two_parts() -> None:
    document = read_markdown("# 1\n\n# The Lamp\n\nLit.\n\n# 2 {#two}\n\n# The Road\n\nLong.")
    assert [chapter.title for chapter in document.chapters] == ["1. The Lamp", "2. The Road"]


def test_verse_in_markdown_has_lines() -> None:
    assert read_markdown("The sun went down  \nThe moon came up\\\nI drank\n").text == (
        "The sun went down\n\nThe moon came up\n\nI drank"
    )
