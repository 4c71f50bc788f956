"""Kinds of a book's parts: its chapters, and its front and back matter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from api.text.contents_page import CONTENTS_TITLE


class Kind(StrEnum):
    """The kind of a part of a book; `text` is a part without a title."""

    CHAPTER = "chapter"
    TEXT = "text"
    COVER = "cover"
    TITLE_PAGE = "title_page"
    COPYRIGHT = "copyright"
    CONTENTS = "contents"
    LIST = "list"
    DEDICATION = "dedication"
    EPIGRAPH = "epigraph"
    FOREWORD = "foreword"
    PREFACE = "preface"
    ACKNOWLEDGMENTS = "acknowledgments"
    AFTERWORD = "afterword"
    APPENDIX = "appendix"
    GLOSSARY = "glossary"
    BIBLIOGRAPHY = "bibliography"
    INDEX = "index"
    COLOPHON = "colophon"
    CREDITS = "credits"
    ADVERTISEMENT = "advertisement"


# Front and back matter that is not spoken by default; a dedication or a preface is.
SKIPPED_KINDS = frozenset(
    (
        *(Kind.COVER, Kind.TITLE_PAGE, Kind.COPYRIGHT, Kind.CONTENTS, Kind.LIST, Kind.GLOSSARY),
        *(Kind.BIBLIOGRAPHY, Kind.INDEX, Kind.COLOPHON, Kind.CREDITS, Kind.ADVERTISEMENT),
    )
)
# Kinds that may go on over several pages without a title of their own.
LONG_KINDS = frozenset((Kind.GLOSSARY, Kind.BIBLIOGRAPHY, Kind.INDEX))
# The most letters of a part that its guide, its link or its title calls so; a longer one is text.
MAX_LETTERS = {
    Kind.COVER: 1_500,
    Kind.TITLE_PAGE: 3_000,
    Kind.DEDICATION: 5_000,
    Kind.COPYRIGHT: 15_000,
    Kind.COLOPHON: 15_000,
    Kind.CREDITS: 15_000,
    Kind.ADVERTISEMENT: 15_000,
    Kind.CONTENTS: 50_000,
    Kind.LIST: 50_000,
}
MAX_TITLE_CHARS = 120  # of a title that says the kind
# Values of epub:type, of role after "doc-", and of the guide's type.
_TYPES = {
    Kind.CHAPTER: "chapter part volume division subchapter bodymatter text",
    Kind.COVER: "cover cover-image",
    Kind.TITLE_PAGE: "titlepage title-page halftitlepage half-title-page",
    Kind.COPYRIGHT: "copyright-page copyright imprint imprimatur",
    Kind.CONTENTS: "toc toc-brief landmarks page-list contents other.toc",
    Kind.LIST: "loi lot loa lov list-of-illustrations list-of-tables",
    Kind.DEDICATION: "dedication",
    Kind.EPIGRAPH: "epigraph",
    Kind.FOREWORD: "foreword",
    Kind.PREFACE: "preface preamble introduction prologue",
    Kind.ACKNOWLEDGMENTS: "acknowledgments acknowledgements",
    Kind.AFTERWORD: "afterword epilogue conclusion",
    Kind.APPENDIX: "appendix",
    Kind.GLOSSARY: "glossary",
    Kind.BIBLIOGRAPHY: "bibliography",
    Kind.INDEX: "index",
    Kind.COLOPHON: "colophon",
    Kind.CREDITS: "other-credits credits contributors errata revision-history",
}
_KINDS = {name: kind for kind, names in _TYPES.items() for name in names.split()}
_TITLES = {
    Kind.COVER: (
        r"(?:front |book )?cover(?: image| page| art)?|umschlag(?:bild)?|titelbild|couverture"
        r"|cubierta|capa|copertina|обложка|封面|表紙|표지"
    ),
    Kind.TITLE_PAGE: (
        r"(?:half[- ])?title[- ]?page|half[- ]?title|titel(?:seite|blatt)|schmutztitel"
        r"|page de titre|faux[- ]titre|portad(?:a|illa)|página de título|(?:folha|página) de rosto"
        r"|frontespizio|occhiello|титульн(?:ый лист|ая страница)|扉页|书名页|扉|속표지"
    ),
    Kind.COPYRIGHT: (
        r"(?:un)?copyright(?: ?(?:page|notice|information|©.*|\d.*))?|legal notice|imprint"
        r"|impressum|mentions légales|créditos|derechos de autor|página de (?:derechos|copyright)"
        r"|direitos autorais|ficha (?:técnica|catalográfica)|выходные данные|авторские права"
        r"|版[权權](?:页|頁|信息|資訊|声明|聲明)?|奥付|판권(?:지|면)?|저작권"
    ),
    Kind.CONTENTS: CONTENTS_TITLE.pattern,
    Kind.LIST: (
        r"(?:list of )?(?:illustrations|figures|tables|maps)|abbildungsverzeichnis"
        r"|(?:table|liste) des illustrations|список иллюстраций|插图目录|図版一覧"
    ),
    Kind.DEDICATION: (
        r"dedication|widmung|dédicace|dedicatoria|dedicatória|dedica|посвящение|献[词辞詞]|헌사"
    ),
    Kind.GLOSSARY: (
        r"glossary|glossar|glossaire|glos[sá]+[aá]?rio|glosario|глоссарий|词汇表|用語集|용어집"
    ),
    Kind.BIBLIOGRAPHY: (
        r"(?:select(?:ed)? )?bibliography|works cited|references|further reading"
        r"|literatur(?:verzeichnis)?|(?:bibliogra(?:ph|f)[ií][ea])|(?:список )?литератур[аы]"
        r"|библиография|[参參]考文[献獻]|참고\s?문헌"
    ),
    Kind.INDEX: (
        r"(?:general |subject )?index|(?:sach|personen|orts)?register|stichwortverzeichnis"
        r"|index des noms|índice (?:analítico|onomástico|alfabético|remissivo)|indice analitico"
        r"|(?:предметный |именной )?указатель|索引|색인|찾아보기"
    ),
    Kind.COLOPHON: r"colophon|kolophon|colof[óãa]o?n?e?|колофон",
    Kind.CREDITS: r"(?:photo |picture |image |illustration )?credits|bildnachweis|errata",
    Kind.ADVERTISEMENT: (
        r"(?:also|(?:other )?books|(?:other|more) (?:books|works|titles)) (?:by|from) .{1,80}"
        r"|by the same author|praise for .{1,80}|newsletter(?: sign-?up)?|du même auteur"
        r"|(?:the )?(?:full )?project gutenberg(?:\W{0,3}tm)? licen[sc]e"
    ),
}
_TITLE = re.compile(
    "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _TITLES.items()), re.IGNORECASE
)


def kind_of_types(types: Iterable[str]) -> Kind | None:
    """The kind of an element by the values of its `epub:type`, its role or its guide's type."""
    kinds = [_KINDS[name] for each in types if (name := each.lower()) in _KINDS]
    named = [kind for kind in kinds if kind is not Kind.CHAPTER]
    return next(iter(named or kinds), None)


def kind_of_title(title: str) -> Kind | None:
    """The kind of a part by its title in ten languages, such as `Index`; None for a chapter."""
    if len(title) > MAX_TITLE_CHARS:
        return None
    found = _TITLE.fullmatch(title.strip().rstrip(".:"))
    return Kind(found.lastgroup) if found and found.lastgroup else None
