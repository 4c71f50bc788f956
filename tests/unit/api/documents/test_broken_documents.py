import io
import random
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.documents import archive, opf
from api.documents import xhtml as xhtml_module
from shared.errors import InvalidRequest, UnsupportedMedia
from tests.support.epub_files import CONTAINER, NOVEL, Page, encryption, make_epub, read_book, xhtml

LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
OUTSIDE = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
LINKS_IN_LINKS = "<nav epub:type='toc'>" + "<a href='text/page1.xhtml'>" * 9 + "x" * 250_000
AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
OPF = "OEBPS/content.opf"


@pytest.mark.parametrize("nav", [xhtml(LINKS_IN_LINKS), "no XML"])
def test_a_contents_page_that_cannot_be_read_is_left_out_and_said(nav: str) -> None:
    pages = [Page("Listed", "<h1>One</h1><p>On.</p>")]
    document = read_book(make_epub(pages, more={"OEBPS/nav.xhtml": nav}))
    assert [chapter.title for chapter in document.chapters] == ["One"]
    assert [warning.code for warning in document.warnings] == ["contents_unreadable"]


def test_a_number_that_is_no_character_stays_as_it_is() -> None:
    """Python refuses to read numbers of thousands of digits."""
    number = f"&#{'9' * 5_000};"
    book = make_epub([Page("P", "<p>a</p>")], title=number.replace("&", "&amp;"))
    assert read_book(book).title == number[:200]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"META-INF/encryption.xml": encryption(AES)}, "DRM.*without protection"),
        ({"META-INF/container.xml": ""}, "container.xml' in the book is no XML: export"),
        ({"META-INF/container.xml": "<a/>"}, r"no package document \(.opf\): export"),
        ({"META-INF/container.xml": CONTAINER.replace("OEBPS", "..")}, "no package document"),
        ({"META-INF/container.xml": CONTAINER.replace("OEBPS/", "/etc/")}, "no package document"),
        ({OPF: "no XML"}, "content.opf' in the book is no XML"),
        ({OPF: "<package/>"}, "nothing to speak"),
        ({OPF: LAUGHS + "]><package>&j;</package>"}, "nothing to speak"),
        ({OPF: LAUGHS + "]><package a='&j;'/>"}, "nothing to speak"),
        ({OPF: OUTSIDE + "<package>&e;</package>"}, "nothing to speak"),
        ({OPF: "<package><spine><itemref idref='x'/></spine></package>"}, "lacks 'x'.*export"),
        ({OPF: b"<a/>" + b" " * opf.MAX_XML_BYTES}, "unpacks to too many bytes: split"),
        ({"a" * (archive.MAX_NAME_CHARS + 1): ""}, "has a name of more than 1,024.*export"),
        ({"OEBPS/text/page1.xhtml": ""}, "nothing to speak"),
        ({"OEBPS/text/page1.xhtml": xhtml("<b>" * 600)}, "too many tags: export it as plain text"),
        ({"OEBPS/text/page1.xhtml": xhtml("<p>" + "a" * 10_001)}, "longer than 10,000"),
    ],
)
def test_a_book_that_cannot_be_read_is_refused(more: Mapping[str, str | bytes], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as raised:
        read_book(make_epub([Page("P", "<p>a</p>")], more=more))
    assert raised.value.param == "file"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("META-INF/container.xml", "no META-INF/container.xml and so is no EPUB"),
        (OPF, "no package document"),
        ("OEBPS/text/page1.xhtml", "lacks 'text/page1.xhtml', a part of its text"),
    ],
)
def test_a_book_that_lacks_a_file_is_refused(name: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_book(make_epub([Page("P", "<p>a</p>")], without=[name]))


def test_entities_of_a_page_are_not_expanded() -> None:
    page = xhtml("<p>a &j;&e;</p>").replace("<!DOCTYPE html>", LAUGHS + OUTSIDE[13:-2] + "]>")
    book = make_epub([Page("P", "")], more={"OEBPS/text/page1.xhtml": page})
    assert read_book(book).text.endswith("a &j;&e;")


def changed(at: bytes, offset: int, form: str, value: int) -> bytes:
    """A book with one number of its last header of a kind replaced."""
    book = bytearray(make_epub([Page("P", "<p>a</p>")]))
    struct.pack_into(form, book, book.rindex(at) + offset, value)
    return bytes(book)


CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("book", "says"),
    [
        (b"", "broken"),
        (b"One.", "broken .*export or download it again"),
        (make_epub(NOVEL)[:-40], "broken"),
        (changed(CENTRAL, 8, "<H", 1), "password"),
        (changed(CENTRAL, 10, "<H", 14), "compressed in a way"),
        (changed(CENTRAL, 16, "<L", 1), "broken"),
        (changed(CENTRAL, 42, "<L", 0), "broken"),
        (changed(END, 12, "<L", 2**31), "broken"),
    ],
)
def test_a_broken_archive_is_refused(book: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_book(book)


def test_an_archive_of_too_many_files_is_refused() -> None:
    for count, name in ((archive.MAX_MEMBERS + 1, "{}"), (9_000, "{:0100}")):
        more = {name.format(n): "" for n in range(count)}
        with pytest.raises(InvalidRequest, match="more than 10,000 files"):
            read_book(make_epub([Page("P", "<p>a</p>")], more=more))


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = {"OEBPS/text/page1.xhtml": b"<p>" + b" " * (archive.MAX_MEMBER_BYTES + 1)}
    book = make_epub([Page("P", "")], more=bomb)
    del bomb
    tracemalloc.start()
    with pytest.raises(InvalidRequest, match="unpacks to too many bytes"):
        read_book(book)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100 * 2**20


@pytest.mark.parametrize("body", ["<br/>" * 60, "a<b x='y'/>" * 30, "a&amp;" * 60])
def test_tags_and_bits_of_text_are_counted(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xhtml_module, "MAX_MARKS", 100)
    with pytest.raises(InvalidRequest, match="too many tags"):
        read_book(make_epub([Page(None, body), Page(None, body)]))


def test_many_small_bombs_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 2**20)
    book = make_epub([Page(None, "<p>" + " " * 2**19)] * 3)
    with pytest.raises(InvalidRequest, match="unpacks to too many bytes"):
        read_book(book)


