"""The sections of a document: front matter, chapters and back matter, and the choice among them."""

import io
import zipfile

import pytest

from api.documents import prepare
from api.documents.reading import FrontMatter, Images, ReadingOptions
from shared.document import Document
from shared.errors import InvalidRequest
from tests.support.epub_files import Page, make_epub, read_book, xhtml
from tests.unit.api.documents.test_documents import read_text

PROSE = "<p>The lamp was lit. Nobody spoke.</p>"
ONE, TWO = (Page(name, f"<h2>{name}</h2>{PROSE}") for name in ("One", "Two"))
READ = FrontMatter.READ


def sections(document: Document) -> list[tuple[str | None, str, bool]]:
    return [(each.title, str(each.kind), each.is_spoken) for each in document.sections]


def spoken_titles(document: Document) -> list[str | None]:
    return [each.title for each in document.sections if each.is_spoken]


BOOK = (
    Page("Title Page", "<h1>The Lamp</h1><p>A. Writer</p>"),
    Page("Copyright", "<p>Copyright 2020. All rights reserved.</p>"),
    Page("Dedication", "<p>For Ann.</p>"),
    ONE,
    TWO,
    Page(None, "<section epub:type='bibliography'><h2>Sources</h2><p>A book.</p></section>"),
    Page("Index", "<p>lamp 1, road 2</p>"),
)


def test_front_and_back_matter_is_left_out_and_said() -> None:
    document = read_book(make_epub(BOOK))
    assert sections(document) == [
        ("Title Page", "title_page", False),
        ("Copyright", "copyright", False),
        ("Dedication", "dedication", True),
        ("One", "chapter", True),
        ("Two", "chapter", True),
        ("Sources", "bibliography", False),
        ("Index", "index", False),
    ]
    said = "\n\nThe lamp was lit. Nobody spoke."
    assert document.text == f"For Ann.\n\nOne{said}\n\nTwo{said}"
    assert [chapter.title for chapter in document.chapters] == ["Dedication", "One", "Two"]
    assert [each.chars for each in document.sections[2:4]] == [8, 36]
    assert document.sections[3].seconds == pytest.approx(36 / 15 + 0.6 + 1.5, abs=0.1)
    (warning,) = document.warnings
    assert warning.code == "front_matter_skipped"
    assert "Title Page, Copyright, Sources, Index;" in warning.message


def test_front_and_back_matter_is_read_if_it_is_asked_for() -> None:
    document = read_book(make_epub(BOOK), front_matter=READ)
    assert spoken_titles(document) == [each.title for each in document.sections]
    assert document.text.startswith("The Lamp\n\nA. Writer\n\nCopyright 2020.")
    assert document.text.endswith("lamp 1, road 2")
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("chapters", "titles"),
    [
        ("4", ["One"]),
        ("4-5", ["One", "Two"]),
        ("2,4 - 5", ["Copyright", "One", "Two"]),
        ("6-", ["Sources", "Index"]),
        ("5,4,4", ["One", "Two"]),
    ],
)
def test_sections_are_chosen_by_number(chapters: str, titles: list[str]) -> None:
    document = read_book(make_epub(BOOK), chapters=chapters)
    assert spoken_titles(document) == titles
    assert document.warnings == ()
    assert [chapter.title for chapter in document.chapters if chapter.title in titles] == [
        title for title in titles if title != "Sources"
    ]


@pytest.mark.parametrize("chapters", ["8", "0", "5-4", "3-9", "1,99"])
def test_a_number_that_no_section_has_is_refused(chapters: str) -> None:
    with pytest.raises(InvalidRequest, match="has 7 sections") as raised:
        read_book(make_epub(BOOK), chapters=chapters)
    assert raised.value.param == "chapters"


