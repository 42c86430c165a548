"""A service with something on every page: environments in every state, rules, waivers, people.

All that people can write is hostile (:mod:`conformance.pages.hostile`): a page that shows it as
more than text is found wherever it is.
"""

import json
import shlex
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from conformance.channel.index import index_channel
from conformance.channel.writer import Entry, Package, write_package
from conformance.pages import hostile

#: Asks ``/api/v1`` as somebody: name, method, path, body.
Ask = Callable[..., Awaitable[httpx.Response]]

#: Who has which role in the first namespace; ``root`` is the first administrator, ``bob`` nobody.
IN_NAMESPACE: Final = ("viewer", "editor", "admin", "owner")
EVERYWHERE: Final = ("administrator", "auditor")
PEOPLE: Final = (*IN_NAMESPACE, *EVERYWHERE, "bob", "ada")
#: What is downloaded for ever, if the channel is told so: a version with it is being made.
SLOW: Final = "slow"

#: What a file defines.
MANAGED: Final = "managed"
#: What has been deleted.
GONE: Final = "gone"

_IN_2024, _IN_2025 = 1_704_067_200_000, 1_735_689_600_000
_DESCRIPTION: Final = json.dumps(hostile.PRINTABLE_LINE, ensure_ascii=False)
#: IT's policy, with something of every kind; nothing that is built before breaks what it enforces.
_COMPANY: Final = f"""\
description = {_DESCRIPTION}
contact = {json.dumps("it@example.org " + hostile.PRINTABLE_LINE[:100])}
[packages]
denied = ["forbidden", "unwanted"]
default = ["library"]
[limits]
packages = 5000
"""
#: What finds something in what was built before.
_STRICT: Final = f"""\
description = {_DESCRIPTION}
mode = "warn"
[packages]
denied = ["tool"]
[licences]
unknown = "deny"
"""
_OWN: Final = 'description = "Ours"\n[packages]\ndenied = ["other"]\n'

_SPACE: Final = f"/namespaces/{hostile.SLUG}"
_FORECAST: Final = f"{_SPACE}/environments/forecast"


def write_channel(directory: Path) -> Path:
    """Make a channel of tiny packages, whose records say what they like."""
    library = Package(
        "library",
        "1.0",
        entries=[Entry("lib/library.txt", data=b"x" * 5000)],
        timestamp_ms=_IN_2024,
        license="MIT",
    )
    packages = [library]
    for version, moment in (("1.0", _IN_2024), ("2.0", _IN_2025)):
        tool = [Entry("bin/tool", data=f"#!/bin/sh\necho {version}\n".encode(), mode=0o755)]
        packages += [
            Package(
                "tool",
                version,
                depends=("library",),
                entries=tool,
                timestamp_ms=moment,
                license="MIT",
            ),
            Package(
                "odd",
                version,
                entries=[Entry("share/odd", data=version.encode())],
                timestamp_ms=moment,
                license=hostile.LINE,
                summary=hostile.TEXT,
                home=f"javascript:{hostile.VARIABLE}=6",
            ),
        ]
    for name in ("forbidden", "unwanted", SLOW, *(f"part-{number}" for number in range(60))):
        packages.append(Package(name, "1.0", timestamp_ms=_IN_2024, license="MIT"))
    for package in packages:
        write_package(package, directory)
    (directory / "linux-64").mkdir(exist_ok=True)
    index_channel(directory)
    return directory


