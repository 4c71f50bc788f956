"""The metadata of books: authors, dates, descriptions, covers; YAML in Markdown."""

from __future__ import annotations

import io
import time
from contextlib import suppress

import pytest

from api.documents import read
from api.documents.opf import MAX_XML_BYTES
from shared.document import Details, Document
from shared.errors import InvalidRequest
from shared.images import picture_of
from tests.support.epub_files import Page, make_epub, read_book
from tests.support.pictures import jpeg, png

PAGES = [Page("One", "<h1>One</h1><p>The lamp was lit.</p>")]
CREATOR = "<dc:creator{}>{}</dc:creator>"


def book(metadata: str = "", **parts: object) -> Document:
    return read_book(make_epub(PAGES, metadata=metadata, **parts))  # type: ignore[arg-type]


def role(key: str, name: str, value: str) -> str:
    return (
        f'<dc:creator id="{key}">{name}</dc:creator>'
        f'<meta refines="#{key}" property="role" scheme="marc:relators">{value}</meta>'
    )


@pytest.mark.parametrize(
    ("creators", "author"),
    [
        ("<dc:creator>Ann Other</dc:creator>", "Ann Other"),
        (role("a", "T. Ranslator", "trl") + role("b", "Ann Other", "aut"), "Ann Other"),
        (role("a", "Ann Other", "aut") + role("b", "Bo Both", "aut"), "Ann Other, Bo Both"),
        (
            '<dc:creator opf:role="trl">T. Ranslator</dc:creator>'
            '<dc:creator opf:role="aut">Ann &amp; Bo</dc:creator>',
            "Ann & Bo",
        ),
        (role("a", "T. Ranslator", "trl") + "<dc:creator>Ann Other</dc:creator>", "Ann Other"),
        (role("a", "E. Ditor", "edt"), "E. Ditor"),
        ("", None),
    ],
)
def test_the_authors_come_before_translators(creators: str, author: str | None) -> None:
    assert book(f"<dc:title>A</dc:title>{creators}").author == author


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Caf&eacute; &amp; Tea", "Café & Tea"),
        ("Salt &amp; Iron", "Salt & Iron"),
        ("AT&T & Sons", "AT&T & Sons"),
        ("A&nbsp;B &bogus; &amp; &#67;", "A B &bogus; & C"),
        ("<![CDATA[Salt & Iron]]>", "Salt & Iron"),
    ],
)
def test_an_ampersand_survives(written: str, title: str) -> None:
    assert book(f"<dc:title>{written}</dc:title>").title == title


@pytest.mark.parametrize(
    ("metadata", "details"),
    [
        ("<dc:date>1905-04-01T00:00:00Z</dc:date>", Details(date="1905-04-01")),
        (
            '<dc:date opf:event="modification">2020</dc:date><dc:date>1905</dc:date>',
            Details(date="1905"),
        ),
        ("<dc:date>spring</dc:date>", Details()),
        (
            "<dc:description>&lt;p&gt;Of a &lt;b&gt;lamp&lt;/b&gt;\n &amp;amp; salt.&lt;/p&gt;"
            "</dc:description>",
            Details(description="Of a lamp & salt."),
        ),
        (f"<dc:description>{'ab ' * 900}</dc:description>", Details(description="ab " * 333 + "a")),
    ],
)
def test_date_and_description_are_read(metadata: str, details: Details) -> None:
    assert book(f"<dc:title>A</dc:title>{metadata}").details == details


ITEM = '<item id="cov" href="c.jpg" media-type="image/jpeg"{}/>'


@pytest.mark.parametrize(
    "parts",
    [
        {"manifest": ITEM.format(' properties="cover-image"')},
        {"manifest": ITEM.format(""), "metadata": '<meta name="cover" content="cov"/>'},
        {"manifest": ITEM.format(""), "metadata": '<meta name="cover" content="c.jpg"/>'},
        {"guide": '<reference type="cover" href="c.jpg"/>'},
        {"guide": '<reference type="cover" href="cover.xhtml"/>'},
    ],
)
def test_the_cover_is_found(parts: dict[str, str]) -> None:
    page = '<html><body><svg><image xlink:href="./c.jpg"/></svg></body></html>'
    more = {"OEBPS/c.jpg": jpeg(), "OEBPS/cover.xhtml": page}
    document = book(**{"metadata": "<dc:title>A</dc:title>", **parts}, more=more)
    assert (document.details.cover, document.warnings) == (jpeg(), ())


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(40), png() + bytes(9 * 2**20)])
def test_a_cover_that_cannot_be_used_is_a_warning(content: bytes) -> None:
    document = book(
        manifest=ITEM.format(' properties="cover-image"'), more={"OEBPS/c.jpg": content}
    )
    assert document.details.cover is None
    assert [(each.code, each.where) for each in document.warnings] == [
        ("cover_left_out", "OEBPS/c.jpg")
    ]


