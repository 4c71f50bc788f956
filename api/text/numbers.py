"""Numbers written out as words, in the ten languages that the models speak."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache, lru_cache
from typing import NamedTuple

from unicode_rbnf import FormatPurpose, RbnfEngine

from api.text.cpu_limit import check_cpu
from api.text.sentences import language_of


class Normalise(StrEnum):
    """The rewriting of a text before it is spoken: none, or numbers written out as words."""

    OFF = "off"
    NUMBERS = "numbers"


class _Words(NamedTuple):
    """A language's words beside numbers; of currencies, one form or those of 1, 2 and 5."""

    code: str  # CLDR's
    thousands: str
    point: str
    point_word: str
    percent: str
    currencies: dict[str, str]
    ruleset: str | None = None  # CLDR's, where its first one is not the usual reading


_WORDS = {
    "english": _Words(
        *("en", ",", ".", "point", "percent"),
        {"$": "dollar/dollars", "€": "euro/euros", "£": "pound/pounds", "¥": "yen"},
    ),
    "german": _Words(
        *("de", ".", ",", "Komma", "Prozent"),
        {"$": "Dollar", "€": "Euro", "£": "Pfund", "¥": "Yen"},
    ),
    "french": _Words(
        *("fr", " ", ",", "virgule", "pour cent"),
        {"$": "dollar/dollars", "€": "euro/euros", "£": "livre/livres", "¥": "yen/yens"},
    ),
    "spanish": _Words(
        *("es", ".", ",", "coma", "por ciento"),
        {"$": "dólar/dólares", "€": "euro/euros", "£": "libra/libras", "¥": "yen/yenes"},
    ),
    "italian": _Words(
        *("it", ".", ",", "virgola", "per cento"),
        {"$": "dollaro/dollari", "€": "euro", "£": "sterlina/sterline", "¥": "yen"},
    ),
    "portuguese": _Words(
        *("pt", ".", ",", "vírgula", "por cento"),
        {"$": "dólar/dólares", "€": "euro/euros", "£": "libra/libras", "¥": "iene/ienes"},
    ),
    "russian": _Words(
        *("ru", " ", ",", "запятая", "процент/процента/процентов"),
        {
            "$": "доллар/доллара/долларов",
            "€": "евро",
            "£": "фунт/фунта/фунтов",
            "¥": "иена/иены/иен",
            "₽": "рубль/рубля/рублей",
        },
    ),
    "chinese": _Words(
        *("zh", ",", ".", "点", "百分之"),
        {"$": "美元", "€": "欧元", "£": "英镑", "¥": "元"},
        "spellout-cardinal",
    ),
    "japanese": _Words(
        *("ja", ",", ".", "点", "パーセント"),
        {"$": "ドル", "€": "ユーロ", "£": "ポンド", "¥": "円"},
        "spellout-cardinal",
    ),
    "korean": _Words(
        *("ko", ",", ".", "점", "퍼센트"),
        {"$": "달러", "€": "유로", "£": "파운드", "¥": "엔", "₩": "원"},
        "spellout-cardinal-sinokorean",
    ),
}
LANGUAGES = frozenset(_WORDS)
# Written without spaces between numbers and words.
_WIDE = ("chinese", "japanese", "korean")
_READ_IN_HUNDREDS = ("english", "german")  # `1905`: nineteen oh-five
_SCALE = (
    r"(?:thousand|[mb]illion|trillion|tausend|Million(?:en)?|Milliarden?|mille|millions?|milliards?"
    r"|mil|millón|millones|mila|milion[ei]|miliard[oi]|milhão|milhões|bilhão|bilhões|тысячи?"
    r"|миллион(?:а|ов)?|миллиард(?:а|ов)?|[万萬亿億만억])(?!\w)"
)
# The endings of ordinals, by CLDR's rule sets.
_ORDINALS = {
    "english": {"st": "", "nd": "", "rd": "", "th": ""},
    "french": {"er": "-masculine", "re": "-feminine", "e": "-masculine", "ème": "-masculine"},
    "spanish": {"º": "-masculine", "°": "-masculine", "ª": "-feminine"},
    "italian": {"º": "-masculine", "°": "-masculine", "ª": "-feminine"},
    "portuguese": {"º": "-masculine", "°": "-masculine", "ª": "-feminine"},
}
MAX_DIGITS = 12


def write_numbers(text: str, language: str) -> str:
    """A text with its numbers as words; `auto`, and a language without words, is guessed.

    Numbers with separators, decimals, percent, currencies, ordinals and years are written out.
    Other figures stay for the model to read: dates, times, ranges, versions, `007`, `5km`, `1990s`.

    Example: `In 1905 it cost $2.50.` is `In nineteen oh-five it cost two dollars fifty.`
    """
    language = language.lower()
    if language not in LANGUAGES:
        language = language_of(text)

    def words(match: re.Match[str]) -> str:
        check_cpu()
        return _written(match, language)

    return _pattern(language).sub(words, text)


