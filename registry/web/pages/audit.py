"""The audit log: what was done and refused, by whom and from where."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.visit import Visit

HERE: Final = "/ui/audit"
LINES: Final = "application/x-ndjson"
#: Stands for whatever changed something; no action is called so.
CHANGES: Final = "changes"
#: Kinds of actions that can be chosen; whoever wants another one types it.
KINDS: Final = (
    ("", "everything"),
    (CHANGES, "changes alone"),
    ("policy.*", "policies"),
    ("waiver.*", "waivers"),
    ("build.*", "builds, blocks and pins"),
    ("finding.*", "findings"),
    ("version.*", "versions"),
    ("environment.*", "environments"),
    ("namespace.*", "namespaces"),
    ("grant.*", "roles"),
    ("token.*", "tokens"),
    ("principal.*", "accounts"),
    ("login.*", "logins"),
    ("access.refused", "refused requests"),
    ("policy.refused", "refused by a policy"),
    ("admin.read", "read by office"),
    ("quota.*", "quotas"),
)
VIAS: Final = (
    ("", "anything"),
    ("page", "page"),
    ("cli", "command line"),
    ("api", "API"),
    ("registry", "registry"),
    ("login", "login"),
    ("service", "the service itself"),
)
_FIELDS: Final = ("actor", "action", "namespace", "environment", "address", "via")
#: More changed values than these are in the file alone.
_SHOWN: Final = 8
_LONG: Final = 200


async def get_audit(visit: Visit) -> ASGIApp:
    """List the audit log, the newest first."""
    wanted = {name: visit.query.get(name, "").strip() for name in _FIELDS}
    days = {name: visit.query.get(name, "").strip() for name in ("since", "until")}
    problem = ""
    events: Any = {"items": [], "next": None}
    try:
        query = _asked(wanted)
        query |= {"since": _start(days["since"]), "until": _end(days["until"])}
        events = await visit.get("/audit", **query, after=visit.query.get("after"))
    except ApiProblem as refused:
        if refused.status in {401, 403}:
            raise
        problem = refused.message
    filters = {name: value for name, value in (wanted | days).items() if value}
    return visit.render(
        "audit.html",
        status=400 if problem else 200,
        events=[_shown(one) for one in events["items"]],
        next=events["next"],
        filters=filters,
        kinds=_with(KINDS, wanted["action"]),
        vias=VIAS,
        problem=problem,
    )


async def get_audit_file(visit: Visit) -> ASGIApp:
    """Send all that fits as lines of JSON, the oldest first."""
    query = _asked({name: visit.query.get(name, "").strip() for name in _FIELDS})
    query |= {
        "since": _start(visit.query.get("since", "")),
        "until": _end(visit.query.get("until", "")),
    }
    # So that who has to log in is sent there: what is passed on is the API's own answer.
    await visit.get("/audit", limit=1)
    return visit.passing("/audit", {"accept": LINES}, **query)


def _asked(wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Return fields of the page as those of the API."""
    query = {name: value or None for name, value in wanted.items()}
    if wanted["action"] == CHANGES:
        query |= {"action": None, "changes": "true"}
    return query


def _with(kinds: Iterable[tuple[str, str]], chosen: str) -> list[tuple[str, str]]:
    found = list(kinds)
    return found if chosen in dict(found) else [*found, (chosen, chosen)]


def _start(day: str) -> str | None:
    """Return the beginning of a day, UTC."""
    return _moment(day, "since", "T00:00:00Z")


def _end(day: str) -> str | None:
    """Return the end of a day, UTC: it is within what is asked for."""
    return _moment(day, "until", "T23:59:59.999999Z")


def _moment(day: str, field: str, time: str) -> str | None:
    if not day:
        return None
    try:
        found = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as exc:
        message = f"'{day[:20]}' is no day: write it as 2026-11-29"
        raise ApiProblem(400, {"message": message, "field": field}) from exc
    return f"{found.date().isoformat()}{time}"


def _shown(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event with what changed as pairs, each short enough for a line."""
    detail = dict(event["detail"])
    before, after = detail.pop("before", None), detail.pop("after", None)
    changed = []
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*after, *(name for name in before if name not in after)]
        pairs = [(name, _text(before.get(name)), _text(after.get(name))) for name in names]
        changed = [(name, old, new) for name, old, new in pairs if old or new]
    said = [(name, text) for name, value in detail.items() if (text := _text(value))]
    return {
        **event,
        "said": list(islice(said, _SHOWN)),
        "changed": list(islice(changed, _SHOWN)),
        "left_out": max(0, len(said) - _SHOWN) + max(0, len(changed) - _SHOWN),
    }


def _text(value: Any) -> str:
    """Return what stands in a line for a value; findings say themselves what they are."""
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, list):
        said = [
            one["sentence"] if isinstance(one, dict) and "sentence" in one else one for one in value
        ]
        text = "; ".join(one if isinstance(one, str) else json.dumps(one) for one in said)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