def test_of_several_covers_the_first_that_can_be_used_counts() -> None:
    item = ITEM.format(' properties="cover-image"')
    guide = '<reference type="cover" href="cover.xhtml"/>'
    page = "<html>" + "<img " * 9 + "<img alt='' src='d.png'/></html>"
    more = {"OEBPS/c.jpg": b"GIF89a", "OEBPS/cover.xhtml": page, "OEBPS/d.png": png()}
    document = book(manifest=item, guide=guide, more=more)
    assert (document.details.cover, document.warnings) == (png(), ())


@pytest.mark.parametrize("part", ["<![CDATA[", "&", "&a", "<img ", "<image src=", "&#", "<x>"])
def test_metadata_takes_linear_time(part: str) -> None:
    """In quadratic time, these would take hours."""
    many = part * (MAX_XML_BYTES // 2 // len(part))
    guide = '<reference type="cover" href="cover.xhtml"/>'
    title = many if part != "<x>" else ""
    began_s = time.thread_time()
    with suppress(InvalidRequest):
        book(f"<dc:title>{title}</dc:title>", guide=guide, more={"OEBPS/cover.xhtml": many})
    assert time.thread_time() - began_s < 10


def test_a_cover_that_is_missing_is_none() -> None:
    document = book(manifest=ITEM.format(' properties="cover-image"'))
    assert (document.details.cover, document.warnings) == (None, ())


def markdown(yaml: str) -> Document:
    content = f"---\n{yaml}\n---\n# One\n\nThe lamp was lit.".encode()
    return read(io.BytesIO(content), name="a.md", media_type=None, max_chars=9_999)


@pytest.mark.parametrize(
    ("yaml", "title", "author", "language"),
    [
        (
            "title: Salt & Iron\nauthor: Ann Other\nlang: de-AT",
            "Salt & Iron",
            "Ann Other",
            "german",
        ),
        ("title: 1984\nauthors:\n  - Ann\n  - name: Bo", "1984", "Ann, Bo", None),
        ('title: "A: B"\nlanguage: Italian\ncreator: [Ann, Bo]', "A: B", "Ann, Bo", "italian"),
        ("title:\n  - type: main\n    text: The Lamp", "The Lamp", None, None),
        ("draft: true\nlang: tlh", "One", None, None),
        ("title: !!int x\nauthor: !!timestamp Ann", "x", "Ann", None),
        ("title: ~\nauthor: null", "One", None, None),
    ],
)
def test_yaml_before_markdown_is_metadata(
    yaml: str, title: str, author: str | None, language: str | None
) -> None:
    document = markdown(yaml)
    assert (document.title, document.author, document.language) == (title, author, language)
    assert document.text == "One\n\nThe lamp was lit."
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("yaml", "title"),
    [
        ("title: Salt: A Story", "Salt: A Story"),
        ("title: 'Salt\nauthor: [x", "Salt"),
        ("title: Salt\na: &a [*a", "Salt"),
        ("title: Salt\na: " + "[" * 9_000, "Salt"),
        ("title: Salt\na:\n" + "- " * 1_000, "Salt"),
        ("title: Salt\n? [a]\n: b", "Salt"),
    ],
)
def test_bad_yaml_is_read_line_by_line(yaml: str, title: str) -> None:
    document = markdown(yaml)
    assert document.title == title
    assert [warning.code for warning in document.warnings] == ["yaml_guessed"]


def test_authors_of_bad_yaml_have_no_brackets() -> None:
    assert markdown("title: Salt: A\nauthor: [Ann, Bo]").author == "Ann, Bo"


def test_deep_yaml_takes_little_time() -> None:
    start = time.thread_time()
    markdown("title: Salt\na: " + "[" * 9_000)
    assert time.thread_time() - start < 2


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("1905-13-45", "1905"),
        ("May 1905", "1905"),
        ("yesterday", None),
        ("2020-05-01T10:00Z", "2020-05-01"),
        ("1905-04", "1905-04"),
    ],
)
def test_a_date_is_one(written: str, date: str | None) -> None:
    assert markdown(f"date: {written}").details.date == date
    assert book(f"<dc:title>T</dc:title><dc:date>{written}</dc:date>").details.date == date


@pytest.mark.parametrize("cut", [png()[:40], jpeg()[:-2], png()[:-12]])
def test_a_picture_that_was_cut_short_is_none(cut: bytes) -> None:
    assert picture_of(cut) is None


@pytest.mark.parametrize(
    "yaml", ["title: Salt\n\nauthor: Ann", "# a comment\ntitle: Salt", '"title": [Salt, Iron]']
)
def test_yaml_of_other_shapes(yaml: str) -> None:
    document = markdown(yaml)
    assert (document.title, document.text) == ("Salt", "One\n\nThe lamp was lit.")


def test_date_and_description_of_yaml_are_read() -> None:
    yaml = "date: 1905-04-01\ndescription: >\n  Of a lamp\n  & salt."
    assert markdown(yaml).details == Details("1905-04-01", "Of a lamp & salt.")
