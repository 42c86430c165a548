"""Every address of the service with every method that it knows, taken from the routes.

But the pages, which know no credentials: tests/registry/web/pages holds them against the API. Those
of conda-store's wire have answers of their own: tests/registry/web/conda_store has their table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from registry.auth.rights import Verb
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import CatalogNeed, NeedNothing
from registry.web.api.routes import ADDRESSES
from registry.web.conda_store.addresses import ADDRESSES as CONDA_STORE
from registry.web.conda_store.bundle import bundle_routes
from registry.web.conda_store.face import Face
from registry.web.distribution.app import Distribution
from registry.web.distribution.authorize import PUBLIC, VERBS
from registry.web.distribution.paths import TEMPLATES
from registry.web.health import HEALTH
from registry.web.html.assets import STATIC
from registry.web.login.routes import METHODS
from registry.web.pages.routes import ADDRESSES as PAGES

FACE: Final = "/conda-store"


@dataclass(frozen=True)
class Door:
    """One method at one address."""

    method: str
    #: With fields in braces.
    template: str
    #: What it needs, a verb or a role; ``None``: everybody may.
    verb: Verb | CatalogNeed | None

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def url(self, **fields: str) -> str:
        """Return the address with its fields filled in."""
        return self.template.format(**fields)


def doors() -> tuple[Door, ...]:
    """Return all there are.

    Raises:
        KeyError: A method at an address declares neither a verb nor that it is for everybody.
    """
    return tuple(_with_head(_declared()))


def undeclared(app: Starlette) -> set[str]:
    """Return the routes of an application that are in none of the tables."""
    known = {door.template for door in doors()} | {f"{STATIC}/{{name}}", *PAGES}
    # tests/registry/web/conda_store/test_access.py has a row for each of these.
    known |= {f"{FACE}{address}{slash}" for address in CONDA_STORE for slash in ("", "/")}
    # Whatever else is below leads to a page, or nowhere.
    known |= {route.path for route in bundle_routes(Face())}
    found = set()
    for route in app.routes:
        if isinstance(route, Mount):
            inner = getattr(route.app, "_app", None)  # below the boundary for errors
            found |= {f"{route.path}{one.path}" for one in getattr(inner, "routes", ())}
        else:
            assert isinstance(route, Route), route
            found.add(route.path)
    return found - known


def _declared() -> Iterator[Door]:
    for path, (verb, _) in HEALTH.items():
        yield Door("GET", path, verb)
    for path, methods in ADDRESSES.items():
        for method, endpoint in methods.items():
            need = None if isinstance(endpoint.need, NeedNothing) else endpoint.need
            yield Door(method, PREFIX + path, need)
    for path, known in METHODS.items():
        for method in known:
            yield Door(method, path, None)
    for kind, method in Distribution().handlers:
        yield Door(method, TEMPLATES[kind], None if kind in PUBLIC else VERBS[kind, method])


def _with_head(found: Iterator[Door]) -> Iterator[Door]:
    for door in found:
        yield door
        # Of these, Starlette sends HEAD the body too, and servers leave it out.
        if door.method == "GET" and door.template not in HEALTH:
            yield Door("HEAD", door.template, door.verb)


DOORS: Final = doors()
