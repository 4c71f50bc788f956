"""Tags and entities in a plain text, pages of contents, and scripts that no model speaks."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.documents import prepare
from api.documents.reading import FrontMatter, ReadingOptions
from api.text.contents_page import contents_pages
from api.text.markup import silence_markup
from api.text.scripts import unspoken_script
from api.text.segmentation import split
from tests.unit.api.documents.test_documents import read_text


def spoken(text: str) -> list[str]:
    document = prepare(text)
    assert len(document.text) == len(text)
    segments = split(document.text, "auto", 200, chapters=document.chapters)
    return [segment.text for segment in segments]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fish &amp; chips", ["Fish & chips"]),
        ("&ldquo;Caf&eacute;,&rdquo; he said&#8230;", ["“Café,” he said…"]),
        ("It&#x2019;s 5&nbsp;km.", ["It’s 5 km."]),
        ("AT&T; and &unknown; stay.", ["AT&T; and &unknown; stay."]),
        ("<speak>Hello <prosody rate='slow'>there</prosody>.</speak>", ["Hello there."]),
        ('<say-as interpret-as="date">1.5.</say-as> came.', ["1.5. came."]),
        ("<p>One.</p><p>Two.</p>", ["One.", "Two."]),
        ("One.<br><br>Two.", ["One.", "Two."]),
        ("<s>One.</s><s>Two.</s>", ["One. Two."]),
        ("<html><body><table><tr><td>One.</td><td>Two.</td></tr></table>", ["One. Two."]),
        ("A <span class=x>red</span> <a href=http://x.org>link</a>", ["A red link"]),
        ("Wait <break time=1s/> here", ["Wait", "here"]),
        ("About 10<sup>6</sup> people.", ["About 10⁶ people."]),
        ("&ampere; and &notit; stay.", ["&ampere; and &notit; stay."]),
        ("A <b>bold</b> w<i>or</i>d.", ["A bold word."]),
        ('<amazon:effect name="whispered">Hush.</amazon:effect>', ["Hush."]),
        ('<voice name="x">A</voice> <emphasis level="strong">B</emphasis>', ["A B"]),
        # What is no tag is text.
        ("If a <b and c> d, so.", ["If a <b and c> d, so."]),
        ("a < b, c > d", ["a < b, c > d"]),
        ("<Ann> said it.", ["<Ann> said it."]),
        ("&lt;b&gt; is bold", ["<b> is bold"]),
    ],
)
def test_tags_and_entities_are_not_spoken(text: str, expected: list[str]) -> None:
    assert spoken(text) == expected


def test_what_was_left_out_is_said() -> None:
    (warning,) = prepare("<s>Fish &amp; chips</s>").warnings
    assert warning.code == "markup_skipped"
    assert "not spoken: 2; entities read as characters: 1" in warning.message
    assert prepare("Fish & chips < 3").warnings == ()


@given(st.text("<>&;a/='\" bp#x1", max_size=60))
def test_a_text_keeps_its_length(text: str) -> None:
    assert len(silence_markup(text)[0]) == len(text)


@pytest.mark.parametrize("unit", ["<", "<b ", "<b a='", "&", "&a", "<!--", "<b a='x' ", "&#1"])
def test_marks_that_never_end_are_read_in_no_time(unit: str) -> None:
    began_s = time.thread_time()
    silence_markup(unit * (300_000 // len(unit)))
    assert time.thread_time() - began_s < 3


def test_a_pause_in_markdown_stays() -> None:
    text = read_text('One <break time="2s"/> two [pause] three.', "a.md").text
    segments = split(text, "auto", 200)
    assert [(each.text, each.pause_s) for each in segments] == [
        ("One", 2.0),
        ("two", 1.0),
        ("three.", 0.0),
    ]


@pytest.mark.parametrize(
    ("text", "script", "letters"),
    [
        ("مرحبا بالعالم كيف حالك", "Arabic", 19),
        ("שלום עולם, מה שלומך", "Hebrew", 15),
        ("สวัสดีชาวโลก ยินดีต้อนรับ", "Thai", 18),
        ("He said: नमस्ते दुनिया, आप कैसे हैं", "Devanagari", 12),
        ("γεια", "Greek", 4),
    ],
)
def test_a_script_that_no_model_speaks(text: str, script: str, letters: int) -> None:
    found = unspoken_script(text)
    assert found is not None
    assert (found.script, found.letters) == (script, letters)
    (warning,) = prepare(text).warnings
    assert warning.code == "script_not_spoken"
    assert f"({script})" in warning.message


@pytest.mark.parametrize(
    "text", ["Hello, wörld.", "Привет", "你好", "こんにちは", "안녕", "The angle α is 5.", "½ — …"]
)
def test_scripts_that_are_spoken(text: str) -> None:
    assert unspoken_script(text) is None


STORY = "\n\n".join(
    f"{title}\n\nThe lamp was lit, and nobody spoke a word." for title in ("The Road", "The Inn")
)
TITLES = ("Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4")
CHAPTERS = "\n\n".join(f"{title}\n\nThe lamp was lit, and nobody spoke." for title in TITLES)


@pytest.mark.parametrize(
    ("before", "contents", "story"),
    [
        ("The Lamp\n\n", "Contents\n\n" + "\n\n".join(TITLES), CHAPTERS),
        ("The Lamp\n\n", "CONTENTS\n" + "\n".join(TITLES), CHAPTERS),
        ("", "Table of Contents:\n\n" + "\n".join(f"{each} ..... 12" for each in TITLES), CHAPTERS),
        ("", "Contents\n\nThe Road\t3\nThe Inn\t17\nIndex\t99", STORY),
        ("", "Inhalt\n\nThe Road ... 3\n\nThe Inn ... 9\n\nNotes ... 12", STORY),
        ("", "\n\n".join(TITLES), CHAPTERS),
        ("", "目录\n第一章\n第二章\n第三章", "第一章\n\n去。\n\n第二章\n\n来。\n\n第三章\n\n完。"),
    ],
)
def test_a_page_of_contents_in_a_plain_text_is_not_spoken(
    before: str, contents: str, story: str
) -> None:
    text = f"{before}{contents}\n\n{story}"
    assert contents_pages(text) == [(len(before), len(before) + len(contents))]
    document = prepare(text)
    assert len(document.text) == len(text)
    assert spoken(text) == spoken(before + story)
    assert "contents_page_skipped" in [each.code for each in document.warnings]
    read = prepare(text, ReadingOptions(front_matter=FrontMatter.READ))
    assert "Contents" not in contents or "Contents" in read.text


@pytest.mark.parametrize(
    "text",
    [
        "Contents\n\nThe box was full of old things.\n\nIt was late.\n\nHe went home.",
        "Contents\n\nApples\n\nPears\n\nPlums\n\nThe shop was shut.",
        "PART ONE\n\nBOOK ONE\n\nCHAPTER ONE\n\nIt.\n\nPART TWO\n\nBOOK ONE\n\nCHAPTER ONE\n\nX.",
        CHAPTERS,
        "He was content.\n\nChapter 1\n\nYes.",
    ],
)
def test_what_is_no_page_of_contents_is_spoken(text: str) -> None:
    assert contents_pages(text) == []


def test_a_page_of_contents_in_markdown() -> None:
    source = (
        "# The Lamp\n\n## Table of Contents\n\n- [The Road](#r)\n- [The Inn](#i)\n- [Home](#h)\n\n"
        "## The Road\n\nA.\n\n## The Inn\n\nB.\n\n## Home\n\nC."
    )
    document = read_text(source, "a.md")
    assert document.text == "The Lamp\n\nThe Road\n\nA.\n\nThe Inn\n\nB.\n\nHome\n\nC."


@pytest.mark.parametrize(
    "unit", ["Contents\n", "Contents\n\nChapter 1\n\n", "Chapter 1\n\n", "a\n"]
)
def test_many_titles_are_read_in_no_time(unit: str) -> None:
    began_s = time.thread_time()
    contents_pages(unit * (400_000 // len(unit)))
    assert time.thread_time() - began_s < 3
