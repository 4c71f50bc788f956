"""The metadata of an EPUB beside its title: authors, date, description and cover."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from api.documents.archive import Archive
from api.documents.builder import date_of, description
from api.documents.opf import DC, MAX_METADATA_ELEMENTS, MAX_XML_BYTES, Package, join_path, text_of
from api.documents.reading import Reading
from shared.document import Details
from shared.errors import InvalidRequest
from shared.images import COVER_ADVICE, MAX_COVER_BYTES, picture_of

OPF = "{http://www.idpf.org/2007/opf}"
AUTHOR = "aut"
# Events of `dc:date` in EPUB 2 that are not of the book itself.
FILE_EVENTS = ("modification", "creation")
# The picture of a page that shows the cover.
_PICTURE = re.compile(
    rb"""<(?:\w{1,20}:)?im(?:g|age)\b[^<>]{0,500}?\b(?:src|href)\s{0,9}=\s{0,9}["']([^"'<>]{1,500})"""
)


def author_of(book: Package) -> str | None:
    """The authors of a book: creators with the role `aut`; without one, the first creator."""
    creators = [
        (text_of(each)[0], _roles(book.root, each))
        for each in islice(book.root.iter(DC + "creator"), MAX_METADATA_ELEMENTS)
    ]
    authors = [name for name, roles in creators if AUTHOR in roles and name]
    others = [name for name, roles in creators if name and not roles]
    others += [name for name, _ in creators if name]
    return ", ".join(dict.fromkeys(authors)) or next(iter(others), None)


def _roles(root: Any, creator: Any) -> list[str]:
    """The roles of a creator: its attribute in EPUB 2, or elements that refine it in EPUB 3."""
    role = creator.get(OPF + "role") or creator.get("role")
    if role:
        return [role.strip().lower()]
    key = creator.get("id")
    metas = (
        each
        for each in islice(root.iterfind("{*}metadata/{*}meta"), 50 * MAX_METADATA_ELEMENTS)
        if key and each.get("refines") == f"#{key}" and each.get("property") == "role"
    )
    return [text_of(each)[0].lower() for each in metas]


def details_of(archive: Archive, book: Package, reading: Reading) -> Details:
    """The date, the description and the cover of a book."""
    dates = (
        date_of(text_of(each)[0])
        for each in islice(book.root.iter(DC + "date"), MAX_METADATA_ELEMENTS)
        if (each.get(OPF + "event") or "").lower() not in FILE_EVENTS
    )
    described = next(book.root.iter(DC + "description"), None)
    return Details(
        date=next(filter(None, dates), None),
        description=None if described is None else description(text_of(described)[0]),
        cover=_cover(archive, book, reading),
    )


def _cover(archive: Archive, book: Package, reading: Reading) -> bytes | None:
    """The first picture that can be used of those that may be the cover.

    Gives a warning if there are only others.
    """
    refused: list[str] = []
    for name in _cover_names(archive, book):
        with suppress(InvalidRequest):
            content = archive.read(name, MAX_COVER_BYTES)
            if picture_of(content) is not None:
                return content
        refused.append(name)
    if refused:
        reading.warnings.add("cover_left_out", f"the cover is left out: {COVER_ADVICE}", refused[0])
    return None


def _cover_names(archive: Archive, book: Package) -> Iterator[str]:
    """Yield the members that may be the cover: named by the package, or on the guide's page."""
    items = {item.get("id"): item for item in book.root.iterfind("{*}manifest/{*}item")}
    named = [
        item.get("href", "")
        for item in items.values()
        if "cover-image" in item.get("properties", "").split()
    ]
    for meta in book.root.iterfind("{*}metadata/{*}meta"):
        if meta.get("name", "").lower() == "cover":
            content = meta.get("content", "")
            named.append(items[content].get("href", "") if content in items else content)
    for reference in book.root.iterfind("{*}guide/{*}reference"):
        if reference.get("type", "").lower() == "cover":
            named.append(reference.get("href", ""))
    for href in filter(None, named):
        name = archive.find(join_path(book.base, href))
        if name is None:
            continue
        if posixpath.splitext(name)[1].lower() not in (".xhtml", ".html", ".htm", ".xml"):
            yield name
            continue
        with suppress(InvalidRequest):
            found = _PICTURE.search(archive.read(name, MAX_XML_BYTES))
            picture = found and archive.find(join_path(name, found[1].decode("utf-8", "replace")))
            if picture:
                yield picture
