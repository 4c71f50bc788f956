import pytest

from shared.document import Document
from tests.support.epub_files import Page, make_epub, read_book, xhtml

PROSE = "<p>The lamp was lit. Nobody spoke.</p>"


def book(*bodies: str, titles: dict[int, str] | None = None, version: int = 2) -> Document:
    """A book of these pages, of which `titles` are the lines of its contents."""
    pages = [
        Page((titles or {}).get(number), body, path=f"p{number}.xhtml")
        for number, body in enumerate(bodies)
    ]
    return read_book(make_epub(pages, version=version))


def titles(document: Document) -> list[str]:
    return [chapter.title for chapter in document.chapters]


THREE = tuple(f"<h2>{name}</h2>{PROSE}" for name in ("One", "Two", "Three"))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("listed", [{0: "Start"}, {1: "Start"}, {2: "Text"}, {}])
def test_a_contents_page_of_one_entry_makes_no_chapter_of_a_book(
    listed: dict[int, str], version: int
) -> None:
    document = book(*THREE, titles=listed, version=version)
    assert titles(document) == ["One", "Two", "Three"]
    assert [each.code for each in document.warnings] == ["chapters_guessed"] * bool(listed)


def test_an_entry_for_the_cover_alone_counts_for_nothing() -> None:
    cover = "<img src='x.jpg' alt=''/>"
    assert titles(book(cover, *THREE, titles={0: "Cover"})) == ["One", "Two", "Three"]


@pytest.mark.parametrize(
    ("bodies", "listed", "chapters"),
    [
        # A contents page that lists most of the book is trusted.
        (THREE, {0: "I", 2: "III"}, ["I", "III"]),
        (THREE, {0: "I", 1: "II", 2: "III"}, ["I", "II", "III"]),
        # Pages that go on with a chapter, with headings of a lower level.
        (
            (THREE[0], "<h3>a</h3><p>x</p>", "<h3>b</h3><p>x</p>", THREE[1]),
            {0: "I", 3: "II"},
            ["I", "II"],
        ),
        # As many as it leaves out, under other words than those of their headings.
        (THREE[:2], {0: "Start"}, ["One", "Two"]),
        (("<p>By Ann.</p>", *THREE), {0: "Cover", 1: "Start"}, ["One", "Two", "Three"]),
        (THREE[:2], {0: "One"}, ["One"]),
        # An entry for a page without a heading is kept.
        (("<p>For Ann.</p>", *THREE), {0: "Dedication"}, ["Dedication", "One", "Two", "Three"]),
    ],
)
def test_contents_are_weighed_against_headings(
    bodies: tuple[str, ...], listed: dict[int, str], chapters: list[str]
) -> None:
    assert titles(book(*bodies, titles=listed)) == chapters


def test_of_two_contents_the_one_that_lists_more_counts() -> None:
    pages = [Page(f"N{n}", body, path=f"p{n}.xhtml") for n, body in enumerate(THREE)]
    nav = xhtml('<nav epub:type="toc"><ol><li><a href="p0.xhtml">Start</a></li></ol></nav>')
    epub3 = make_epub(pages, version=2, more={"OEBPS/nav.xhtml": nav})
    assert titles(read_book(epub3)) == ["N0", "N1", "N2"]


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("<p><b>Chapter One</b></p>", "Chapter One"),
        ("<p class='c'><strong>CHAPTER I.</strong></p><p><b>The Lamp</b></p>", "CHAPTER I."),
        ("<p>Chapter Two: The Road</p>", "Chapter Two: The Road"),
        ("<div><b>The Lamp</b></div>", "The Lamp"),
        ("<p>第壹章 来客</p>", "第壹章 来客"),
        ("<h1>1</h1><h2>The Lamp</h2>", "1. The Lamp"),
        ("<h1>Chapter</h1><h1>One</h1><h2>The Lamp</h2>", "Chapter One. The Lamp"),
        ("<p><b>Chapter One</b><br/>The Lamp</p>", "Chapter One. The Lamp"),
        ("<p><b>Chapter One<br/>The Lamp</b></p>", "Chapter One. The Lamp"),
        ("<h2>IV.</h2><h3>The Lamp</h3>", "IV. The Lamp"),
        ("<h2>Chapter 7</h2><p/><h2>The Lamp</h2>", "Chapter 7. The Lamp"),
        ("<h1><span>Chapter 1</span><span>The Lamp</span></h1>", "Chapter 1. The Lamp"),
        ("<h1><span>3</span> <span>The Lamp</span></h1>", "3 The Lamp"),
        ("<h1>Chapter 1<br/>The Lamp</h1>", "Chapter 1. The Lamp"),
        ("<h1>The Long and<br/>Winding Road</h1>", "The Long and Winding Road"),
        ("<h1><span>T</span><span>he Lamp</span></h1>", "The Lamp"),
        ("<h1><small>T</small><small>HE</small> LAMP</h1>", "THE LAMP"),
        ("<h1><em>The</em><b>Lamp</b></h1>", "The Lamp"),
        ("<h1><img src='a' alt='The Lamp'/></h1>", "The Lamp"),
        ("<h2><span><img alt='Chapter'/><img alt='One'/></span></h2>", "Chapter One"),
    ],
)  # fmt: skip
def test_headings_as_a_reader_sees_them(heading: str, title: str) -> None:
    document = book(heading + PROSE, f"<h1>Last</h1>{PROSE}")
    assert titles(document) == [title, "Last"]