BOOKS = [make_epub(NOVEL, version=n, compression=m) for n in (2, 3) for m in (0, 8)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=5_000)
@given(st.sampled_from(BOOKS), st.integers(1, 20), st.integers(0, 3), st.randoms())
def test_a_damaged_book_is_read_or_refused(
    book: bytes, flips: int, cuts: int, chance: random.Random
) -> None:
    damaged = bytearray(book)
    for _ in range(flips):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    if cuts == 0:
        del damaged[chance.randrange(len(damaged)) :]
    with suppress(InvalidRequest, UnsupportedMedia):
        document = read_book(bytes(damaged))
        starts = [chapter.start for chapter in document.chapters]
        assert starts == sorted(set(starts))
        assert all(document.text[start - 2 : start] in ("", "\n\n") for start in starts)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=5_000)
@given(
    st.sampled_from([OPF, "OEBPS/nav.xhtml", "META-INF/container.xml", "OEBPS/text/page2.xhtml"]),
    st.integers(1, 20),
    st.randoms(),
)
def test_a_book_with_a_damaged_member_is_read_or_refused(
    name: str, flips: int, chance: random.Random
) -> None:
    with zipfile.ZipFile(io.BytesIO(BOOKS[-1])) as book:
        damaged = bytearray(book.read(name))
    for _ in range(flips):
        damaged[chance.randrange(len(damaged))] = chance.choice(b"<>/&;\"' a\0\xff")
    with suppress(InvalidRequest, UnsupportedMedia):
        read_book(make_epub(NOVEL, more={name: bytes(damaged)}))


# Each of 200 elements within each other has all of these in it: 80 million steps, half a minute.
EMPTY = "<b/>" * 200_000
LITTLE_TIME_S = 3.0


@pytest.mark.parametrize("name", ["title", "creator", "language"])
def test_a_title_of_nested_elements_takes_little_time(name: str) -> None:
    inner = f"<dc:{name}>" * 200 + EMPTY + f"</dc:{name}>" * 200
    book = make_epub([Page("P", "<p>a</p>")], title=f"</dc:title>{inner}<dc:title>")
    assert cpu_s_of_reading(book) < LITTLE_TIME_S


def test_a_contents_page_of_nested_links_takes_little_time() -> None:
    links = '<a href="text/page1.xhtml">' * 200 + EMPTY + "</a>" * 200
    nav = xhtml(f'<nav epub:type="toc">{links}</nav>')
    book = make_epub([Page("P", "<p>a</p>")], more={"OEBPS/nav.xhtml": nav})
    assert cpu_s_of_reading(book) < LITTLE_TIME_S


def cpu_s_of_reading(book: bytes) -> float:
    """CPU seconds of this thread until a book is read or refused."""
    began_s = time.thread_time()
    with suppress(InvalidRequest):
        read_book(book)
    return time.thread_time() - began_s
