"""The package document (OPF) of an EPUB: spine, contents page, metadata and protection."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from html.entities import name2codepoint
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

from lxml import etree

from api.documents.archive import Archive
from api.documents.errors import unreadable
from api.documents.matter import Kind, kind_of_types
from api.documents.reading import Reading
from api.text.cpu_limit import check_cpu
from shared.errors import InvalidRequest, TooComplex

MAX_XML_BYTES = 2 * 2**20
# Start and end tags that are read of one title or label; and tags plus characters of all labels.
MAX_NODES, MAX_VISITED = 2_000, 400_000
MAX_METADATA_ELEMENTS = 20  # titles, authors or languages that are read
MAX_MARKS = 200  # places of the guide and of the landmarks
CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
# Font obfuscation is allowed: the text of such a book is readable. A file of rights alone, such as
# `META-INF/rights.xml`, protects nothing.
FONT_METHODS = {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}
# Files whose encryption leaves the text readable, and media types that are no text.
UNSPOKEN_SUFFIXES = (".otf", ".ttf", ".woff", ".woff2", ".css", ".jpg", ".jpeg", ".png", ".gif")
UNSPOKEN_MEDIA = ("image/", "audio/", "video/", "font/", "application/pdf")
NCX_MEDIA_TYPE = "application/x-dtbncx+xml"
DC = "{http://purl.org/dc/elements/1.1/}"
_ENTITY = re.compile(
    rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?:#\d{1,7};|#x[\da-fA-F]{1,6};|(?:amp|lt|gt|quot|apos);)"
    rb"|&(?P<name>[A-Za-z][A-Za-z\d]{1,31});|&",
    re.DOTALL,
)
EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"


class Entry(NamedTuple):
    """A line of the contents page: `page` is a member's name, `anchor` an id on it or empty."""

    title: str
    page: str
    anchor: str


class Mark(NamedTuple):
    """A place of front or back matter, as the guide or the landmarks name it."""

    kind: Kind
    page: str
    anchor: str


class Package(NamedTuple):
    """A book; `spine` has the names of its text members, each once, in reading order."""

    spine: tuple[str, ...]
    contents: tuple[Entry, ...]
    marks: tuple[Mark, ...]
    title: str | None
    language: str | None
    base: str  # the name of the package document
    root: Any  # its root element


def read(archive: Archive, reading: Reading) -> Package:
    """Read the package document and the contents page that it names.

    A page that is missing gives a warning. Raises `InvalidRequest` if the book is protected or
    lacks a required file.
    """
    _refuse_protection(archive)
    base = _find(archive)
    root = _tree(archive, base)
    items = {item.get("id"): item for item in root.iterfind("{*}manifest/{*}item")}
    spine = _spine(archive, base, root, items, reading)
    return Package(
        spine=spine,
        contents=tuple(_contents(archive, base, items, frozenset(spine), reading)),
        marks=tuple(_marks(archive, base, root, items)),
        title=_metadata(root, "title"),
        language=_metadata(root, "language"),
        base=base,
        root=root,
    )


def _marks(archive: Archive, base: str, root: Any, items: dict[str, Any]) -> Iterator[Mark]:
    """Yield the marks of the guide (EPUB 2) and of the landmarks (EPUB 3)."""
    links = [
        (base, each.get("type", ""), each.get("href", ""))
        for each in root.iterfind("{*}guide/{*}reference")
    ]
    for item in [item for item in items.values() if _is_nav(item)][:1]:
        if nav := archive.find(join_path(base, item.get("href", ""))):
            with suppress(InvalidRequest):  # of a nav that is no XML; `_contents` warns of it
                links += [
                    (nav, link.get(EPUB_TYPE, ""), link.get("href", ""))
                    for each in _tree(archive, nav).iter("{*}nav")
                    if "landmarks" in each.get(EPUB_TYPE, "").split()
                    for link in each.iter("{*}a")
                ]
    for origin, types, href in links[:MAX_MARKS]:
        kind, name = kind_of_types(types.split()), archive.find(join_path(origin, href))
        if kind and name:
            yield Mark(kind, name, unquote(href.partition("#")[2]))


def _refuse_protection(archive: Archive) -> None:
    name = archive.find(ENCRYPTION)
    if name is None:
        return
    for data in _tree(archive, name).iter("{*}EncryptedData"):
        method, reference = data.find("{*}EncryptionMethod"), data.find(".//{*}CipherReference")
        path = "" if reference is None else reference.get("URI", "").lower()
        is_font = method is not None and method.get("Algorithm") in FONT_METHODS
        if not is_font and not path.endswith(UNSPOKEN_SUFFIXES):
            raise unreadable("the book is protected (DRM): send a copy without protection")


def _find(archive: Archive) -> str:
    """The name of the package document."""
    container = archive.find(CONTAINER)
    if container is None:
        raise unreadable(f"the file has no {CONTAINER} and so is no EPUB: export it again")
    for rootfile in _tree(archive, container).iter("{*}rootfile"):
        if name := archive.find(join_path("", rootfile.get("full-path", ""))):
            return name
    raise unreadable("the file has no package document (.opf): export the book again")


