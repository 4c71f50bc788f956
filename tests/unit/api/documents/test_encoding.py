import io

import pytest

from api import documents
from shared.document import Document
from shared.errors import InvalidRequest, UnsupportedMedia
from tests.support.epub_files import Page, make_epub, read_book, xhtml
from tests.support.paths import ROOT


def page(text: str, declared: str | None, encoding: str) -> Document:
    head = f"<meta charset='{declared}'/>" if declared else ""
    content = f"<html><head>{head}</head><body><p>{text}</p></body></html>".encode(encoding)
    return read_book(make_epub([Page("P", "")], more={"OEBPS/text/page1.xhtml": content}))


def read(content: bytes, media_type: str | None = None, name: str = "a.txt") -> Document:
    return documents.read(io.BytesIO(content), name=name, media_type=media_type, max_chars=10**6)


def codes(document: Document) -> list[str]:
    return [warning.code for warning in document.warnings]


@pytest.mark.parametrize(
    ("text", "declared", "encoding"),
    [
        ("“It’s naïve” – so", "iso-8859-1", "cp1252"),
        ("“It’s naïve” – so", "US-ASCII", "cp1252"),
        ("“It’s naïve” – so", "latin1", "utf-8"),
        ("“It’s naïve” – so", "windows-1251", "utf-8"),
        ("“It’s naïve” – so", "utf-16", "utf-8"),
        ("“It’s naïve” – so", "nonsense", "utf-8"),
        ("“It’s naïve” – so", "utf-8", "utf-16"),
        ("朱镕基说", "gb2312", "gbk"),
        ("㐀字", "gbk", "gb18030"),
        ("①～髙﨑", "Shift_JIS", "cp932"),
        ("똠방각하", "euc-kr", "cp949"),
        ("粵語嘅字", "big5", "big5hkscs"),
        ("Иван ушёл", "windows-1251", "cp1251"),
        ("Иван ушёл", "koi8-r", "koi8_r"),
        ("İstanbul ş", "iso-8859-9", "cp1254"),
    ],
)
def test_a_page_is_read_as_browsers_read_it(text: str, declared: str, encoding: str) -> None:
    document = page(text, declared, encoding)
    assert (document.text, codes(document)) == (text, [])


