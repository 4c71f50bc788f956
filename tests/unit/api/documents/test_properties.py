"""A valid book, made of random parts, loses no letter of its text."""

from __future__ import annotations

import html
import unicodedata
import zipfile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.documents.reading import FrontMatter, Notes
from tests.support.epub_files import Page, make_epub, read_book, xhtml

# Words of the languages that the models speak, and marks around them.
LETTERS = "abcdeghilnorstuvwxyzABDEIMNOTVXÄÖßéèñçãоснпрЖЯ山中记来客ひらカナ가나다"
words = st.text(LETTERS, min_size=1, max_size=12)
marks = st.sampled_from((" ", ". ", ", ", "! ", "… ", " — ", "; ", "\n", " & ", " < ", "\xa0", "-"))
texts = st.lists(st.tuples(words, marks), min_size=1, max_size=12).map(
    lambda pairs: "".join(word + mark for word, mark in pairs)
)
INLINE = (
    *("{}", "<em>{}</em>", "<b>{}</b>", "<span class='x'>{}</span>", "<a href='#nowhere'>{}</a>"),
    *(
        "<i><strong>{}</strong></i>",
        "{}<br/>",
        "<small>{}</small>",
        "<h:span>{}</h:span>",
        "{}&#160;",
    ),
    *(
        "<![CDATA[{}]]>",
        "<sub>{}</sub>",
        "{}<img src='a.png' alt=''/>",
        "<q>{}</q>",
        "{}<!-- x -->",
    ),
    *(
        "{}<span epub:type='pagebreak' id='p1'/>",
        "{}<sup>2</sup>",
        "<a id='a'/>{}",
        "<code>{}</code>",
    ),
)
BLOCKS = (
    *("<p>{}</p>", "<h1>{}</h1>", "<h2>{}</h2>", "<h3>{}</h3>", "<div>{}</div>", "{}"),
    *(
        "<blockquote><p>{}</p></blockquote>",
        "<ul><li>{}</li></ul>",
        "<pre>{}</pre>",
        "<hr/><p>{}</p>",
    ),
    *("<table><tr><td>{}</td><td/></tr></table>", "<section epub:type='chapter'>{}</section>"),
    *(
        "<section epub:type='dedication'><p>{}</p></section>",
        "<dl><dt>{}</dt></dl>",
        "<h:p>{}</h:p>",
    ),
    *(
        "<section epub:type='frontmatter'><h1>{}</h1></section>",
        "<aside>{}</aside>",
        "<p><b>{}</b></p>",
    ),
    *("<figure><figcaption>{}</figcaption></figure>", "<details><summary>{}</summary></details>"),
)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[str, str]:
    """A block of a page, and its text."""
    written, said = "", ""
    for _ in range(draw(st.integers(1, 3))):
        text = draw(texts)
        inline = draw(st.sampled_from(INLINE))
        written += inline.format(text if "CDATA" in inline else html.escape(text, quote=False))
        said += text
    return draw(st.sampled_from(BLOCKS)).format(written), said


pages = st.lists(blocks(), min_size=1, max_size=8)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")


def letters(text: str) -> str:
    """The letters of a text in order, in the form that a document has them."""
    return "".join(filter(str.isalpha, unicodedata.normalize("NFC", text)))


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.lists(pages, min_size=1, max_size=4),
    st.sampled_from((2, 3)),
    st.sampled_from(ENCODINGS),
    st.sets(st.integers(0, 3)),
    st.booleans(),
    st.sampled_from(list(Notes)),
)
def test_a_valid_book_loses_no_letter(
    book: list[list[tuple[str, str]]],
    version: int,
    encoding: str,
    listed: set[int],
    is_stored: bool,  # drawn
    notes: Notes,
) -> None:
    made, more, said = [], {}, ""
    for number, page in enumerate(book):
        body = "\n".join(written for written, _ in page)
        said += "".join(text for _, text in page)
        # A title that names no kind of matter.
        made.append(Page("Ab" if number in listed else None, body, path=f"p{number}.xhtml"))
        content = xhtml(body).replace('encoding="utf-8"', f'encoding="{encoding[:6].strip("-")}"')
        more[f"OEBPS/p{number}.xhtml"] = content.encode(encoding)
    method = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
    content = make_epub(made, version=version, more=more, compression=method)
    document = read_book(content, most=100_000, notes=notes)
    assert letters(document.text) == letters(said)
    assert sum(each.chars for each in document.sections) <= len(document.text)
    whole = read_book(content, most=100_000, notes=notes, front_matter=FrontMatter.READ)
    assert whole.text == document.text
    starts = [chapter.start for chapter in document.chapters]
    assert starts == sorted(set(starts))


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(pages, min_size=2, max_size=4))
def test_the_sections_of_a_book_are_the_book(book: list[list[tuple[str, str]]]) -> None:
    made = [Page("Ab", "".join(written for written, _ in page)) for page in book]
    content = make_epub(made)
    whole = read_book(content, most=100_000)
    parts = [
        read_book(content, most=100_000, chapters=str(number))
        for number in range(1, len(whole.sections) + 1)
    ]
    assert "\n\n".join(part.text for part in parts) == whole.text