def _spine(
    archive: Archive, base: str, root: Any, items: dict[str, Any], reading: Reading
) -> tuple[str, ...]:
    """The names of the pages, each once; raises `InvalidRequest` if all of them are missing."""
    itemrefs = [each for each in root.iterfind("{*}spine/{*}itemref") if each.get("linear") != "no"]
    named = [(each.get("idref"), items.get(each.get("idref"))) for each in itemrefs]
    if not named and root.find("{*}spine/{*}itemref") is None:
        pages = {key: item for key, item in items.items() if not _is_nav(item)}
        named = [each for each in pages.items() if "html" in each[1].get("media-type", "")]
        if named:
            told = "the book names no order of its pages: they are read as they are listed"
            reading.warnings.add("no_reading_order", told, base)
    found: dict[str, None] = {}
    missing: list[str] = []
    for key, item in named:
        href = "" if item is None else item.get("href", "")
        if item is not None and (
            _is_nav(item) or item.get("media-type", "").lower().startswith(UNSPOKEN_MEDIA)
        ):
            continue
        name = archive.find(join_path(base, href)) if href else None
        if name is None:
            missing.append(href or key or "")
        else:
            found[name] = None
    if missing and not found:
        raise unreadable(f"the book lacks {missing[0]!r}, a part of its text: export it again")
    for name in dict.fromkeys(missing):
        reading.warnings.add("missing_page", "the book names this page and does not have it", name)
    return tuple(found)


def _is_nav(item: Any) -> bool:
    return "nav" in item.get("properties", "").split()


def _is_ncx(item: Any) -> bool:
    is_named: bool = item.get("href", "").lower().endswith(".ncx")
    return is_named or item.get("media-type") == NCX_MEDIA_TYPE


def _contents(
    archive: Archive,
    base: str,
    items: dict[str, Any],
    spine: frozenset[str],
    reading: Reading,
) -> list[Entry]:
    """The entries of the contents page of EPUB 3 (nav) or of EPUB 2 (NCX).

    Of two, the one that lists more of the pages counts, and nav if they list as many. One that
    cannot be read gives a warning.
    """
    navs = [(item, _nav_links) for item in items.values() if _is_nav(item)]
    maps = [(item, _ncx_links) for item in items.values() if _is_ncx(item)]
    best: list[Entry] = []
    most = 0
    for item, links in navs[:1] + maps[:1]:
        name = archive.find(join_path(base, item.get("href", "")))
        try:
            entries = list(_entries(archive, name, links(_tree(archive, name)))) if name else []
        except TooComplex:
            raise
        except InvalidRequest:
            told = "the book's contents page cannot be read: headings may be the chapters"
            reading.warnings.add("contents_unreadable", told, name)
            continue
        listed = len(spine.intersection(entry.page for entry in entries))
        if listed > most or not best:
            best, most = entries, listed
    return best


def _nav_links(root: Any) -> Iterator[tuple[Any, str]]:
    navs = (nav for nav in root.iter("{*}nav") if "toc" in nav.get(EPUB_TYPE, "").split())
    for nav in islice(navs, 1):
        yield from ((link, link.get("href", "")) for link in nav.iter("{*}a"))


def _ncx_links(root: Any) -> Iterator[tuple[Any, str]]:
    for point in root.iter("{*}navPoint"):
        label, content = point.find("{*}navLabel"), point.find("{*}content")
        if label is not None and content is not None:
            yield label, content.get("src", "")


def _entries(archive: Archive, base: str, links: Iterator[tuple[Any, str]]) -> Iterator[Entry]:
    visited = 0
    for label, href in links:
        check_cpu()
        name, (title, nodes) = archive.find(join_path(base, href)), text_of(label)
        visited += nodes + len(title)
        if visited > MAX_VISITED:  # nested links
            raise unreadable("the book's contents page is not well made: export the book again")
        if name and title:
            yield Entry(title, name, unquote(href.partition("#")[2]))


def _metadata(root: Any, name: str) -> str | None:
    found = (text_of(element)[0] for element in islice(root.iter(DC + name), MAX_METADATA_ELEMENTS))
    return next(filter(None, found), None)


def text_of(element: Any) -> tuple[str, int]:
    """The text of the first `MAX_NODES` tags of an element, and their number.

    The bound is needed for nested elements: to read each of them whole would take quadratic time.
    """
    parts: list[str] = []
    steps = list(islice(etree.iterwalk(element, events=("start", "end")), MAX_NODES))
    for event, node in steps:
        if event == "start":
            parts.append(node.text or "")
        elif node is not element:
            parts.append(node.tail or "")
    text = "".join(parts)
    # XML does not know named entities such as &nbsp;, and leaves them as they are.
    try:
        return html.unescape(text).strip(), len(steps)
    except ValueError:  # a character reference with thousands of digits
        return text.strip(), len(steps)


def resolve(archive: Archive, page: str, href: str) -> tuple[str | None, str]:
    """The name of the page that a link on `page` leads to, if there is one, and its anchor."""
    path, _, anchor = href.partition("#")
    return archive.find(join_path(page, path)) if path else page, unquote(anchor)


def join_path(base: str, href: str) -> str:
    """The path in the archive for `href` on the page `base`; it is never used on a disk."""
    path = unquote(href.partition("#")[0]).replace("\\", "/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(base.replace("\\", "/")), path))


def _tree(archive: Archive, name: str) -> Any:
    """The root of an XML member; external resources are not fetched, entities not expanded."""
    parser = etree.XMLParser(
        recover=True, resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        root = etree.fromstring(_known_entities(archive.read(name, MAX_XML_BYTES)), parser)
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        raise unreadable(f"{name!r} in the book is no XML: export the book again")
    return root


def _known_entities(content: bytes) -> bytes:
    """XML with HTML's entities as numbers, and `&amp;` for a bare `&`.

    After one that libxml2 does not know, it drops all others: of `Caf&eacute; &amp; Tea`, the `&`.
    """
    if b"\0" in content[:64]:  # UTF-16
        return content

    def known(match: re.Match[bytes]) -> bytes:
        name = match["name"]
        if name is None:
            return b"&amp;" if match[0] == b"&" else match[0]
        code = name2codepoint.get(name.decode("ascii"))
        return b"&#%d;" % code if code else b"&amp;%s;" % name

    return _ENTITY.sub(known, content)
