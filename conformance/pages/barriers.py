"""What keeps people from using a page, as axe-core finds it."""

import json
from importlib.resources import files
from typing import Any, Final

from playwright.sync_api import Page

_AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
#: All of WCAG 2.2 up to level AA, and what axe's authors advise beyond it.
_TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice")
_OPTIONS: Final[dict[str, Any]] = {
    "runOnly": {"type": "tag", "values": _TAGS},
    # Not among those that run unasked.
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
#: What another colour scheme may change.
_COLOURS: Final[dict[str, Any]] = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
_MAX_NODES: Final = 4


def barriers(page: Page, *, colours_alone: bool = False) -> list[str]:
    """Return a sentence for each barrier on a page; none if it has none.

    Args:
        page: It.
        colours_alone: Look only for what another colour scheme may change.
    """
    if not page.evaluate("() => 'axe' in window"):
        # By the debugger: the page's own policy lets no script in.
        page.evaluate(f"() => {{ {_AXE}\n }}")
    options = _COLOURS if colours_alone else _OPTIONS
    found = page.evaluate(f"() => axe.run(document, {json.dumps(options)})")
    return [_sentence(one) for one in found["violations"]]


def _sentence(violation: dict[str, Any]) -> str:
    nodes = violation["nodes"]
    where = "; ".join(
        f"{' '.join(map(str, node['target']))}: {_why(node)}" for node in nodes[:_MAX_NODES]
    )
    more = f"; and {len(nodes) - _MAX_NODES} more" if len(nodes) > _MAX_NODES else ""
    return f"{violation['id']} ({violation['help']}) at {where}{more}"


def _why(node: dict[str, Any]) -> str:
    checks = [*node["any"], *node["all"], *node["none"]]
    return str(checks[0]["message"] if checks else node["html"][:100])
