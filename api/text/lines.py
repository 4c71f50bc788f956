"""Lines of a plain text: those of wrapped prose are joined, others are paragraphs of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex

from api.text.cpu_limit import check_cpu
from api.text.headings import is_heading
from api.text.note_marks import SILENT

PARAGRAPH_END = "\u2029"  # stands for the end of a line that ends a paragraph
MIN_WRAP_CHARS = 40  # the shortest width to which prose is wrapped; of ideographs, a third
MIN_WRAPPED_SHARE = 0.8
# A paragraph's last line leaves a fifth of the width, a line before a long word not.
SHORT_LINE_SHARE = 0.8

_LINE = regex.compile(r"([^\r\n\u2029]*+)(\r\n|\n|\r|\u2029|\Z)")
_WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_WIDE_START = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}、，。！？；：「」『』“”《》（）…—]")
_WIDE_END = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}，、；：]\Z")
_SENTENCE_END = regex.compile(r"[.!?…:;。！？；：)\]”’»›\"」』]\Z")
_ITEM = regex.compile(r"(?:[-*+•·–—―]\s|\d{1,3}[.)]\s|[—―–]\S)")
_FIRST_WORD = regex.compile(r"\S{1,80}+")
_HYPHENATED = regex.compile(r"(\p{L}{2,40})[-\u2010\xad]\Z")
# `Smith-` `Jones`, `X-` `rays`, `1914-` `1918`: the hyphen belongs there.
_KEPT_HYPHEN = regex.compile(r"(?:\p{L}{2}|(?<![\p{L}\p{N}-])\p{L}|(?<!-)\p{N})[-\u2010]\Z")
_WORD_CHAR = regex.compile(r"[\p{L}\p{N}]")
_AFTER_KEPT = regex.compile(r"\p{Lu}|\p{N}")
# `pre-` `and post-war`: a word stands for the rest.
_SUSPENDED = regex.compile(r"(?:and|or|to|und|oder|bis|et|ou|y|o|e|и|или)\b")
_WORD_START = regex.compile(r"(\p{Ll}{2,40})")
_WORD = regex.compile(r"\p{L}{2,40}+(?:[-\u2010]\p{L}{2,40}+)?")
# Parts of compounds that keep their hyphen: `well-` and `known`.
_COMPOUND_FIRSTS = (
    "well|self|half|ever|non|ex|all|old|new|long|high|low|far|good|ill|hard|soft|full|short|wide"
    "|deep|cold|hot|dark|light|grey|gray|blue|red|green|black|white|brother|sister|mother|father"
    "|son|daughter|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|two|three|four|five|six"
    "|seven|eight|nine|ten|one|first|second|third|drawing|dining|sitting|semi|anti|vice|demi|peut"
    "|est|celui|celle|ci|là|rendez"
)
_COMPOUND_LASTS = (
    "known|like|looking|made|born|eyed|haired|handed|hearted|minded|headed|faced|colored|coloured"
    "|in|law|to|up|down|by|being|room|year|old|time|même|là|ci|ce|il|elle|on"
)
_FIRSTS, _LASTS = (frozenset(each.split("|")) for each in (_COMPOUND_FIRSTS, _COMPOUND_LASTS))


class _Line(NamedTuple):
    """A line without the white space around it: `start` and `stop` are those of its text."""

    text: str
    indent: str
    start: int
    stop: int
    end: int  # after its line feed

    @property
    def width(self) -> int:
        """The number of characters up to its last one."""
        return len(self.indent) + len(self.text)


def mark_lines(text: str) -> tuple[str, int, int]:
    """A text of the same length with its paragraphs marked, and two numbers of what was guessed.

    An end of a line that ends a paragraph becomes `PARAGRAPH_END`; one within a word, or between
    ideographs, becomes silent. The numbers are those of ends of paragraphs and of joined words.

    A block of lines is wrapped prose if nearly every line is as long as it could be: the first word
    of the next one would not have fitted. Other lines are paragraphs: dialogue, lists, verse.
    """
    if "\n" not in text and "\r" not in text:
        return text, 0, 0
    blocks = [block for block in _blocks(text) if len(block) > 1]
    common = max((_wrap_width(block, 0) for block in blocks if len(block) > 3), default=0)
    vocabulary: frozenset[str] = frozenset()
    changes: list[tuple[int, int, str]] = []
    paragraphs = words = 0
    for block in blocks:
        if len(block) == 2 and is_heading(text[block[0].start : block[1].stop]):
            continue
        layout = _Layout.of(block, common)
        for line, following in pairwise(block):
            check_cpu()
            begun = _HYPHENATED.search(line.text)
            rest = _WORD_START.match(following.text) if begun else None
            is_kept = _AFTER_KEPT.match(following.text) or (
                rest is None and following.text[0].isalpha()
            )
            if _KEPT_HYPHEN.search(line.text) and is_kept:
                changes.append((line.stop, following.start, SILENT))
            elif begun and _SUSPENDED.match(following.text):
                continue
            elif begun and rest:
                vocabulary = vocabulary or frozenset(map(str.lower, _WORD.findall(text)))
                is_one = _is_one_word(begun[1].lower(), rest[1].lower(), vocabulary)
                changes.append((line.stop - is_one, following.start, SILENT))
                words += is_one
            elif layout.ends(line, following):
                changes.append((line.end - 1, line.end, PARAGRAPH_END))
                paragraphs += 1
            elif _WIDE_END.search(line.text) and _WIDE_START.match(following.text):
                changes.append((line.stop, following.start, SILENT))
    return _changed(text, changes), paragraphs, words


def _blocks(text: str) -> Iterator[list[_Line]]:
    """Yield the lines between blank lines."""
    block: list[_Line] = []
    for found in _LINE.finditer(text):
        content = found[1].rstrip().rstrip(SILENT)
        plain = content.lstrip()
        if plain:
            start = found.start() + len(content) - len(plain)
            indent = content[: len(content) - len(plain)]
            stop = found.start() + len(content)
            block.append(_Line(plain, indent, start, stop, found.end()))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _is_full(line: _Line, following: _Line, width: float) -> bool:
    """True if the first word of the next line would not have fitted into a line."""
    if _WIDE.match(following.text):
        return line.width + 2 >= width
    word = _FIRST_WORD.match(following.text)
    return line.width + 1 + len(word[0] if word else "") > width


def _wrap_width(block: Sequence[_Line], common: int) -> int:
    """The width to which a block is wrapped; 0 if its lines are not wrapped."""
    width = max(len(line.text) for line in block[:-1])
    is_wide = sum(_WIDE.match(line.text) is not None for line in block) * 2 > len(block)
    if width < MIN_WRAP_CHARS / (3 if is_wide else 1) or block[-1].width > width * 1.1:
        return 0
    # A short block shows no width of its own.
    width = common if 0 < width < common and len(block) < 4 else width
    pairs = list(pairwise(block))
    full = sum(
        _is_full(line, following, width)
        or (_SENTENCE_END.search(line.text) is not None and line.width < SHORT_LINE_SHARE * width)
        for line, following in pairs
    )
    within = sum(_SENTENCE_END.search(line.text) is None for line, _ in pairs)
    really = sum(_is_full(line, following, width) for line, following in pairs)
    is_wrapped = full >= MIN_WRAPPED_SHARE * len(pairs) and within and 2 * really >= len(pairs)
    return width if is_wrapped else 0


class _Layout(NamedTuple):
    """The layout of a block: `width` is 0 if it is not wrapped."""

    width: int
    is_uniform: bool  # all lines have the same indentation, of plain spaces
    is_prose: bool  # it ends as a sentence does

    @classmethod
    def of(cls, block: Sequence[_Line], common: int) -> _Layout:
        """The layout of a block in a text whose prose is wrapped to a `common` width."""
        indents = {line.indent for line in block}
        is_uniform = len(indents) == 1 and "\u3000" not in block[0].indent
        is_prose = _SENTENCE_END.search(block[-1].text) is not None
        return cls(_wrap_width(block, common), is_uniform, is_prose)

    def ends(self, line: _Line, following: _Line) -> bool:
        """True if a line ends a paragraph."""
        ends_sentence = _SENTENCE_END.search(line.text) is not None
        if _is_indented(following, line) and not self.is_uniform:
            return True
        if _ITEM.match(following.text) and (ends_sentence or _ITEM.match(line.text)):
            return not (self.width and _is_full(line, following, self.width))
        if self.width:
            return ends_sentence and not _is_full(line, following, SHORT_LINE_SHARE * self.width)
        # Not wrapped: a sentence may still go on.
        goes_on = following.text[0].islower() or following.text[0].isdigit()
        return not (self.is_prose and not ends_sentence and goes_on)


def _is_indented(following: _Line, line: _Line) -> bool:
    if "\u3000" in following.indent or "\t" in following.indent:
        return True
    return len(following.indent) >= 2 and len(following.indent) > len(line.indent)


def _is_one_word(begun: str, rest: str, vocabulary: frozenset[str]) -> bool:
    """True if `begun-` and `rest`, at the end of a line and in the next, are one word.

    What the text has elsewhere decides, else whether a part is one of common compounds.
    """
    if begun + rest in vocabulary:
        return True
    if f"{begun}-{rest}" in vocabulary:
        return False
    return begun not in _FIRSTS and rest not in _LASTS


def _changed(text: str, changes: Sequence[tuple[int, int, str]]) -> str:
    """The text with a character in the place of each in the ranges."""
    parts: list[str] = []
    done = 0
    for start, end, char in changes:
        parts += (text[done:start], char * (end - start))
        done = end
    parts.append(text[done:])
    return "".join(parts)
