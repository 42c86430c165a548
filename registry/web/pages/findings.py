"""Findings: what policies have against builds that there are, and what to do about each."""

import asyncio
from typing import Final

from starlette.types import ASGIApp

from registry.web.pages.visit import Visit

HERE: Final = "/ui/findings"


async def get_findings(visit: Visit) -> ASGIApp:
    """List findings of what whoever looks may see, those of active versions unless all are wanted.

    Of versions that are not active, nobody has to do anything.
    """
    query = visit.query
    policy, namespace = query.get("policy", ""), query.get("namespace", "")
    environment, every = query.get("environment", ""), query.get("every", "") == "on"
    findings, policies = await asyncio.gather(
        visit.get(
            "/findings",
            policy=policy or None,
            namespace=namespace or None,
            environment=environment or None,
            active=None if every else "true",
            after=query.get("after"),
        ),
        visit.get("/policies"),
    )
    filters = {
        "policy": policy,
        "namespace": namespace,
        "environment": environment,
        "every": "on" if every else "",
    }
    return visit.render(
        "findings.html",
        findings=findings["items"],
        next=findings["next"],
        policies=[one["name"] for one in policies["items"]],
        filters={name: value for name, value in filters.items() if value},
        is_overview=visit.service_role is not None,
    )
