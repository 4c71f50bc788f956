"""Books whose files are named, zipped or written in unusual ways."""

import io
import unicodedata
import zipfile
from collections.abc import Callable

import pytest

from tests.support.epub_files import CONTAINER, MIMETYPE, Page, encryption, make_epub, read_book

OPF = "OEBPS/content.opf"
PAGES = [Page("One", "<h1>One</h1>", path="Café/a.xhtml"), Page("Two", "<h1>Two</h1>")]
AES = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"


def renamed(change: Callable[[str], str]) -> bytes:
    """A book with every member but its media type under another name."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(make_epub(PAGES))) as book, zipfile.ZipFile(file, "w") as other:
        for info in book.infolist():
            other.writestr(
                info.filename if info.filename == "mimetype" else change(info.filename),
                book.read(info),
            )
    return file.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f"./{name}",
        lambda name: f"/{name}",
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFD", name).upper().replace("/", "\\"),
        lambda name: name.replace("OEBPS/", "OEBPS//./"),
    ],
)
def test_members_are_found_under_other_spellings(change: Callable[[str], str]) -> None:
    document = read_book(renamed(change))
    assert [chapter.title for chapter in document.chapters] == ["One", "Two"]
    assert document.warnings == ()


def test_names_in_utf8_without_the_flag_are_found() -> None:
    book = bytearray(make_epub(PAGES))
    with zipfile.ZipFile(io.BytesIO(bytes(book))) as archive:
        offsets = [info.header_offset for info in archive.infolist()]
    for offset in offsets:
        book[offset + 7] &= 0xF7
    place = 0
    while (place := book.find(b"PK\x01\x02", place)) >= 0:
        book[place + 9] &= 0xF7
        place += 4
    assert read_book(bytes(book)).text == "One\n\nTwo"


def test_links_may_be_absolute_or_have_backslashes() -> None:
    package = make_epub(PAGES)
    with zipfile.ZipFile(io.BytesIO(package)) as book:
        content = book.read(OPF).decode()
    content = content.replace('href="Café/a.xhtml"', 'href="/OEBPS/Café\\a.xhtml"')
    assert read_book(make_epub(PAGES, more={OPF: content})).text == "One\n\nTwo"
    container = CONTAINER.replace("OEBPS/content.opf", "\\OEBPS\\content.opf")
    assert read_book(make_epub(PAGES, more={"META-INF/container.xml": container})).text


PREFIXED = (
    '<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:head><h:title>Page'
    "</h:title></h:head><h:body><h:h1>One</h:h1><h:p>The<h:br/>lamp.</h:p><h:p>More.</h:p>"
    "<svg:svg xmlns:svg='x'><svg:text>No</svg:text></svg:svg></h:body></h:html>"
)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (PREFIXED, "One\n\nThe lamp.\n\nMore."),
        ("<p>a <![CDATA[< b & <i>c</i>]]> d</p>", "a < b & <i>c</i> d"),
        ("<p>a</p><![CDATA[]]><p>b<![CDATA[c]]>d</p><style><![CDATA[x]]></style>", "a\n\nbcd"),
        ("<p>a ]]> b</p><![CDATA[never ended", "a ]]> b\n\nnever ended"),
        ("<p>" + "x" * 65_530 + "<![CDATA[ & ]]>", "x" * 65_530 + " &"),
    ],
)  # fmt: skip
def test_pages_may_have_prefixes_and_cdata(page: str, text: str) -> None:
    book = make_epub([Page(None, "")], more={"OEBPS/text/page1.xhtml": page})
    assert read_book(book, most=100_000).text == text


def test_what_the_book_lacks_is_told() -> None:
    book = make_epub(PAGES, without=["OEBPS/Café/a.xhtml"])
    document = read_book(book)
    assert document.text == "Two"
    assert [(each.code, each.where) for each in document.warnings] == [
        ("missing_page", "Café/a.xhtml")
    ]
    with zipfile.ZipFile(io.BytesIO(make_epub(PAGES))) as archive:
        content = archive.read(OPF).decode()
    cover = content.replace("<itemref", "<itemref idref='cover'/><itemref", 1)
    document = read_book(make_epub(PAGES, more={OPF: cover}))
    assert document.text == "One\n\nTwo"
    assert [each.where for each in document.warnings] == ["cover"]


def test_without_an_order_the_pages_are_read_as_they_are_listed() -> None:
    with zipfile.ZipFile(io.BytesIO(make_epub(PAGES))) as archive:
        content = archive.read(OPF).decode()
    content = content[: content.index("<spine")] + "</package>"
    document = read_book(make_epub(PAGES, more={OPF: content}))
    assert document.text == "One\n\nTwo"
    assert [each.code for each in document.warnings] == ["no_reading_order"]


@pytest.mark.parametrize(
    "more",
    [
        {"META-INF/rights.xml": "<kdrm><timestamp>2020-01-01T00:00:00Z</timestamp></kdrm>"},
        {"META-INF/license.lcpl": "{}"},
        {"META-INF/encryption.xml": encryption("http://ns.adobe.com/pdf/enc#RC", "a.otf")},
        {"META-INF/encryption.xml": encryption(AES, "OEBPS/fonts/A.TTF")},
        {"META-INF/encryption.xml": encryption(AES, "OEBPS/c.jpg"), "META-INF/rights.xml": ""},
    ],
)
def test_a_book_whose_text_is_readable_is_not_protected(more: dict[str, str]) -> None:
    assert read_book(make_epub(PAGES, more=more)).text == "One\n\nTwo"


def test_the_media_type_may_be_missing() -> None:
    assert MIMETYPE.encode() in make_epub(PAGES)
    assert read_book(make_epub(PAGES, without=["mimetype"])).text == "One\n\nTwo"
