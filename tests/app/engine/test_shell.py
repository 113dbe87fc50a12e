"""The document and the scripts, as a browser gets them."""

from __future__ import annotations

import gzip
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

HTML = {"Accept": "text/html,*/*"}


def get(url: str, **headers: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20)


@pytest.mark.parametrize("path", ["", "layers"])
def test_the_document_says_where_the_server_is_and_loads_plotly(shared: Any, path: str) -> None:
    reply = get(f"{shared.url}/{path}", **HTML)
    document = reply.read().decode()
    assert int(reply.headers["content-length"]) == len(document.encode())
    assert document.count("BACKEND_BASE_URL") == 1
    assert document.index("BACKEND_BASE_URL") < document.index("static/js/")
    [script] = re.findall(r'data-babysit-plotly src="\./(.*?)"', document)
    library = get(f"{shared.url}/{script}", **{"Accept-Encoding": "gzip"})
    assert library.headers["content-encoding"] == "gzip"
    assert "immutable" in library.headers["cache-control"]
    assert b"plotly.js" in gzip.decompress(library.read())[:300]


def test_the_document_is_never_taken_from_an_old_copy(shared: Any) -> None:
    reply = get(f"{shared.url}/", **HTML)
    assert reply.headers["etag"] is None
    assert reply.headers["last-modified"] is None
    again = get(
        f"{shared.url}/", **HTML, **{"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "If-None-Match": "*"}
    )
    assert again.status == 200


def test_the_first_views_own_name_leads_to_the_root(shared: Any) -> None:
    reply = get(f"{shared.url}/live?run=a%20b", **HTML)
    assert reply.url == f"{shared.url}/?run=a%20b"


def test_a_gallery_begins_with_its_runs(start: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "README.md").write_text("# Recorded runs\n")
    server = start(tmp_path / "gallery")
    assert get(f"{server.url}/runs", **HTML).url == f"{server.url}/"
    assert get(f"{server.url}/live?run=a", **HTML).url == f"{server.url}/live?run=a"


def test_unknown_assets_are_not_found_and_nothing_else_is_served(shared: Any) -> None:
    for path in ("x", "../main.py", "%2e%2e/main.py", "..%2f..%2fmain.py"):
        with pytest.raises(HTTPError) as refused:
            get(f"{shared.url}/_babysit/assets/{path}")
        assert refused.value.code in (400, 404), path
