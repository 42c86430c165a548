"""pypi.org: a simple index, as JSON or HTML, of files that lie at another host.

Source: PEP 503, 592 (yanked), 658 and 714 (metadata beside wheels), 691 (JSON), 700 (sizes, times).
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from packaging.utils import canonicalize_name
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from conformance.lookalikes.site import LookAlike, Placement

Form = Literal["json", "html"]

_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "application/vnd.pypi.simple.v1+html"


class PyPI(LookAlike):
    """pypi.org and files.pythonhosted.org.

    Args:
        directory: An index as `conformance.pypi` makes it.
        forms: What pages can be had as; `html` alone is what many mirrors have.
        metadata: Whether wheels have their metadata beside them.
        yanked: File name → why it was taken back.
        placement: Where the hosts listen; `None` for free ports without TLS.
    """

    HOSTS = ("pypi.org", "files.pythonhosted.org")

    def __init__(
        self,
        directory: Path,
        *,
        forms: Collection[Form] = ("json", "html"),
        metadata: bool = True,
        yanked: Mapping[str, str] | None = None,
        placement: Placement | None = None,
    ) -> None:
        super().__init__(placement)
        self._directory = directory
        self._forms = frozenset(forms)
        self._metadata = metadata
        self._yanked = yanked or {}
        self._limited = 0

    @property
    def settings(self) -> dict[str, object]:
        """The server's settings for this index."""
        host = self.address("files.pythonhosted.org").partition("://")[2]
        return {"pypi_index": f"{self.address('pypi.org')}/simple", "pypi_hosts": [host]}

    def limit(self, count: int = 1 << 30) -> None:
        """Answer the next requests with 429."""
        self._limited = count

    async def answer(self, host: str, request: Request) -> Response:
        """Give pages and files."""
        if self._limited:
            self._limited -= 1
            return PlainTextResponse("Too Many Requests\n", 429, {"retry-after": "1"})
        if host == "files.pythonhosted.org":
            return self._file(request.url.path)
        _, top, name, *rest = [*request.url.path.split("/"), ""]
        page = self._directory / "simple" / canonicalize_name(name) / "index.json"
        if top != "simple" or not page.is_file():
            return PlainTextResponse("404 Not Found\n", 404)
        if rest[0] != "" or request.url.path != f"/simple/{canonicalize_name(name)}/":
            return RedirectResponse(f"/simple/{canonicalize_name(name)}/", 301)
        return self._page(request, json.loads(page.read_bytes()))

    def _page(self, request: Request, page: dict[str, Any]) -> Response:
        page["files"] = [self._listed(file) for file in page["files"]]
        if _JSON in request.headers.get("accept", "") and "json" in self._forms:
            page["meta"] = {"api-version": "1.4", "_last-serial": 1}
            page["versions"] = sorted({file["filename"].split("-")[1] for file in page["files"]})
            data, media_type = json.dumps(page).encode(), _JSON
        elif "html" in self._forms:
            known = _HTML in request.headers.get("accept", "")
            data, media_type = _as_html(page).encode(), _HTML if known else "text/html"
        else:
            return PlainTextResponse("406 Not Acceptable\n", 406)
        headers = {
            "etag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"',
            "cache-control": "max-age=600, public",
            "vary": "Accept, Accept-Encoding",
            "x-pypi-last-serial": "1",
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(data, 200, headers, media_type)

    def _listed(self, file: dict[str, Any]) -> dict[str, Any]:
        digest, name = file["hashes"]["sha256"], file["filename"]
        place = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"
        metadata = self._metadata and file.get("core-metadata", False)
        return file | {
            "url": f"{self.address('files.pythonhosted.org')}/{place}",
            "core-metadata": metadata,
            "data-dist-info-metadata": metadata,
            "yanked": self._yanked.get(name, False),
        }

    def _file(self, path: str) -> Response:
        """Return a file, or the part that is asked for."""
        parts = path.split("/")
        if len(parts) != 6 or (path.endswith(".metadata") and not self._metadata):
            return PlainTextResponse("404 Not Found\n", 404)
        _, _, first, second, rest, name = parts
        file = self._directory / "files" / f"{first}{second}{rest}" / name
        if not file.is_file():
            return PlainTextResponse("404 Not Found\n", 404)
        return FileResponse(file, media_type="binary/octet-stream")


def _as_html(page: Mapping[str, Any]) -> str:
    lines = ["<!DOCTYPE html><html><head>"]
    lines.append('<meta name="pypi:repository-version" content="1.4"></head><body>')
    for file in page["files"]:
        fields = {"href": f"{file['url']}#sha256={file['hashes']['sha256']}"}
        if "requires-python" in file:
            fields["data-requires-python"] = file["requires-python"]
        if file["core-metadata"]:
            digest = f"sha256={file['core-metadata']['sha256']}"
            fields |= {"data-dist-info-metadata": digest, "data-core-metadata": digest}
        if file["yanked"]:
            fields["data-yanked"] = file["yanked"]
        written = " ".join(f'{key}="{html.escape(text)}"' for key, text in fields.items())
        lines.append(f"<a {written}>{file['filename']}</a><br />")
    return "\n".join([*lines, "</body></html>"])
