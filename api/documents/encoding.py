"""Encodings: of a book's pages as browsers read them, of text files as they can be told."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

import charset_normalizer
import webencodings

from api.documents.reading import Reading
from api.text.cpu_limit import check_cpu

# Encodings by the first bytes: a byte order mark, or the zero byte beside the first "<".
ENCODING_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
DECLARED_ENCODING = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
DECLARED_WITHIN_BYTES = 1_024
CHUNK_BYTES = 2**16
# Of the WHATWG's table: one that stands for encodings that are not safe, and one of bytes.
UNREADABLE_ENCODINGS = ("replacement", "x-user-defined")
# Candidates for a text file that is not UTF-8, of the languages that the models speak.
DETECTED_CODECS = (
    *("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949"),
    *("cp1251", "koi8_r", "cp866", "cp1252", "mac_roman"),
)
SINGLE_BYTE = ("cp125", "iso8859", "mac", "koi8", "cp874")
LATIN_CODECS = ("cp1252", "mac_roman")
DETECTED_BYTES = 2**17
MAX_REPLACED_SHARE = 0.1  # of a text's characters; with more of them the encoding is another
REPLACEMENT = "\ufffd"
# UTF-8 forms characters of several bytes; in other encodings such rows of bytes are rare.
MIN_UTF8_RATIO = 2  # of characters beyond ASCII to bytes that are none
MIN_UTF16_SHARE = 0.95  # of characters in common use
MIN_UTF16_SIGNS = 2  # of different ones
# The escape sequences of ISO-2022-JP, whose bytes are ASCII.
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")
_COMMON = re.compile(
    "[\\s -~\xa0-\u02ff\u0370-\u052f\u1e00-\u1fff\u2010-\u2027\u2030-\u203a\u20ac"
    "\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff9f]+"
)
_COMPATIBILITY_JAMO = re.compile("[\u3130-\u318f]")
_KANA = re.compile("[\u3041-\u3096]")
# What one Latin encoding makes of another: `MŸller`, `cafÈ`, `donít`, `book,î`, `g¸te`.
_ODDITY = re.compile(
    "(?<=[a-z])[À-ÞŒŠŽŸ]|(?<=[,.!?])[À-ÿŒœŠšŽž]|(?<=[a-z])í(?=(?:s|t|d|m|ll|re|ve)\\b)"
    "|(?<=[a-z])[§¶ˆ‰¨¸¯¤]|[§¶¤¢€ˆ‰¨¸¯](?=[a-z])|(?<=[A-Za-z])[^\\w\\s!-~’‘´·‐‑–—…](?=[a-z])|(?<![^\\W\\d_])[ÑÐíìîïñ](?![^\\W\\d_])|\ufffd"
)
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_NUL = re.compile(rb"\0")


def decode_page(chunks: Iterable[bytes], name: str, reading: Reading) -> Iterator[str]:
    """Yield the text of the page `name` of a book.

    Its encoding is that of its byte order mark; else UTF-8, if it is valid; else the one that it
    declares, by the names of the WHATWG; else windows-1252. Bytes that are none of its characters
    become U+FFFD, with a warning.
    """
    content = bytearray()
    for chunk in chunks:
        content += chunk
    encoding = _marked(content)
    if encoding is None and is_utf8(content):
        encoding = "utf-8"
    if encoding is None:
        declared = DECLARED_ENCODING.search(content[:DECLARED_WITHIN_BYTES])
        label = declared[1].decode("ascii", "replace") if declared else ""
        encoding = codec_of(label)
        if encoding is None and not label and _is_likely_utf8(content):
            encoding = "utf-8"
        if encoding is None or encoding.startswith("utf-16"):
            encoding = "cp1252"
            told = "the page says no encoding that is known and is no UTF-8: read as windows-1252"
            reading.warnings.add("encoding_guessed", told, name)
    replaced = 0
    for text in _decoded(content, encoding):
        replaced += text.count(REPLACEMENT)
        yield text
    if replaced:
        warn_of_bytes(replaced, reading, name)


def decode_text(content: bytes, reading: Reading) -> str | None:
    """The characters of a text file; None if it is no text in any encoding that is known.

    Its encoding is that of its byte order mark, or the client's `charset`; else UTF-8, if nearly
    all of it is; else UTF-16 by its zero bytes; else the likeliest. A guess gives a warning.
    """
    encoding = _marked(content) or _named(content, reading)
    if encoding is None:
        if 0 in content or _CONTROL.search(content):
            encoding = _likely_utf16(content)
            if encoding is None and 0 in content:
                return None
        if encoding is None and _is_likely_utf8(content):
            encoding = "utf-8"
        if encoding is None and _CONTROL.search(content):
            return None
        if encoding is None:
            encoding = _detected(content)
        if encoding != "utf-8":
            told = f"the file is no UTF-8 and says no encoding: read as {encoding}"
            reading.warnings.add("encoding_guessed", told)
    text = "".join(_decoded(content, encoding))
    replaced = text.count(REPLACEMENT)
    if replaced > MAX_REPLACED_SHARE * len(text):
        return None
    if replaced:
        warn_of_bytes(replaced, reading)
    return text


def warn_of_bytes(number: int, reading: Reading, where: str | None = None) -> None:
    """Warn of bytes that are no characters."""
    characters = "1 character" if number == 1 else f"{number:,} characters"
    told = f"{characters} could not be read: U+FFFD is in the text instead"
    reading.warnings.add("bad_bytes", told, where)


def codec_of(label: str) -> str | None:
    """The Python codec of an encoding's name, as the WHATWG has it; None if it has none.

    Example: `latin1` is `cp1252`, and `gb2312` is `gb18030`.
    """
    found = webencodings.lookup(label.strip("\"'"))
    if found is None or found.name in UNREADABLE_ENCODINGS:
        return None
    return "gb18030" if found.name == "gbk" else found.codec_info.name


def is_utf8(content: bytes | bytearray) -> bool:
    """True if all bytes are UTF-8."""
    try:
        for _ in _decoded(content, "utf-8", "strict"):
            check_cpu()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(content: bytes | bytearray, codec: str, errors: str = "replace") -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)(errors)
    view = memoryview(content)
    for start in range(0, len(content), CHUNK_BYTES):
        yield decoder.decode(view[start : start + CHUNK_BYTES])
    yield decoder.decode(b"", final=True)


def _marked(content: bytes | bytearray) -> str | None:
    for mark, encoding in ENCODING_MARKS:
        if content.startswith(mark):
            return encoding
    return "iso2022_jp" if _ISO_2022_JP.search(content) else None


def _named(content: bytes, reading: Reading) -> str | None:
    """The codec of the client's `charset`, or UTF-8 if the text is that instead."""
    if reading.charset is None:
        return None
    codec = codec_of(reading.charset)
    if codec is None:
        told = f"the charset {reading.charset[:40]!r} is unknown and was ignored"
        reading.warnings.add("charset_unknown", told)
    elif is_utf8(content) and (
        codec.startswith(("utf-8", *SINGLE_BYTE))
        or (codec.startswith("utf-16") and not content.isascii() and 0 not in content)
        or _fails(content, codec)
    ):
        return "utf-8"
    elif codec == "utf-8":
        return None
    return codec


