import io
import zipfile

import pytest

from api.documents import archive, opf
from api.documents.reading import Reading
from api.text.normalise import normalise
from shared.document import Chapter, Document
from tests.support.epub_files import NOVEL, Page, encryption, make_epub, read_book, xhtml

TEXT = "\n\n".join(
    (
        "The Lamp",
        "by A. Writer",
        "I. The Road",
        "It was a dark night, and cafés shut.",
        "“Come,” she said.",
        "II. The Inn",
        "They slept late.",
        "A song, a line",
        "The inn went on.",
        "III. Home",
        "They went home.",
        "The end.",
    )
)


@pytest.mark.parametrize("version", [2, 3])
def test_a_novel_is_read_with_its_chapters(version: int) -> None:
    document = read_book(make_epub(NOVEL, version=version))
    assert document._replace(sections=()) == Document(
        text=TEXT,
        chapters=tuple(
            Chapter(title, TEXT.index(title))
            for title in ("I. The Road", "II. The Inn", "III. Home")
        ),
        title="A Book",
        author="A. Writer",
        language="english",
    )
    assert normalise(TEXT) == TEXT


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>a</p><style>b</style><script>c</script><svg><text>d</text></svg><p>e</p>", "a\n\ne"),
        ("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字</p>", "漢字"),
        (
            "<p>a<sup role='doc-noteref'>1</sup><i aria-hidden='true'>b</i><b hidden=''>c</b>d</p>",
            "ad",
        ),
        ("<p>a</p><aside epub:type='footnote'><p>b</p></aside><p>c</p>", "a\n\nc"),
        ("<ul><li>a</li><li><p>b</p>c</li></ul>d", "a\n\nb\n\nc\n\nd"),
        (
            "<table><tr><th>a</th><th>b</th></tr><tr><td><p>c</p></td><td>d</td></tr></table>",
            "a, b\n\nc\n\nd",
        ),
        ("<p>hy\xadphen &amp; &lt;b&gt; &#x2014; &hellip;</p>", "hyphen & <b> — …"),
        ("<p>a<script src='x'/>b<style/>c<span/>d<a id='x'/>e</p>", "abcde"),
        ("<p>not <b>closed<p>at all & so<br>on <i>x</b>y", "not closed\n\nat all & so on xy"),
        (
            "<p>The lamp was lit<br/><br/>“Hello,” she said<br/> <br/>* * *<br><br>Next day</p>",
            "The lamp was lit\n\n“Hello,” she said\n\n* * *\n\nNext day",
        ),
        (
            "<p>The sun went down<br/>The moon came up<br/>I drank the dark<br/>Out of a cup</p>",
            "The sun went down\n\nThe moon came up\n\nI drank the dark\n\nOut of a cup",
        ),
        (
            "<p>One line<br/>Two lines</p><h2>A<br/>B</h2><p>a <br/>b<br/></p>",
            "One line\n\nTwo lines\n\nA B\n\na b",
        ),
        ("<p>One<br/>" + "<br/>" * 9_000 + "Two</p>", "One\n\nTwo"),
        ("<!-- a --><p>b<!-- c > d -->e</p><?x y?>", "be"),
        ("<p>a</p>" + " " * 70_000 + "<p title='" + "x" * 140_000 + "'>b</p>", "a\n\nb"),
        ("<p>" + "<b/>é" * 60_000 + "</p>", "é" * 60_000),
    ],
)
def test_pages_are_read_by_block_elements(body: str, text: str) -> None:
    assert read_book(make_epub([Page("P", body)]), most=100_000).text == text


@pytest.mark.parametrize(
    "encoding", ["windows-1252", "utf-16", "utf-16-le", "utf-8-sig", "iso-8859-1"]
)
def test_pages_come_in_the_encoding_that_they_declare(encoding: str) -> None:
    page = xhtml("<p>Café naïve</p>").replace("utf-8", encoding.removesuffix("-sig"))
    book = make_epub([Page("P", "")], more={"OEBPS/text/page1.xhtml": page.encode(encoding)})
    assert read_book(book).text == "Café naïve"


