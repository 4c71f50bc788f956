"""The page as it is sent; tests/browser shows what it does."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from api.web import FILES
from shared.settings import Settings


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_sent_with_a_policy_that_lets_in_nothing_from_elsewhere(
    api: TestClient,
) -> None:
    answer = api.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_nothing_in_the_page_is_against_the_policy() -> None:
    for tag, attributes in Elements(FILES["index.html"].content.decode()).found:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_all_that_the_page_names_is_there_and_is_its_own(api: TestClient) -> None:
    named = set()
    for name, file in FILES.items():
        text = file.content.decode()
        named |= {f"/{path.partition('#')[0]}" for path in re.findall(r'"(static/[^"$`]+)"', text)}
        named |= {f"/static/{path}" for path in re.findall(r'from "\./([^"]+)"', text)}
        assert not re.search(r"(src|href|url|import)\W{1,3}https?://", text), name
    assert len(named) > 20
    assert {path: api.get(path).status_code for path in named} == dict.fromkeys(named, 200)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/main.js", "text/javascript; charset=utf-8"),
        ("/static/base.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_that_the_browser_has_is_not_sent_again(
    api: TestClient, path: str, media_type: str
) -> None:
    first = api.get(path)
    assert first.headers["content-type"] == media_type
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    again = api.get(path, headers={"If-None-Match": f'"another", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert api.get(path, headers={"If-None-Match": '"another"'}).content == first.content
    head = api.head(path)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(first.content)))


@pytest.mark.parametrize("name", ["none.js", "..%2fapp.py", "%2e%2e/app.py", "__init__.py"])
def test_no_other_file_can_be_asked_for(api: TestClient, name: str) -> None:
    answer = api.get(f"/static/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_the_page_knows_the_limits(api: TestClient, settings: Settings) -> None:
    assert api.get("/static/limits.json").json() == {
        "max_input_chars": settings.max_input_chars,
        "max_body_bytes": settings.max_body_bytes,
        "max_reference_s": settings.max_reference_s,
    }


def test_the_page_is_no_part_of_the_api(api: TestClient) -> None:
    assert not [path for path in api.get("/openapi.json").json()["paths"] if "static" in path]