def _fails(content: bytes, codec: str) -> bool:
    """True if some bytes are no characters of an encoding."""
    return any(REPLACEMENT in text for text in _decoded(content, codec))


def _likely_utf16(content: bytes) -> str | None:
    """UTF-16 in the order of bytes that gives more characters in common use, if nearly all are."""
    sample = content[: DETECTED_BYTES - DETECTED_BYTES % 2]
    best, most = None, MIN_UTF16_SHARE
    for codec in ("utf-16-le", "utf-16-be"):
        check_cpu()
        text = sample.decode(codec, "replace")
        common = sum(len(found[0]) for found in _COMMON.finditer(text))
        # Bytes that are no text may be few characters again and again.
        if len(set(text)) > MIN_UTF16_SIGNS and common > most * len(text):
            best, most = codec, common / len(text)
    return best


def _is_likely_utf8(content: bytes | bytearray) -> bool:
    """True if the text is UTF-8, perhaps with a few broken bytes."""
    replaced = others = 0
    for text in _decoded(content, "utf-8"):
        check_cpu()
        replaced += text.count(REPLACEMENT)
        others += 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))
    return others - replaced >= MIN_UTF8_RATIO * replaced


def _detected(content: bytes) -> str:
    """The likeliest encoding of a text that is not UTF-8, by the part around its first such byte.

    Example: a text with one byte 0xE9, as in `caf?`, is read as windows-1252.
    """
    first = next((n for n, byte in enumerate(content) if byte > 0x7F), 0)
    start = max(content.rfind(b"\n", max(0, first - 1_000), first) + 1, first - 1_000, 0)
    sample = content[start : start + DETECTED_BYTES]
    found = charset_normalizer.from_bytes(
        sample, cp_isolation=list(DETECTED_CODECS), threshold=0.5
    ).best()
    if found is None or found.encoding not in (*DETECTED_CODECS, *LATIN_CODECS):
        return _latin(sample)
    if found.encoding in ("cp949", "gb18030") and _is_euc_jp(sample, found.encoding):
        return "euc_jp"
    if found.encoding in LATIN_CODECS:
        return _latin(sample)
    # Cyrillic or East Asian letters within Latin words are Latin ones: `cafй` is `café`.
    letters = [*filter(str.isalpha, sample.decode(found.encoding, "ignore"))]
    others = [n for n, letter in enumerate(letters) if not letter.isascii()]
    within = sum(
        any(near.isascii() for near in (*letters[n - 1 : n], *letters[n + 1 : n + 2]))
        for n in others
    )
    if 2 * within > len(others):
        return _latin(sample)
    return found.encoding


def _latin(sample: bytes) -> str:
    """The Latin encoding that gives fewer oddities, such as `cafÈ` for `café`."""
    return min(
        LATIN_CODECS, key=lambda codec: len(_ODDITY.findall(sample.decode(codec, "replace")))
    )


def _is_euc_jp(sample: bytes, codec: str) -> bool:
    """True if a text that was taken for Korean or Chinese has kana in EUC-JP.

    They are loose parts of syllables in Korean, and kana in Chinese, too.
    """
    signs = {"cp949": _COMPATIBILITY_JAMO, "gb18030": _KANA}[codec]
    text, other = sample.decode(codec, "replace"), sample.decode("euc_jp", "replace")
    return (
        len(signs.findall(text)) > 0.1 * sum(map(str.isalpha, text))
        and len(_KANA.findall(other)) > 0.1 * sum(map(str.isalpha, other))
        and other.count(REPLACEMENT) <= text.count(REPLACEMENT) + 1
    )