@pytest.mark.parametrize(
    ("body", "kind", "is_spoken"),
    [
        ("<section epub:type='copyright-page'><p>All rights.</p></section>", "copyright", False),
        ("<section epub:type='titlepage'><h1>A</h1></section>", "title_page", False),
        ("<div epub:type='frontmatter index'><p>a, 1</p></div>", "index", False),
        ("<section role='doc-bibliography'><p>A book.</p></section>", "bibliography", False),
        ("<section epub:type='colophon'><p>Set in type.</p></section>", "colophon", False),
        ("<section epub:type='halftitlepage'><p>A</p></section>", "title_page", False),
        ("<section epub:type='toc'><p>One 1</p></section>", "contents", False),
        ("<section role='doc-dedication'><p>For Ann.</p></section>", "dedication", True),
        ("<section epub:type='epigraph'><p>Light!</p></section>", "epigraph", True),
        ("<section epub:type='preface'><h2>Before</h2><p>Hm.</p></section>", "preface", True),
        ("<section epub:type='acknowledgments'><p>Thanks.</p></section>", "acknowledgments", True),
        ("<section epub:type='frontmatter'><p>Hm.</p></section>", "text", True),
        # Not what its title says, since its elements say that it is a chapter.
        ("<section epub:type='chapter'><h2>Index</h2><p>He fell.</p></section>", "text", True),
    ],
)
def test_the_kind_of_a_page_by_its_elements(body: str, kind: str, is_spoken: bool) -> None:
    document = read_book(make_epub([Page(None, body), ONE, TWO]))
    assert (document.sections[0].kind, document.sections[0].is_spoken) == (kind, is_spoken)
    assert [each.title for each in document.sections[1:]] == ["One", "Two"]


GUIDED = ("copyright-page", "title-page", "index", "bibliography", "cover", "dedication", "text")


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize("is_landmark", [False, True])
def test_the_kind_of_a_page_by_the_guide_and_the_landmarks(name: str, is_landmark: bool) -> None:
    pages = [Page(None, "<p>Some words.</p>", path="a.xhtml"), ONE, TWO]
    book = make_epub(pages, version=3 if is_landmark else 2)
    replaced: dict[str, str | bytes] = {}
    if is_landmark:
        links = "<nav epub:type='toc'><ol><li><a href='text/page2.xhtml'>One</a></li>"
        links += "<li><a href='text/page3.xhtml'>Two</a></li></ol></nav><nav epub:type='landmarks'>"
        replaced["OEBPS/nav.xhtml"] = xhtml(f"{links}<a epub:type='{name}' href='a.xhtml'/></nav>")
    else:
        guide = f"<guide><reference type='{name}' href='./a.xhtml'/></guide></package>"
        replaced["OEBPS/content.opf"] = member(book, "OEBPS/content.opf").replace(
            "</package>", guide
        )
    document = read_book(make_epub(pages, version=3 if is_landmark else 2, more=replaced))
    assert document.sections[0].is_spoken is (name in ("dedication", "text"))


