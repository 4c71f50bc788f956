"""The chapter headings of a plain text, in the ten languages that the models speak."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import regex

from api.text.cpu_limit import check_cpu
from api.text.normalise import BLANK_LINES, blank_invisible, collapse_whitespace
from shared.document import Chapter

MAX_HEADING_CHARS = 80

# A number, or one word for it; then the end of the line, or a separator and the title.
_NUMBER = (
    r"(?:\d{1,4}|[IVXLCDM]{1,8}|(?:twen|thir|for|fif|six|seven|eigh|nine)ty[\s-]\p{L}{3,7}"
    r"|(?-i:\p{L}{2,15}(?=\W*$|\s*[.:—–-])))"
)
_HAN_DIGITS = "〇零一二三四五六七八九十百千万两兩壹贰貳叁參参肆伍陆陸柒捌玖拾佰仟"
_TITLE = r"(?:\s*[.:—–-].*)?"
_NUMBERED = rf"(?:the\s+)?{_NUMBER}(?:\s+(?!(?-i:\p{{Ll}})).*|{_TITLE})"
_HEADING = regex.compile(
    rf"""
    (?!(?-i:\p{{Ll}}))(?:
      (?:chapter|part|book|volume|canto|stave|kapitel|teil|buch|chapitre|partie|livre|cap[ií]tulo|parte|libro|livro
        |capitolo|глава|часть|книга|act|scene|akt|acte|acto|atto|ato)(?:\s+|\.\s?(?=\d)){_NUMBERED}
    | (?:\d{{1,3}}\.|(?:er|zwei|drit|vier|fünf|sechs|sieb|ach|neun|zehn|elf|letz)\p{{L}}*te[rs])
      \s+(?:kapitel|teil|buch){_TITLE}
    | (?:\d{{1,3}}(?:re|e|ère|ème)|première|deuxième|seconde|troisième|quatrième|dernière)
      \s+partie{_TITLE}
    | (?:正文\s?)?(?P<bracket>[【〔［\[（(「『])?
      第\s?[\d０-９{_HAN_DIGITS}]{{1,8}}\s?[章回节節卷部篇話话幕編编]
      (?(bracket)[^】〕］\]）)」』]{{0,30}}[】〕］\]）)」』](?:\s*\S.*)?|(?:[\s:：、.．·—].*)?)
    | 第\s?[\d０-９{_HAN_DIGITS}]{{1,8}}\s?章[^\W\d_]{{1,15}}(?:[\s，、·…—][^\W_]{{1,12}})?[!！?？]?
    | (?:제\s?)?\d{{1,5}}\s?[장회화부편권](?:[\s:.·—-].*)?
    | (?:prologue|epilogue|preface|foreword|introduction|afterword|prolog|epilog|vorwort|nachwort
        |einleitung|prólogo|epílogo|prefacio|prefácio|introducción|introdução|prologo|epilogo
        |prefazione|introduzione|interlude|intermezzo|interlúdio|interludio|intermède|zwischenspiel|épilogue|préface|avant-propos|пролог|эпилог|предисловие|послесловие
        |введение|番外[\d{_HAN_DIGITS}]{{0,4}}|卷[\d{_HAN_DIGITS}]{{1,4}}|序章|終章|终章|楔子|引子|尾声|尾聲|前言|序言|后记|後記|プロローグ|エピローグ|まえがき
        |あとがき|프롤로그|에필로그|머리말|서문|맺음말|интерлюдия|幕間|幕间|間章|间章|막간|외전)(?:：.*|(?<=\p{{Lo}})\s\S.*|{_TITLE})
    )""",
    regex.VERBOSE | regex.IGNORECASE,
)
_NUMBER_LABEL = regex.compile(r"(?:\d{1,4}|[IVXLCDM]{1,8})[.:]?")
_TITLE_MARK = regex.compile(r"[:：—–]\s?\S")
_STOP = regex.compile(r"[.:!?…。：—–-]\Z")
# A second line that is the next entry of a table of contents, or a sentence.
_NO_TITLE = regex.compile(rf"^(?:{_HEADING.pattern})$|[.,;。，]$", regex.VERBOSE | regex.IGNORECASE)


def headings(text: str) -> tuple[Chapter, ...]:
    """The chapters of a plain text, by headings such as `CHAPTER I.`, `Глава 2` and `第三章`.

    A heading is a short paragraph of its own, with its title on the same line or the next. Three or
    more in a row are a table of contents; the last of them counts if the table has its title too.

    Example: `Chapter 1`, `Chapter 2`, `Chapter 3`, `Chapter 1` and then prose: only the last one is
    a heading.
    """
    found: list[Chapter] = []
    for is_heading, run in groupby(_paragraphs(text), lambda paragraph: paragraph[0] is not None):
        if is_heading:
            chapters = [Chapter(title or "", start) for title, start in run]
            is_contents_page = len(chapters) >= 3
            is_repeated = chapters[-1].title in {chapter.title for chapter in chapters[:-1]}
            if not is_contents_page:
                found += chapters
            elif is_repeated:  # the heading of the first chapter itself
                found.append(chapters[-1])
    return tuple(found)


def is_heading(paragraph: str) -> bool:
    """True if a paragraph is a heading, perhaps with its title on a second line."""
    return _title(paragraph) is not None


def is_heading_line(line: str) -> bool:
    """True if a line of normalised text is a heading."""
    return len(line) <= MAX_HEADING_CHARS and _HEADING.fullmatch(line) is not None


def is_label(heading: str) -> bool:
    """True if a heading has no title of its own: `1`, `IV.`, `Chapter One`."""
    if _NUMBER_LABEL.fullmatch(heading):
        return True
    return len(heading.split()) < 4 and is_heading(heading) and not _TITLE_MARK.search(heading)


def join_title(label: str, title: str) -> str:
    """The title of a heading in two parts: `1` and `The Lamp` give `1. The Lamp`."""
    return f"{label}{' ' if _STOP.search(label) else '. '}{title}"


def _paragraphs(text: str) -> Iterator[tuple[str | None, int]]:
    """Yield the paragraphs of a text: the title of a heading or None, and the first character."""
    seen = blank_invisible(text)
    start = len(seen) - len(seen.lstrip())
    for gap in BLANK_LINES.finditer(seen, start):
        check_cpu()
        yield _title(seen[start : gap.start()]), start
        start = gap.end()
    yield _title(seen[start:]), start


def _title(paragraph: str) -> str | None:
    """The title of a paragraph that is a heading; None for any other paragraph."""
    if len(paragraph) > 3 * MAX_HEADING_CHARS:
        return None
    first, *more = [collapse_whitespace(line) for line in paragraph.splitlines()] or [""]
    title = " ".join([first, *more])
    fits = len(title) <= MAX_HEADING_CHARS and len(more) < 2 and _HEADING.fullmatch(first)
    return title if fits and not any(map(_NO_TITLE.search, more)) else None