async def furnish(ask: Ask, root: str = "root") -> dict[str, str]:
    """Fill a service, and return what stands in the place of each field of an address.

    Args:
        ask: Asks the API as one of :data:`PEOPLE`, or ``root``.
        root: Who is an administrator from the start.
    """

    async def must(who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        reply = await ask(who, method, path, body, **headers)
        assert reply.is_success, f"{method} {path} by {who}: {reply.status_code} {reply.text}"
        is_json = reply.headers.get("content-type") == "application/json"
        return reply.json() if is_json and reply.content else None

    for role in EVERYWHERE:
        await must(root, "POST", "/grants", {"subject": role, "role": role})
    await _namespaces(must, root)
    built = await _environments(must)
    fields = await _rules(must, root)
    fields |= await _automation(must)
    group = await _people(must, root)
    # The last: it is being made from now on.
    wanted = {"specs": [SLOW, "tool"]}
    building = await must("editor", "POST", f"{_FORECAST}/versions?note=slow", wanted)
    return {
        "namespace": hostile.SLUG,
        "environment": "forecast",
        "number": "2",
        "a": "1",
        "b": "2",
        "key": built,
        "building": str(building["number"]),
        "group": group,
        "user": "ada",
        "package": "tool",
        "form": "lock",
        **fields,
    }


async def _namespaces(must: Any, root: str) -> None:
    space = {"name": hostile.NAME, "description": hostile.LONG, "owner": "owner"}
    made = await must(root, "POST", "/namespaces", space)
    assert made["slug"] == hostile.SLUG, made["slug"]
    await must("ada", "POST", "/namespaces", {"name": "ada", "description": "What ada makes"})
    for role in IN_NAMESPACE[:-1]:
        await must("owner", "POST", f"{_SPACE}/grants", {"subject": role, "role": role})
    group = {"subject_kind": "group", "subject": hostile.LINE, "role": "viewer"}
    ends = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    await must("owner", "POST", f"{_SPACE}/grants", {**group, "expires_at": ends})
    await must("owner", "PUT", f"{_SPACE}/policy", _OWN.encode())
    await must(root, "POST", "/namespaces", {"name": GONE, "owner": "ada"})
    await must(root, "DELETE", f"/namespaces/{GONE}")


async def _environments(must: Any) -> str:
    """Make environments; return the key of a build that is blocked later."""
    new = {"name": "forecast", "description": hostile.LONG}
    await must("editor", "POST", f"{_SPACE}/environments", new)
    file = f"# {hostile.LINE}\nchannels: [main]\ndependencies:\n- tool=1.0  # {hostile.LINE}\n"
    await _built(must, "editor", _FORECAST, file.encode())
    parts = [f"part-{number}" for number in range(60)]
    wanted = {"specs": ["tool 2.0", "odd 2.0", *parts]}
    await _built(must, "editor", _FORECAST, wanted)
    failed = {"specs": ["tool 3.0", "absent-package"]}
    await _ended(must, "editor", _FORECAST, failed, "failed")
    await must("editor", "POST", f"{_SPACE}/environments", {"name": hostile.NAME})
    await must("editor", "POST", f"{_SPACE}/environments", {"name": "empty"})
    await must("editor", "POST", f"{_SPACE}/environments", {"name": GONE})
    await must("admin", "DELETE", f"{_SPACE}/environments/{GONE}")
    await must("ada", "POST", "/namespaces/ada/environments", {"name": "notebook"})
    blocked = await _built(
        must, "ada", "/namespaces/ada/environments/notebook", {"specs": ["odd 1.0"]}
    )
    key: str = blocked["key"]
    return key


async def _rules(must: Any, root: str) -> dict[str, str]:
    """Set policies, ask for waivers, block a build; return the fields of their addresses."""
    await must(root, "PUT", "/policies/company", _COMPANY.encode())
    await must(root, "PUT", "/policies/strict", b'mode = "warn"\n' + b"[limits]\npackages = 9\n")
    await must(root, "PUT", "/policies/strict", _STRICT.encode())
    await _ended(must, "editor", _FORECAST, {"specs": ["forbidden"]}, "failed")
    asked = {"reason": hostile.TEXT, "environment": f"{hostile.SLUG}/forecast"}
    waiting = (await must("editor", "POST", "/waivers", asked))["items"][0]["id"]
    numbers = []
    for spec in ("forbidden 1.0", "forbidden 0.9", "forbidden 0.8"):
        asked = {"reason": hostile.TEXT, "policy": "company", "spec": spec}
        numbers.append((await must("ada", "POST", "/waivers", asked))["items"][0]["id"])
    granted, refused, withdrawn = numbers
    yes = {"grant": True, "reason": hostile.TEXT, "expires_at": "2030-01-01T00:00:00Z"}
    await must(root, "POST", f"/waivers/{granted}/decision", yes)
    no = {"grant": False, "reason": hostile.TEXT}
    await must(root, "POST", f"/waivers/{refused}/decision", no)
    await must("ada", "DELETE", f"/waivers/{withdrawn}")
    return {"waiver": str(waiting), "policy": "company"}


async def _automation(must: Any) -> dict[str, str]:
    """Make a schedule, a proposal, a source and a webhook; return the fields of their addresses."""
    weekly = {"cron": "weekly", "timezone": "Europe/Berlin", "then": "test"}
    await must("editor", "PUT", f"{_FORECAST}/schedule", weekly)
    tested = {"test_command": f"echo {shlex.quote(hostile.PRINTABLE_LINE)}; exit 3"}
    await must("editor", "PATCH", _FORECAST, tested)
    proposed = {"specs": ["tool 1.0", "odd 2.0"]}
    await _ended(must, "editor", _FORECAST, proposed, "built", propose="true")
    proposal = (await must("editor", "GET", _FORECAST))["proposal"]
    source = {"name": hostile.NAME, "kind": "remote", "location": hostile.LINE}
    made = await must("admin", "POST", "/sources", {**source, "namespace": hostile.SLUG})
    for name, text in ((MANAGED, "dependencies: [tool]"), (MANAGED, "dependencies: [tool, {")):
        path = f"{name}/environment.yml"
        files = f"/sources/{made['id']}/files/{quote(path, safe='')}?environment={name}"
        await must("admin", "PUT", files, f"# {hostile.LINE}\n{text}\n".encode())
    to = {"url": f"https://example.org/{'x' * 200}", "namespace": hostile.SLUG}
    webhook = await must("admin", "POST", "/webhooks", to)
    await must("admin", "POST", f"/webhooks/{webhook['id']}/ping")
    return {
        "proposal": str(proposal),
        "source": str(made["id"]),
        "webhook": str(webhook["id"]),
    }


async def _people(must: Any, root: str) -> str:
    """Make groups, tokens and robots; return the name of a group."""
    group = "data"
    await must(root, "PUT", f"/groups/{group}")
    await must(root, "PUT", f"/groups/{group}/members/ada")
    token = {"name": hostile.LINE, "scopes": [f"{hostile.SLUG}/*:pull"]}
    await must("ada", "POST", "/tokens", token)
    await must("editor", "POST", "/tokens", token)
    await must(root, "POST", "/tokens", {"name": hostile.LINE, "kind": "robot", "user": "ci"})
    await must(root, "POST", "/grants", {"subject": "ci", "role": "viewer"})
    return group


async def _built(must: Any, who: str, environment: str, specification: Any) -> Any:
    return await _ended(must, who, environment, specification, "built")


async def _ended(
    must: Any, who: str, environment: str, wanted: Any, state: str, **query: str
) -> Any:
    """Ask for a version, and return it when it has ended as it is meant to."""
    asked = httpx.QueryParams({"note": hostile.TEXT[:900], **query})
    number = (await must(who, "POST", f"{environment}/versions?{asked}", wanted))["number"]
    here = f"{environment}/versions/{number}"
    # It is over when the version has ended.
    await must(who, "GET", f"{here}/progress", accept="text/event-stream")
    version = await must(who, "GET", here)
    assert version["state"] == state, version
    return version


async def block(ask: Ask, key: str, root: str = "root") -> None:
    """Let nobody have a build any more."""
    reply = await ask(root, "POST", "/blocks", {"key": key, "reason": hostile.TEXT})
    assert reply.is_success, reply.text


#: Fields whose meaning their address tells, by what comes before them.
_BY_PLACE: Final = {
    "waivers": "waiver",
    "policies": "policy",
    "users": "user",
    "groups": "group",
    "proposals": "proposal",
    "sources": "source",
    "webhooks": "webhook",
}


def filled(template: str, fields: Mapping[str, str]) -> str:
    """Return an address of a page, or of the API, that there is.

    >>> filled("/ui/waivers/{id}", {"waiver": "7"}), filled("/{namespace}", {"namespace": "ada"})
    ('/ui/waivers/7', '/ada')

    Raises:
        KeyError: Nothing is known to stand in the place of a field: add it to :func:`furnish`.
    """
    if template.endswith("{environment}/-/restore"):
        fields = {**fields, "environment": GONE}
    parts = template.split("/")
    for place, part in enumerate(parts):
        if part.startswith("{") and part.endswith("}"):
            name = part[1:-1]
            before = parts[place - 1] if place else ""
            known = name if name in fields else _BY_PLACE.get(before, name)
            parts[place] = fields[known]
    return "/".join(parts)