@pytest.mark.parametrize(
    ("content", "text", "warning"),
    [
        (b"<meta charset='utf-8'/><p>Costs 5\x80 so.</p>", "Costs 5\ufffd so.", "bad_bytes"),
        (b"<meta charset='gbk'/><p>\xc4\xe3\xff</p>", "你\ufffd", "bad_bytes"),
        (b"<p>Caf\xe9</p>", "Café", "encoding_guessed"),
        (b"<meta charset='utf-8'/><p>\xe4\xbd\xa0 \xe5\xa5</p>", "你 \ufffd", "bad_bytes"),
    ],
)  # fmt: skip
def test_one_bad_byte_does_not_refuse_a_book(content: bytes, text: str, warning: str) -> None:
    pages = [Page(None, "", path="a.xhtml"), Page(None, "<p>On.</p>", path="b.xhtml")]
    document = read_book(make_epub(pages, more={"OEBPS/a.xhtml": content}))
    assert document.text == f"{text}\n\nOn."
    (told,) = document.warnings
    assert (told.code, told.where) == (warning, "OEBPS/a.xhtml")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("The café was closed – “it’s late”.\r\n", "cp1252"),
        ("caf\xe9 au lait", "cp1252"),
        ("The lamp was lit.\r\n", "utf-16-le"),
        ("The lamp was lit.", "utf-16-be"),
        ("清晨，山里下着小雨。老人推开门，看见一个陌生人。", "gbk"),
        ("清晨，山裡下著小雨。老人推開門，看見一個陌生人。", "big5"),
        ("明け方、山に雨が降っていた。老人は戸を開けた。", "cp932"),
        ("새벽에 산에는 비가 내리고 있었다.", "cp949"),
        ("Рано утром в горах шёл дождь.", "cp1251"),
        ("Рано утром в горах шёл дождь.", "koi8-r"),
        ("x" * 200_000 + "\nDer Müller aß gern Äpfel.", "cp1252"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_text_file_in_another_encoding_is_detected_and_told(
    text: str, encoding: str, name: str
) -> None:
    document = read(text.encode(encoding), name=name)
    assert document.text.split() == text.split()
    assert codes(document) == ["encoding_guessed"]


@pytest.mark.parametrize(
    ("language", "encodings"),
    [
        ("chinese", "gb18030 big5hkscs"),
        ("french", "cp1252"),
        ("german", "cp1252"),
        ("italian", "cp1252"),
        ("japanese", "cp932 euc_jp"),
        ("korean", "cp949"),
        ("portuguese", "cp1252"),
        ("russian", "cp1251 koi8_r cp866"),
        ("spanish", "cp1252"),
    ],
)
def test_real_texts_are_detected(language: str, encodings: str) -> None:
    text = (ROOT / f"tests/texts/{language}.txt").read_text("utf-8")[:2_000]
    for encoding in encodings.split():
        sent = text.encode(encoding, "ignore")
        assert read(sent).text.replace("\u2029", "\n") == sent.decode(encoding)


@pytest.mark.parametrize(
    ("text", "charset", "encoding"),
    [
        ("模模", "gbk", "gbk"),  # which would be UTF-8 as well
        ("Äpfel", '"ISO-8859-1"', "cp1252"),
        ("Äpfel", "latin1", "utf-8"),
        ("Жизнь", "cp866", "cp866"),
        ("Äpfel", "UTF-16LE", "utf-16-le"),
        ("Äpfel", "utf-8", "utf-8"),
    ],
)
def test_the_content_type_may_name_the_encoding(text: str, charset: str, encoding: str) -> None:
    document = read(text.encode(encoding), f"text/plain; charset={charset}")
    assert (document.text, codes(document)) == (text, [])


def test_a_charset_that_is_none_is_told() -> None:
    for charset in ("klingon", "bz2_codec", "\x00", "unicode_escape"):
        document = read(b"One.", f"text/plain; charset={charset}")
        assert (document.text, codes(document)) == ("One.", ["charset_unknown"])


def test_a_few_bad_bytes_in_much_utf8_are_replaced() -> None:
    content = "Жизнь прожить не поле перейти. ".encode() * 3 + b"\xff." + "Да.".encode()
    document = read(content)
    assert document.text.count("\ufffd") == 1
    assert document.text.endswith("Да.")
    assert codes(document) == ["bad_bytes"]


@pytest.mark.parametrize("content", [b"\x7fELF\x02\x01\x01\x00\x00", b"a\0b\0\0\0c", b"\1\2\xff"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises((UnsupportedMedia, InvalidRequest)):
        read(content)


def test_the_declaration_of_xml_names_the_encoding() -> None:
    source = xhtml("<p>Café</p>").replace("utf-8", "iso-8859-15")
    book = make_epub([Page("P", "")], more={"OEBPS/text/page1.xhtml": source.encode("iso8859-15")})
    assert read_book(book).text == "Café"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("“Come,” she said — he didn’t.", "cp1252"),
        ("“Come,” she said — he didn’t.", "mac_roman"),
        ("Der Müller aß schöne Äpfel.", "mac_roman"),
        ("Der Müller aß schöne Äpfel.", "cp1252"),
        ("清晨，山里下着小雨。老人推开门。", "utf-16-le"),
        ("清晨，山里下着小雨。老人推开门。", "utf-16-be"),
        ("朝早く、山には小雨が降っていた。老人は戸を開けた。", "euc_jp"),
        ("朝早く、山には小雨が降っていた。", "iso2022_jp"),
    ],
)
def test_the_encoding_of_a_text_is_told(text: str, codec: str) -> None:
    assert read(text.encode(codec)).text == text


def test_a_text_that_is_cut_within_a_character_stays_utf_8() -> None:
    document = read("清晨，山里下着小雨。".encode()[:-1])
    assert document.text == "清晨，山里下着小雨\ufffd"
    assert [warning.code for warning in document.warnings] == ["bad_bytes"]


@pytest.mark.parametrize("charset", ["shift_jis", "utf-16"])
def test_utf_8_under_the_name_of_an_encoding_that_it_is_not(charset: str) -> None:
    document = read("朝早く、山には小雨が".encode(), f"text/plain; charset={charset}")
    assert document.text == "朝早く、山には小雨が"
