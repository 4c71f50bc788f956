import time

import pytest

from api.documents.reading import Notes
from tests.support.epub_files import Page, make_epub, read_book
from tests.unit.api.documents.test_documents import read_markdown, read_text


def text_of(*bodies: str, notes: Notes = Notes.SKIP) -> str:
    pages = [Page(None, body, path=f"p{n}.xhtml") for n, body in enumerate(bodies, 1)]
    return read_book(make_epub(pages), most=1_000_000, notes=notes).text


FOOTNOTES = (
    "<h2>One</h2><p>The king was dead<sup><a id='r1' href='#fn1'>1</a></sup>. Long live the king."
    "<a href='#fn2' id='r2'><span class='super'>2</span></a> In 1905<sup><a href='#fn3'>3</a></sup>"
    " it rained.</p><div class='footnotes'><p id='fn1'><a href='#r1'>1</a> Or so: http://x.org/a."
    "</p><p id='fn2'><a href='#r2'>2</a> Ibid.</p><p id='fn3'><sup>3</sup> On Monday.</p></div>"
)
PROSE = "One\n\nThe king was dead. Long live the king. In 1905 it rained."


def test_footnotes_of_a_page_are_left_out_and_counted() -> None:
    document = read_book(make_epub([Page(None, FOOTNOTES)]))
    assert document.text == PROSE
    assert [(warning.code, warning.message[:11]) for warning in document.warnings] == [
        ("notes_skipped", "3 notes are")
    ]


def test_footnotes_may_be_read_and_their_marks_are_not() -> None:
    document = read_book(make_epub([Page(None, FOOTNOTES)]), notes=Notes.READ)
    assert document.text == PROSE + "\n\n1 Or so: http://x.org/a.\n\n2 Ibid.\n\n3 On Monday."
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("bodies", "text"),
    [
        # Notes on a page of their own, with and without links back.
        (
            (
                "<p>He left.<a id='a1' href='p2.xhtml#n1'>[1]</a></p>",
                "<h1>Notes</h1><p id='n1'><a href='p1.xhtml#a1'>[1]</a> So.</p><p>Go on.</p>"
                "<p id='n2'>2. Never marked.</p>",
            ),
            "He left.",
        ),
        (
            (
                "<p>He left.<a href='p2.xhtml#n1'>*</a> On.<a href='p2.xhtml#n2'>†</a></p>",
                "<h2>Anmerkungen</h2><p><a id='n1'></a>* So.</p><p>More of it.</p>"
                "<p><a id='n2'/>† Other.</p>",
            ),
            "He left. On.",
        ),
        # Signs, letters and Roman numbers; several marks in one superscript.
        (
            (
                "<p>So<sup><a id='x' href='#a'>a</a>, <a id='y' href='#b'>iv</a></sup> it is.</p>"
                "<p id='a'>a <a href='#x'>↩</a> One.</p><p id='b'>iv <a href='#y'>↩</a> Two.</p>",
            ),
            "So it is.",
        ),
        # A note of several paragraphs in an element of its own.
        (
            (
                "<p>So<a id='r' href='#n'><sup>7</sup></a>.</p><p>After.</p>"
                "<aside id='n'><p><a href='#r'>7</a> First.</p><p>Second.</p></aside><p>On.</p>",
            ),
            "So.\n\nAfter.\n\nOn.",
        ),
        # Types of whole parts.
        (
            ("<p>a</p><section epub:type='endnotes'><h2>N</h2><p>b</p></section><p>c</p>",),
            "a\n\nc",
        ),
        (("<p>a</p><div role='doc-endnotes'><ol><li>b</li></ol></div><p>c</p>",), "a\n\nc"),
        (("<p>a</p><section epub:type='rearnotes'><p>b</p></section>",), "a"),
        # A raised number without a link, after a word and after a full stop.
        (("<p>It was dead<sup>1</sup>. Yes.<sup>12</sup> No.</p>",), "It was dead. Yes. No."),
    ],
)  # fmt: skip
def test_notes_are_left_out(bodies: tuple[str, ...], text: str) -> None:
    assert text_of(*bodies) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>10<sup>6</sup> and x<sup>2</sup>, 5 km<sup>2</sup></p>", "10⁶ and x², 5 km²"),
        ("<p>(a + b)<sup>3</sup>, 3<sup>rd</sup>, H<sub>2</sub>O</p>", "(a + b)³, 3rd, H2O"),
        ("<p>M<sup>lle</sup> Rose, 2<sup>e</sup></p>", "Mlle Rose, 2e"),
        # Links that are no notes: to chapters, to a page, to nowhere.
        (
            "<p><a href='#c1'>1</a> <a href='#c2'>2</a></p><h2 id='c1'>1</h2><p>a</p>"
            "<h2 id='c2'>2</h2><p>b</p>",
            "1 2\n\n1\n\na\n\n2\n\nb",
        ),
        ("<p>See page <a href='#p'>12</a>.</p><p id='p'>Here.</p>", "See page 12.\n\nHere."),
        ("<p>See <a href='#gone'>12</a>.</p>", "See 12."),
        ("<p>See <a href='http://x.org/#a'>12</a>.</p>", "See 12."),
        ("<p>An <a href='#n'>explanation</a>.</p><p id='n'>So.</p>", "An explanation.\n\nSo."),
        ("<div class='note'><p>Take note.</p></div>", "Take note."),
    ],
)
def test_what_is_no_note_stays(body: str, text: str) -> None:
    assert text_of(body) == text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (
            "It was dead[1]. He left.[2][3]\n\n[1] Or so.\n[2] See p. 3.\n\n[4] On.",
            "dead. He left.",
        ),
        ("It was dead¹, said he.²\n\nNotes\n\n¹ Or so.\n² Ibid.", "dead, said he."),
        ("It was dead†.\n\n† Or so,\nor so.", "dead."),
        ("It was dead [12].\n\n[Footnote 12: Or so.]", "dead."),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_notes_of_a_text_are_left_out(text: str, spoken: str, name: str) -> None:
    document = read_text(text, name)
    told = document.text.replace("\u200b", "")
    assert told.startswith(f"It was {spoken}")
    assert not any(word in told for word in ("Or so", "Ibid", "Notes", "See p."))
    assert ("[4] On." in text) == ("[4] On." in told)
    # `[3]` has no note; in Markdown `² Ibid.` goes on the line before, as in one note.
    is_unmatched = "[3]" in text or (name == "a.md" and "² Ibid." in text)
    codes = ["notes_skipped", *["note_marks_skipped"] * is_unmatched]
    assert [warning.code for warning in document.warnings] == codes
    assert name == "a.md" or len(document.text) == len(text)


