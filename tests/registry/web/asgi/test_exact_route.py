import pytest
from starlette.routing import Match

from registry.web.asgi.exact_route import exact_route


@pytest.mark.parametrize(
    ("path", "is_matched"),
    [("/builds/a", True), ("/builds/a\n", True), ("/builds/a/", False), ("/builds/a/x", False)],
)
def test_a_field_is_whatever_has_no_slash(path: str, is_matched: bool) -> None:
    match, _ = exact_route("/builds/{key}", object()).matches(
        {"type": "http", "method": "GET", "path": path}
    )
    assert (match != Match.NONE) is is_matched


@pytest.mark.parametrize("path", ["/login\n", "/login/", "/logi", "/login\r\n", "\n/login"])
def test_another_path_is_not_matched(path: str) -> None:
    route = exact_route("/login", object())
    assert route.matches({"type": "http", "method": "GET", "path": path})[0] == Match.NONE
    assert route.matches({"type": "http", "method": "GET", "path": "/login"})[0] != Match.NONE
