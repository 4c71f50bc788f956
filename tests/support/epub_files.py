"""EPUB files, made as the tests want them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from api.documents import read
from api.documents.reading import ReadingOptions
from shared.document import Document

MIMETYPE = "application/epub+zip"
CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""


class Page(NamedTuple):
    """A page of a book: `title` is its line in the contents, `spine` more attributes there."""

    title: str | None
    body: str
    path: str = ""
    spine: str = ""
    anchor: str = ""


# Three chapters, with a title page, a page without a line in the contents, and an advertisement.
NOVEL = (
    Page(None, "<h1>The Lamp</h1><p>by A. Writer</p>", path="title.xhtml"),
    Page(
        "I. The Road",
        "<section><h2 id='c1'>I. The Road</h2>\n<p>It was a <em>dark</em>\n night,&#160;and "
        "caf&eacute;s<a epub:type='noteref' href='n.xhtml#n1'>1</a> shut.</p>"
        "<p>&ldquo;Come,&rdquo; she said.</p></section>",
    ),
    Page(
        "II. The Inn",
        "<a id='c2'/><h2>II. The Inn</h2><p>They slept<span epub:type='pagebreak' id='p7'/> late."
        "</p><hr/><blockquote>A song,<br/>a line</blockquote>",
        anchor="#c2",
    ),
    Page(None, "<p>The inn went on.</p>", path="text/more.xhtml"),
    Page("III. Home", "<div><h2>III. Home</h2>They went <b>home</b>.<p>The end.</p></div>"),
    Page(None, "<p>An advertisement.</p>", spine='linear="no"'),
)


def xhtml(body: str, head: str = "<title/>") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        f'<head>{head}<link rel="stylesheet" href="s.css"/></head><body>{body}</body></html>'
    )


def make_epub(
    pages: Sequence[Page],
    *,
    version: int = 3,
    title: str = "A Book",
    author: str = "A. Writer",
    language: str = "en-GB",
    metadata: str | None = None,
    manifest: str = "",
    guide: str = "",
    more: Mapping[str, str | bytes] | None = None,
    without: Sequence[str] = (),
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """An EPUB 3 with nav.xhtml, or an EPUB 2 with toc.ncx; `more` members replace those made.

    `metadata` replaces the title, author and language; `manifest` and `guide` are more elements.
    """
    paths = [page.path or f"text/page{n}.xhtml" for n, page in enumerate(pages, 1)]
    members: dict[str, str | bytes] = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/content.opf": _package(
            pages,
            paths,
            version,
            f"<dc:title>{title}</dc:title><dc:creator>{author}</dc:creator>"
            f"<dc:language>{language}</dc:language>"
            if metadata is None
            else metadata,
            manifest,
            guide,
        ),
        "OEBPS/nav.xhtml" if version == 3 else "OEBPS/toc.ncx": (_nav if version == 3 else _ncx)(
            pages, paths
        ),
    }
    members |= {f"OEBPS/{path}": xhtml(page.body) for path, page in zip(paths, pages, strict=True)}
    members |= more or {}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("mimetype", MIMETYPE, zipfile.ZIP_STORED)
        for name, content in members.items():
            if name not in without:
                archive.writestr(name, content)
    return file.getvalue()


def _package(
    pages: Sequence[Page],
    paths: Sequence[str],
    version: int,
    metadata: str,
    manifest: str,
    guide: str,
) -> str:
    toc = (
        '<item id="toc" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        if version == 3
        else '<item id="toc" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    )
    items = "".join(
        f'<item id="p{n}" href="{path}" media-type="application/xhtml+xml"/>'
        for n, path in enumerate(paths)
    )
    spine = "".join(f'<itemref idref="p{n}" {page.spine}/>' for n, page in enumerate(pages))
    return (
        f'<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="{version}.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:opf="http://www.idpf.org/2007/opf">{metadata}</metadata>'
        f'<manifest>{toc}{items}{manifest}</manifest><spine toc="toc">{spine}</spine>'
        f"<guide>{guide}</guide></package>"
    )


def _nav(pages: Sequence[Page], paths: Sequence[str]) -> str:
    lines = "".join(
        f'<li><a href="{path}{page.anchor}">{page.title}</a></li>'
        for page, path in zip(pages, paths, strict=True)
        if page.title
    )
    return xhtml(f'<nav epub:type="toc"><h1>Contents</h1><ol>{lines}</ol></nav>')


def _ncx(pages: Sequence[Page], paths: Sequence[str]) -> str:
    points = "".join(
        f"<navPoint><navLabel><text>{page.title}</text></navLabel>"
        f'<content src="{path}{page.anchor}"/></navPoint>'
        for page, path in zip(pages, paths, strict=True)
        if page.title
    )
    return (
        '<?xml version="1.0"?><ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1">'
        f"<navMap>{points}</navMap></ncx>"
    )


def encryption(method: str, path: str = "") -> str:
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData '
        f'xmlns="http://www.w3.org/2001/04/xmlenc#"><EncryptionMethod Algorithm="{method}"/>'
        f"<CipherData><CipherReference URI='{path}'/></CipherData></EncryptedData></encryption>"
    )


def read_book(content: bytes, most: int = 10_000, **options: Any) -> Document:
    """The document of an EPUB file, as an upload of it is read with these `ReadingOptions`."""
    chosen = ReadingOptions(**options)
    return read(io.BytesIO(content), name="a.epub", media_type=None, max_chars=most, options=chosen)