def test_a_note_may_have_a_star_in_plain_text() -> None:
    assert read_text("Dead.*\n\n* Or so.").text.replace("\u200b", "").strip() == "Dead."


@pytest.mark.parametrize(
    "text", ["[1] One\n[2] Two", "10² x² 3 m² 10⁻⁶", "* One\n* Two", "a * b ** c", "see [1]", "[1]"]
)
def test_numbers_that_are_no_notes_stay(text: str) -> None:
    assert read_text(text).text.replace("\u2029", "\n") == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("The king was dead<sup>1</sup>, 10<sup>6</sup>.", "The king was dead, 10⁶."),
        ("Dead[^a].\n\n[^a]: So.\n    More.\n\nOn.", "Dead.\n\nOn."),
        ("Dead[1](#fn1) and [2](#chapter-2).", "Dead and 2."),
        ("# A[1]\n\nb", "A\n\nb"),
    ],
)
def test_notes_of_markdown(source: str, text: str) -> None:
    assert read_markdown(source).text == text


@pytest.mark.parametrize(
    "unit",
    [
        "<p><a id='r{n}' href='#n{n}'>{n}</a> a<a id='n{n}' href='#r{n}'>{n}</a></p>",
        "<a href='#n0'>*</a><i id='n{n}'/>",
        "<p id='n{n}'>a<sup><a href='#n0'>1</a></sup></p>",
        "<sup>1</sup>,<sup>{n}</sup>",
        "<div class='notes' id='n{n}'><p>1 <a href='#n{n}'>1</a></p></div>",
        "<h1>{n}</h1><h2>The Lamp</h2>",
        "<h1><span>a</span><span>Bc</span></h1>",
        "<p><b>Chapter {n}</b></p>",
        "<img alt='x'/>",
        "<br/>a",
        "<td>a</td>",
        "<![CDATA[a]]>",
        "<sup>a</sup>",
    ],
)
def test_links_take_linear_time(unit: str) -> None:
    def cpu_s(count: int) -> float:
        book = make_epub([Page(None, "x" + "".join(unit.format(n=n) for n in range(count)))])
        began_s = time.thread_time()
        read_book(book, most=10**7)
        return time.thread_time() - began_s

    assert min(cpu_s(6_000) for _ in range(3)) < 6**1.5 * min(cpu_s(1_000) for _ in range(3)) + 0.05


def test_the_text_of_a_note_may_be_beside_its_mark() -> None:
    marks = "<p>A<sup><a id='r{0}' href='#n{0}'>{0}</a></sup> came.</p>"
    text = marks.format(1) + marks.format(2)
    items = "<dt id='n{0}'><a href='#r{0}'>{0}</a></dt><dd>Note {0}.</dd>"
    terms = f"{text}<dl>{items.format(1)}{items.format(2)}</dl><p>After.</p>"
    assert text_of(terms) == "A came.\n\nA came.\n\nAfter."
    single = f"{text}<p id='n1'><a href='#r1'>1</a></p><p>Note 1.</p><p>After.</p>"
    assert "Note 1" not in text_of(single)


def test_numbers_of_verses_and_their_list_are_no_notes() -> None:
    verses = "<p><a id='v1' href='#l'>1</a> In. <a id='v2' href='#l'>2</a> And.</p>"
    assert text_of(f"{verses}<p id='l'><a href='#v1'>1</a> <a href='#v2'>2</a></p>") == (
        "1 In. 2 And.\n\n1 2"
    )
    assert text_of("<p><sup>1</sup>In the beginning.</p>") == "1 In the beginning."


def test_an_exponent_after_several_letters() -> None:
    assert text_of("<p>E = mc<sup>2</sup>, word<sup>2</sup>.</p>") == "E = mc², word."


def test_a_mark_after_a_year_is_told_by_its_note() -> None:
    document = read_text("Dead.¹ In 1905² it rained, 10⁶ drops.\n\n¹ So.\n\n² Monday.\n")
    assert document.text.replace("\u200b", "").strip() == "Dead. In 1905 it rained, 10⁶ drops."


def test_marks_without_a_note_are_told() -> None:
    document = read_text("Dead.[1] So it is.")
    assert [warning.code for warning in document.warnings] == ["note_marks_skipped"]


def test_linked_notes_of_markdown() -> None:
    text = "The king[\\[1\\]](#_ftn1) was.\n\n[\\[1\\]](#_ftnref1) A note.\n\nAfter."
    assert read_markdown(text).text == "The king was.\n\nAfter."