@cache
def _pattern(language: str) -> re.Pattern[str]:
    words = _WORDS[language]
    signs = "".join(words.currencies)
    thousands, point = re.escape(words.thousands), re.escape(words.point)
    # Ideographs may stand beside a number, letters may not.
    letter = "A-Za-z" if language in _WIDE else r"^\W\d_"
    letter = f"[{letter}]"
    endings = "|".join(sorted(_ORDINALS.get(language, {}), key=len, reverse=True))
    ordinal = rf"(?P<ordinal>{endings})|" if endings else ""
    # In German, `1.` within a sentence is an ordinal, whose ending only its noun tells.
    right = r"(?!(?<=\d)(?<!\d\d\d)\.\s+\w)" if language == "german" else ""
    return re.compile(
        rf"(?<!{letter})(?<![\d.,:/+*^_=#@&'’$€£¥₩₽-])(?<![−–~]\d)(?<![–~])"
        rf"(?P<minus>(?:(?<=\s)|(?<=\()|\A)[-−])?(?P<before>[{signs}]\s?)?"
        rf"(?P<whole>\d{{1,3}}(?:{thousands}\d{{3}})+(?!\d)|\d{{1,{MAX_DIGITS}}})"
        rf"(?:{point}(?P<part>\d{{1,6}}))?"
        rf"(?:{ordinal}(?P<percent>\s?[%％])|(?P<scale>\s?{_SCALE})?(?P<after>\s?[{signs}])?)"
        rf"(?!{letter}|\d|[.,:/–~'’-]\d|[-–~/°º²³%‰])(?!'?s\b){right}"
    )


def _written(match: re.Match[str], language: str) -> str:
    """The words of a number; a number that is a code, such as `007`, stays."""
    digits = re.sub(r"\D", "", match["whole"])
    if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return match[0]
    words, number, part = _WORDS[language], int(digits), match["part"]
    if ending := match.groupdict().get("ordinal"):
        found = _engine(language).format_number(number, FormatPurpose.ORDINAL)
        return found.text_by_ruleset[f"spellout-ordinal{_ORDINALS[language][ending]}"]
    sign = (match["before"] or match["after"] or "").strip()
    gap, scale = "" if language in _WIDE else " ", match["scale"] or ""
    cents = int(part) if gap and sign and part and len(part) == 2 and not scale else None
    spoken = _whole(match, number, language)
    if part and cents is None:
        spoken = gap.join([spoken, words.point_word, *(_digit(each, language) for each in part)])
    if match["minus"]:
        spoken = _spell(-1, language).removesuffix(_spell(1, language)) + spoken
    if match["percent"]:
        name = _form(words.percent, number, is_whole=not part)
        return name + spoken if language == "chinese" else f"{spoken}{gap}{name}"
    if sign:
        is_whole = not scale and (not part or cents is not None)
        scale += gap + _form(words.currencies[sign], number, is_whole=is_whole)
    return spoken + scale + (f" {_spell(cents, language)}" if cents else "")


def _whole(match: re.Match[str], number: int, language: str) -> str:
    """The words of a whole number: `1905` alone is a year, in Chinese before `年`."""
    is_plain = len(match[0]) == 4 and match[0].isdecimal()
    if language == "chinese" and is_plain and match.string.startswith("年", match.end()):
        return "".join(_digit(each, language) for each in match[0])
    is_year = is_plain and language in _READ_IN_HUNDREDS and 1_100 <= number < 2_100
    return _spell(number, language, is_year=is_year)


def _form(forms: str, number: int, *, is_whole: bool) -> str:
    """The form of a noun after a number: of `доллар/доллара/долларов`, 21 takes the first."""
    one, *more = forms.split("/")
    if not more:
        return one
    if len(more) == 1:
        return one if number == 1 and is_whole else more[0]
    if not is_whole:
        return more[0]
    last, teens = number % 10, number % 100 // 10 == 1
    if last == 1 and not teens:
        return one
    return more[0] if last in (2, 3, 4) and not teens else more[1]


@cache
def _engine(language: str) -> RbnfEngine:
    return RbnfEngine.for_language(_WORDS[language].code)


@lru_cache(4_096)
def _spell(number: int, language: str, *, is_year: bool = False) -> str:
    purpose = FormatPurpose.YEAR if is_year else FormatPurpose.CARDINAL
    found = _engine(language).format_number(number, purpose)
    ruleset = _WORDS[language].ruleset
    return found.text_by_ruleset[ruleset] if ruleset else found.text


def _digit(digit: str, language: str) -> str:
    return "零" if language == "chinese" and digit == "0" else _spell(int(digit), language)