def test_paragraphs_that_are_no_headings() -> None:
    bold = "<p><b>“Come here at once,” she said, and then she left.</b></p>"
    document = book(
        f"{PROSE}<p><b>Yes!</b></p>", bold + PROSE, "<p>Chapter of accidents it was.</p>"
    )
    assert titles(document) == []


def test_a_book_of_one_page_has_its_headings_as_chapters() -> None:
    body = "<h1>The Book</h1>" + "".join(f"<h2>{name}</h2>{PROSE}" for name in "ABC")
    assert titles(book(body)) == ["The Book", "A", "B", "C"]
    assert titles(book("".join(THREE))) == ["One", "Two", "Three"]


LINKS = "".join(f"<p><a href='p{n}.xhtml'>Chapter {n}</a> ... {n}</p>" for n in (1, 2, 3))


@pytest.mark.parametrize(
    "contents",
    [
        f"<h2>Contents</h2>{LINKS}",
        f"<p>Inhaltsverzeichnis</p>{LINKS}",
        f"<h1>目录</h1><ul>{LINKS}</ul>",
        f"<div>{LINKS * 3}</div>",
    ],
)
def test_a_page_of_contents_is_not_narrated(contents: str) -> None:
    document = book(contents, *THREE, titles={0: "Contents", 1: "One", 2: "Two", 3: "Three"})
    assert document.text.startswith("One\n\n")
    assert titles(document) == ["One", "Two", "Three"]
    assert [(each.code, each.where) for each in document.warnings] == [
        ("contents_page_skipped", "OEBPS/p0.xhtml")
    ]


@pytest.mark.parametrize(
    "body",
    [
        "<h2>Contents</h2><p>He was content. <a href='p1.xhtml'>See</a> what came of it.</p>",
        f"<p>See <a href='p1.xhtml'>One</a>, <a href='p2.xhtml'>Two</a>.</p>{PROSE}",
        "<h2>Links</h2><p><a href='http://x.org/a'>Here</a> <a href='http://x.org/b'>there</a></p>",
    ],
)
def test_a_page_with_links_is_narrated(body: str) -> None:
    assert not book(body, *THREE).text.startswith("One")


def test_a_book_that_is_nothing_but_contents_is_read() -> None:
    assert book(f"<h2>Contents</h2>{LINKS}").text.startswith("Contents")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p><img class='d' src='t.jpg' alt='T'/>he lamp.</p>", "The lamp."),
        ("<p><span><img src='o.jpg' alt='O'/></span>nce more.</p>", "Once more."),
        ("<p> <b><img alt=' É '/></b><i>té</i></p>", "Été"),
        ("<p><img alt='A'/> lamp.</p>", "A lamp."),
        ("<p>“<img alt='W'/>hat?”</p>", "“What?”"),
        ("<p><img alt='“W'/>hat?”</p>", "“What?”"),
        ("<p>The <img alt='x'/>lamp.</p>", "The lamp."),
        ("<p><img alt='Map'/>he lamp.</p>", "he lamp."),
        ("<p><img alt='7'/>he lamp.</p>", "he lamp."),
        ("<p><img/>he lamp.</p>", "he lamp."),
    ],
)
def test_the_picture_of_a_first_letter_is_read(body: str, text: str) -> None:
    assert book(body).text == text


@pytest.mark.parametrize("content", ["garbage", b"", b"\0\1"])
def test_a_contents_page_that_is_no_xml_is_left_out(content: str | bytes) -> None:
    pages = [Page("I", f"<h1>One</h1>{PROSE}"), Page("II", f"<h1>Two</h1>{PROSE}")]
    document = read_book(make_epub(pages, version=2, more={"OEBPS/toc.ncx": content}))
    assert titles(document) == ["One", "Two"]
    assert [warning.code for warning in document.warnings] == ["contents_unreadable"]


def test_entries_whose_places_are_missing_count_for_nothing() -> None:
    entries = "".join(f"<a href='text/page1.xhtml#n{n}'>{n}</a>" for n in range(2))
    nav = xhtml(f"<nav epub:type='toc'>{entries}</nav>")
    page = f"<h2>One</h2>{PROSE}<h2>Two</h2>{PROSE}"
    document = read_book(make_epub([Page(None, page)], more={"OEBPS/nav.xhtml": nav}))
    assert titles(document) == ["One", "Two"]


def test_the_name_of_a_file_is_no_heading() -> None:
    assert titles(book(f"<h1><img alt='c.jpg'/></h1>{PROSE}", f"<h1>Last</h1>{PROSE}")) == ["Last"]


def test_what_is_hidden_is_not_spoken_and_formulas_are_told() -> None:
    document = book("<p style='display: none'>No.</p><p>If <math><mi>x</mi></math> so.</p>")
    assert document.text == "If so."
    assert [warning.code for warning in document.warnings] == ["formulas_skipped"]
