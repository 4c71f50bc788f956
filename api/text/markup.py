"""Markup in a plain text that is not spoken: tags of SSML and HTML, and entities."""

from __future__ import annotations

import html
from collections.abc import Iterator
from html.entities import html5

import regex

from api.text.cpu_limit import check_cpu
from api.text.lines import PARAGRAPH_END
from api.text.note_marks import SILENT, superscript

_BLOCK_TAGS = (
    "p|div|h[1-6]|ul|ol|li|blockquote|hr|speak|paragraph|html|body|center|section|article|header"
    "|footer|main|table|thead|tbody|tr|dl|dt|dd|pre|figure|figcaption"
)
_APART_TAGS = "s|sentence|td|th"
_INLINE_TAGS = (
    "prosody|emphasis|say-as|voice|phoneme|sub|mark|audio|lang|w|token|desc|lexicon|meta"
    "|(?:amazon|mstts|google)?:[a-z-]{1,30}|(?:amazon|mstts|google):[a-z-]{1,30}"
    "|b|i|u|em|strong|span|a|small|sup|font|q|cite|code"
)
_VALUE = r"(?:\"[^\"<>]{0,500}\"|'[^'<>]{0,500}'|[^\s\"'<>=`]{1,200}?)"
_ATTRIBUTES = rf"(?:\s{{1,8}}[\w:.-]{{1,40}}\s{{0,4}}=\s{{0,4}}{_VALUE}){{0,12}}\s{{0,8}}"
# Only tags that are known, with attributes as they have to be: `a <b and c> d` is text.
_MARKUP = regex.compile(
    rf"<sup>\s?(?P<raised>\d{{1,3}})\s?</sup>"
    rf"|</?(?:(?P<block>{_BLOCK_TAGS})|(?P<line>br)|(?P<apart>{_APART_TAGS})|(?:{_INLINE_TAGS}))"
    rf"(?![\w:-]){_ATTRIBUTES}/?>"
    r"|(?P<declaration><\?xml\s[^<>]{0,200}\?>|<!--[^<>]{0,500}-->)"
    r"|&(?P<entity>[A-Za-z][A-Za-z0-9]{1,30}|\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6});",
    regex.IGNORECASE | regex.DOTALL,
)


def silence_markup(text: str) -> tuple[str, int, int]:
    """A text of the same length without tags and entities, and their numbers.

    Tags are silenced; those of a block, such as `<p>`, end a paragraph, and `<br>` ends a line. An
    entity becomes its character, and a raised number one of raised digits. `<break/>` stays: it is
    a pause.

    Example: `<speak>Fish &amp; chips</speak>` is spoken as `Fish & chips`.
    """
    if "<" not in text and "&" not in text:
        return text, 0, 0
    parts: list[str] = []
    done = tags = entities = 0
    for start, end, shown in _replacements(text):
        parts += (text[done:start], shown)
        done = end
        is_entity = text[start] == "&"
        entities += is_entity
        tags += not is_entity
    parts.append(text[done:])
    return "".join(parts), tags, entities


def _replacements(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the start and end of each tag or entity, and as many characters in its place."""
    for found in _MARKUP.finditer(text):
        check_cpu()
        size = len(found[0])
        if found["entity"]:
            shown = html.unescape(found[0])
            if found["entity"][0] != "#" and f"{found['entity']};" not in html5:
                continue  # there is no such entity
            yield *found.span(), shown + SILENT * (size - len(shown))
        elif found["raised"]:
            shown = superscript(found["raised"])
            yield *found.span(), shown + SILENT * (size - len(shown))
        elif found["apart"]:
            yield *found.span(), " " * size
        elif found["block"]:
            yield *found.span(), PARAGRAPH_END * size
        elif found["line"]:
            yield *found.span(), " " * (size - 1) + "\n"
        else:
            yield *found.span(), SILENT * size
