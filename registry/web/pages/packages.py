"""Who has a package: environments whose active version has it, and their owners."""

from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.visit import Visit

HERE: Final = "/ui/packages"
#: So many versions that there are can be chosen.
_VERSIONS: Final = 30
_FIELDS: Final = ("name", "version", "manager", "namespace")


async def get_packages(visit: Visit) -> ASGIApp:
    """List the environments that have a package, of what whoever looks may see."""
    typed = {name: visit.query.get(name, "").strip() for name in _FIELDS}
    found: Any = None
    problem: ApiProblem | None = None
    if typed["name"]:
        try:
            found = await visit.get(
                f"/packages/{visit.quoted(typed['name'])}/environments",
                version=typed["version"] or None,
                manager=typed["manager"] or None,
                namespace=typed["namespace"] or None,
                after=visit.query.get("after"),
            )
        except ApiProblem as refused:
            if refused.status == 401:
                raise
            problem = refused
    return visit.render(
        "packages.html",
        status=problem.status if problem is not None else 200,
        found=found,
        versions=found["versions"][:_VERSIONS] if found else [],
        filters={name: value for name, value in typed.items() if value},
        problem=problem,
    )
