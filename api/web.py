"""The web page at `/`, the files that it is made of, and the page of the description."""

from __future__ import annotations

import hashlib
import mimetypes
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from api.http.proxy import root_path_of
from api.http.stored_response import etag_matches
from api.services import ServicesDep

router = APIRouter(include_in_schema=False)
FOLDER = files("api") / "static"
KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
# Nothing but what this server itself sends runs, is drawn or is asked; `blob:` is the audio that
# was fetched with a key, and the recording that was just made.
POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect", "font")),
        "media-src 'self' blob:",
        *(f"{name} 'none'" for name in ("base-uri", "form-action", "frame-ancestors")),
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    # Asked for again each time, and answered with 304: so a page is never of two versions.
    "Cache-Control": "no-cache",
}


class PageLimits(BaseModel):
    """The limits that the page shows: characters, bytes, and seconds of a reference."""

    max_input_chars: int
    max_body_bytes: int
    max_reference_s: float


class File(NamedTuple):
    """A file of the page, as it is sent."""

    content: bytes
    media_type: str
    etag: str


def _read() -> dict[str, File]:
    """Every file by its name; they are few and small, and no other can be asked for."""
    found = {}
    for path in FOLDER.iterdir():
        content, kind = path.read_bytes(), f".{path.name.rpartition('.')[2]}"
        media_type = KINDS.get(kind) or mimetypes.types_map[kind]
        found[path.name] = File(content, media_type, _etag(content))
    return found


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


FILES = _read()
PAGE = "index.html"
# Where FastAPIOffline has the files of the description's page.
DOCS_FILES = "static-offline-docs"


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Return the page.

    Its links are relative, for proxies that say nothing of their prefix. With a known one they
    begin with that: a proxy may send the page for a path without a slash at its end, too.
    """
    file, root_path = FILES[PAGE], root_path_of(request)
    if root_path:
        content = file.content.replace(b'"static/', f'"{root_path}/static/'.encode())
        file = File(content, file.media_type, _etag(content))
    return _send(file, request)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Return the page of the description, all of whose links are relative."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{request.app.title} - Swagger UI",
        swagger_js_url=f"{DOCS_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{DOCS_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{DOCS_FILES}/favicon.png",
    )


@router.api_route("/static/limits.json", methods=["GET", "HEAD"])
async def limits(services: ServicesDep) -> PageLimits:
    """Return what the page tells of the limits before anything is sent."""
    return PageLimits.model_validate(services.settings, from_attributes=True)


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def static(name: str, request: Request) -> Response:
    """Return a file of the page."""
    if name not in FILES:
        raise HTTPException(404, f"the page has no file {name[:100]!r}")
    return _send(FILES[name], request)


def _send(file: File, request: Request) -> Response:
    headers = HEADERS | {"ETag": file.etag}
    if etag_matches(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