def test_a_codec_that_is_none_for_pages_is_not_used() -> None:
    page = xhtml("<p>a</p>").replace("utf-8", "bz2_codec")
    assert read_book(make_epub([Page("P", "")], more={"OEBPS/text/page1.xhtml": page})).text == "a"


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("en", "english"),
        ("DE-at", "german"),
        ("zh_Hant", "chinese"),
        ("fre", "french"),
        ("nl", None),
    ],
)
def test_the_language_is_one_that_models_know(code: str, language: str | None) -> None:
    assert read_book(make_epub([Page("P", "<p>a</p>")], language=code)).language == language


def test_without_a_contents_page_the_first_headings_are_the_chapters() -> None:
    pages = [Page(None, "<p>a</p>"), Page(None, "<h2>B</h2><h3>b</h3>"), Page(None, "<h1>C</h1>")]
    for without in ([], ["OEBPS/nav.xhtml"]):
        document = read_book(make_epub(pages, without=without))
        assert document.chapters == (Chapter("B", 3), Chapter("C", 9))


def test_contents_within_contents_are_read_once() -> None:
    link = "<a href='text/page1.xhtml'>x</a>"
    nested = xhtml("<nav epub:type='toc'>" * 20 + link * 5 + "</nav>" * 20)
    book = make_epub([Page("P", "<p>a</p>")], more={"OEBPS/nav.xhtml": nested})
    contents = opf.read(archive.Archive(io.BytesIO(book)), Reading(100)).contents
    assert [entry.title for entry in contents] == ["x"] * 5


def test_a_chapter_may_begin_within_a_page_and_one_without_text_is_none() -> None:
    body = "<p>a</p><h2 id='two'>Two</h2><p id='x'>b <a name='three'/>c</p>"
    nav = "".join(
        f'<li><a href="{href}">{title}</a></li>'
        for href, title in (
            ("cover.xhtml", "Cover"),
            ("P.xhtml", "Part"),
            ("P.xhtml", "One"),
            ("P.xhtml#two", "Two"),
            ("P.xhtml#three", "Three"),
            ("P.xhtml#gone", "Gone"),
            ("nowhere.xhtml", "Nowhere"),
            ("back.xhtml", "Back"),
        )
    )
    document = read_book(
        make_epub(
            [
                Page(None, "<img src='c.jpg' alt=''/>", path="cover.xhtml"),
                Page(None, body, path="P.xhtml"),
                Page(None, "<p/>", path="back.xhtml"),
            ],
            more={"OEBPS/nav.xhtml": xhtml(f'<nav epub:type="toc"><ol>{nav}</ol></nav>')},
        )
    )
    assert document.text == "a\n\nTwo\n\nb c"
    assert document.chapters == (Chapter("Gone", 0), Chapter("Two", 3), Chapter("Three", 8))


def test_paths_may_be_encoded_climb_and_differ_in_case() -> None:
    page = Page("P", "<p>a</p>", path="../te%20xt/./x/../Caf%C3%A9.xhtml")
    more = {"te xt/café.XHTML": xhtml(page.body)}
    assert read_book(make_epub([page], more=more)).chapters == (Chapter("P", 0),)


def test_fonts_may_be_obfuscated() -> None:
    more = {"META-INF/encryption.xml": encryption("http://www.idpf.org/2008/embedding")}
    assert read_book(make_epub([Page("P", "<p>a</p>")], more=more)).text == "a"


def test_a_page_is_read_once_however_often_it_is_named() -> None:
    opf = make_epub([Page("P", "<p>a</p>")])
    with zipfile.ZipFile(io.BytesIO(opf)) as book:
        content = book.read("OEBPS/content.opf").decode()
    content = content.replace("<itemref", '<itemref idref="p0"/>' * 5_000 + "<itemref")
    assert (
        read_book(make_epub([Page("P", "<p>a</p>")], more={"OEBPS/content.opf": content})).text
        == "a"
    )