def member(book: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        return archive.read(name).decode()


@pytest.mark.parametrize(
    "title",
    [
        *("Cover", "COPYRIGHT", "Copyright © 2020 by A. Writer", "Impressum", "Mentions légales"),
        *("Title Page", "Titelblatt", "Personenregister", "Предметный указатель", "版权页", "奥付"),
        *(
            "Works Cited",
            "Literaturverzeichnis",
            "参考文献",
            "색인",
            "Also by A. Writer",
            "Colophon",
        ),
        *("Índice analítico", "Bibliografía", "Glossaire", "Praise for The Lamp", "Colophon"),
    ],
)
def test_the_kind_of_a_page_by_its_title(title: str) -> None:
    page = Page(title, "<p>Some words.</p>")
    assert spoken_titles(read_book(make_epub([page, ONE, TWO]))) == ["One", "Two"]
    headed = Page(None, f"<h2>{title}</h2><p>Some words.</p>")
    assert spoken_titles(read_book(make_epub([ONE, TWO, headed]))) == ["One", "Two"]


@pytest.mark.parametrize(
    "title",
    ["The Index", "Under Cover", "Preface", "Introduction", "A Dedication to Ann", "Epilogue"],
)
def test_titles_of_what_is_read(title: str) -> None:
    page = Page(title, f"<h2>{title}</h2>{PROSE}")
    assert spoken_titles(read_book(make_epub([page, ONE]))) == [title, "One"]


def test_a_part_that_is_too_long_for_its_name_is_read() -> None:
    """Some books call their only page, or the first one with text, the cover."""
    long = "<p>The lamp was lit. Nobody spoke.</p>" * 90
    pages = [Page("Cover", long, path="a.xhtml"), ONE]
    assert spoken_titles(read_book(make_epub(pages))) == ["Cover", "One"]
    assert read_book(make_epub([Page("Index", "<p>a 1, b 2</p>")])).text == "a 1, b 2"


def test_an_index_goes_on_over_pages_without_titles() -> None:
    more = [Page(None, "<p>road 2</p>"), Page(None, "<p>tower 3</p>")]
    document = read_book(make_epub([ONE, TWO, Page("Index", "<p>lamp 1</p>"), *more]))
    assert document.text.endswith("Nobody spoke.")
    assert sections(document)[-1] == ("Index", "index", False)
    cover = read_book(make_epub([Page("Cover", "<p>A. Writer</p>"), Page(None, PROSE), ONE]))
    assert cover.text.startswith("The lamp")


def test_matter_within_a_page_is_left_out_alone() -> None:
    body = (
        "<section epub:type='titlepage'><h1>The Lamp</h1></section>"
        f"<section epub:type='chapter'><h2>One</h2><blockquote epub:type='epigraph'>Light!"
        f"</blockquote>{PROSE}</section><section epub:type='index'><p>lamp 1</p></section>"
    )
    document = read_book(make_epub([Page("The Lamp", body)]))
    assert document.text == "One\n\nLight!\n\nThe lamp was lit. Nobody spoke."
    assert document.chapters == (("The Lamp", 0),)


def test_sections_of_a_plain_text_keep_its_ranges() -> None:
    text = (
        "Before it all.\n\nChapter 1\n\nOne.\n\nChapter 2\n\nTwo [pause 2s] more.\n\n"
        "Chapter 3\n\nX."
    )
    whole = prepare(text)
    assert sections(whole) == [
        (None, "text", True),
        ("Chapter 1", "chapter", True),
        ("Chapter 2", "chapter", True),
        ("Chapter 3", "chapter", True),
    ]
    assert whole.text == text
    chosen = prepare(text, ReadingOptions(chapters="2,4"))
    assert len(chosen.text) == len(text)
    assert chosen.text.replace("\u200b", "").split() == [
        "Chapter",
        "1",
        "One.",
        "Chapter",
        "3",
        "X.",
    ]
    assert chosen.chapters == (whole.chapters[0], whole.chapters[2])


@pytest.mark.parametrize(
    ("chapters", "text"),
    [("1", "# One\n\nA."), ("2", "B."), ("1-2", "A. B."), ("3", "C.")],
)
def test_sections_of_markdown(chapters: str, text: str) -> None:
    document = read_text("# One\n\nA.\n\n# Two\n\nB.\n\n# Three\n\nC.", "a.md", chapters=chapters)
    words = [word for word in text.replace("#", "").split() if word.endswith(".")]
    assert [word for word in document.text.split() if word.endswith(".")] == words
    assert all(document.text.startswith(title, start) for title, start in document.chapters)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>He saw <img alt='a red lamp'/>.</p>", "He saw a red lamp ."),
        ("<p><img alt='Map of the island'/></p><p>On.</p>", "Map of the island\n\nOn."),
        ("<figure><img alt='A lamp'/><figcaption>Fig. 1</figcaption></figure>", "A lamp\n\nFig. 1"),
        ("<p><img alt='map-01.JPG'/>On.</p>", "On."),
        ("<p><img alt=''/><img/>On.</p>", "On."),
        ("<p><img alt='T'/>he lamp.</p>", "The lamp."),
    ],
)
def test_descriptions_of_pictures_are_read_if_they_are_asked_for(body: str, text: str) -> None:
    book = make_epub([Page(None, body)])
    assert read_book(book, images=Images.ALT).text == text
    assert "island" not in read_book(make_epub([Page(None, body + "<p>x</p>")])).text


@pytest.mark.parametrize(
    ("source", "skipped", "read"),
    [
        ("The ![red](a.png) lamp.", "The lamp.", "The red lamp."),
        ("![Map of it](a.png)\n\nOn.", "On.", "Map of it\n\nOn."),
        ("![T](t.png)he lamp.", "The lamp.", "The lamp."),
        ("# ![The Lamp](a.png)\n\nOn.", "The Lamp\n\nOn.", "The Lamp\n\nOn."),
    ],
)
def test_descriptions_of_pictures_in_markdown(source: str, skipped: str, read: str) -> None:
    assert read_text(source, "a.md").text == skipped
    assert read_text(source, "a.md", images=Images.ALT).text == read
