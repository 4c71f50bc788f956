"""Files of chapters in a zip archive, as one book."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from shared.document import Document
from shared.errors import InvalidRequest, UnsupportedMedia
from tests.support.epub_files import Page, make_epub
from tests.unit.api.documents.test_documents import read_text


def zipped(**files: str | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def read_files(files: dict[str, str | bytes], **options: Any) -> Document:
    return read_text(zipped(**files), "a.zip", **options)


def titles(document: Document) -> list[str]:
    assert [document.text[start:][:1].strip() for _, start in document.chapters]
    return [chapter.title for chapter in document.chapters]


def test_files_are_chapters_in_the_order_of_their_numbers() -> None:
    files: dict[str, str | bytes] = {f"part {n}.txt": f"It is {n}." for n in (10, 2, 1)}
    document = read_files(files)
    assert document.text == "It is 1.\n\nIt is 2.\n\nIt is 10."
    assert titles(document) == ["part 1", "part 2", "part 10"]
    assert [each.start for each in document.chapters] == [0, 10, 20]


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("02 - The Inn.txt", "It was late.", "The Inn"),
        ("b/3_Home.md", "It was *late*.", "Home"),
        ("x.txt", "Chapter 7\n\nIt was late.", "Chapter 7"),
        ("x.md", "# The Inn\n\nIt was late.", "The Inn"),
        ("01.第三章.txt", "很晚了。", "第三章"),
    ],
)
def test_the_title_of_a_file(name: str, content: str, title: str) -> None:
    document = read_files({name: content, "z.txt": "End."})
    assert titles(document) == [title, "z"]
    assert "*" not in document.text


def test_other_files_are_left_out_and_said() -> None:
    document = read_files(
        {
            "1.txt": "One.",
            "cover.jpg": b"x",
            "__MACOSX/._1.txt": b"x",
            ".DS_Store": b"x",
            "2.txt": "caf\xe9".encode("latin-1"),
            "3.txt": "…",
        }
    )
    assert document.text == "One.\n\ncafé"
    assert [(each.code, each.where) for each in document.warnings] == [
        ("encoding_guessed", "2.txt"),
        ("file_left_out", "3.txt"),
        ("file_left_out", "cover.jpg"),
    ]


@pytest.mark.parametrize("content", [b"{\\rtf1 x}", b"<?xml version='1.0'?><html>", b"\0\1" * 50])
def test_a_file_that_is_no_text_is_left_out_and_said(content: bytes) -> None:
    document = read_files({"1.txt": "One.", "2.txt": content})
    assert document.text == "One."
    assert [(each.code, each.where) for each in document.warnings] == [("file_left_out", "2.txt")]


def test_chapters_are_chosen_among_the_files() -> None:
    files: dict[str, str | bytes] = {f"{n}.txt": f"It is {n}." for n in range(1, 5)}
    document = read_files(files, chapters="2,4")
    assert document.text == "It is 2.\n\nIt is 4."
    assert [each.start for each in document.chapters] == [0, 10]


def test_what_is_no_book_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="no text or Markdown"):
        read_files({"word/document.xml": "x"})
    with pytest.raises(InvalidRequest, match="longer than 100"):
        read_files({f"{n}.txt": "x" * 60 for n in range(2)}, most=100)
    with pytest.raises(InvalidRequest, match="nothing to speak"):
        read_files({"a.txt": "…"})
    with pytest.raises(InvalidRequest, match="broken"):
        read_text(zipped(a="x")[:-30], "a.zip")


def test_an_epub_under_another_name_is_an_epub() -> None:
    book = make_epub([Page("One", "<h1>One</h1>")], more={"a.txt": "x"})
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(file, "w") as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    assert read_text(file.getvalue(), "a.zip").text == "One"
