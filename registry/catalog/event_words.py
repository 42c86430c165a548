"""How people tell of what happened: the words for each action, and what else there is to say.

A sentence reads from left to right: who, did what, to which thing, and the rest. Who is left out
where nobody did it, and the thing stands first: "ada/forecast v3 was built". Pages, chat services
and mail are told by the same words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from registry.auth.roles import glob_matches


@dataclass(frozen=True, slots=True)
class Words:
    """How an action is told."""

    #: After who did it; empty: nobody does.
    words: str
    #: After the thing, where nobody did it; empty: the service did.
    passive: str = ""
    state: str = ""
    rest: Callable[[Mapping[str, Any]], str] = field(default=lambda _: "")


def words_of(action: str) -> Words:
    """Return how an action is told; one that is not known here by its own name.

    >>> words_of("version.activated").words, words_of("comet.seen_twice").words
    ('made active', 'comet: seen twice')
    """
    return _ACTIONS.get(action) or Words(action.replace(".", ": ").replace("_", " "))


def problem_of(glob: str) -> str:
    """Say why a glob on actions has none that there is; empty: it has some.

    >>> problem_of("version.*"), problem_of("finding.new")
    ('', "no event is called 'finding.new': there are finding.found, finding.gone")
    >>> problem_of("findings.*")
    "no event is called 'findings.*': write one as version.activated, or several as proposal.*"
    """
    if any(glob_matches(glob, action) for action in _ACTIONS):
        return ""
    kind = glob.partition(".")[0] + "."
    there = ", ".join(action for action in _ACTIONS if action.startswith(kind))
    hint = (
        f"there are {there}"
        if there
        else "write one as version.activated, or several as proposal.*"
    )
    return f"no event is called '{glob}': {hint}"


def alone(words: str) -> str:
    """Return words that nothing follows: "gave a role in" as "gave a role"."""
    return words.removesuffix(" in").removesuffix(" of").removesuffix(" for").removesuffix(" to")


def _changed(detail: Mapping[str, Any]) -> str:
    """Return what was changed, in words."""
    before, after = detail.get("before") or {}, detail.get("after") or {}
    found = []
    if "name" in after:
        found.append(f"renamed from {before.get('name')} to {after['name']}")
    if "owner" in after:
        found.append(f"given from {before.get('owner') or 'nobody'} to {after['owner']}")
    if "description" in after:
        found.append("described anew")
    if "test_command" in after:
        found.append("given another test" if after["test_command"] else "given no test any more")
    return ", ".join(found)


def _message(detail: Mapping[str, Any]) -> str:
    return str(detail.get("message") or "").partition("\n")[0]


def _asked(detail: Mapping[str, Any]) -> str:
    note = (detail.get("after") or {}).get("note")
    reasons = {
        "rebuild": "to have it made again",
        "restore": "as it was before",
        "copy": "by copying",
        "import": "by importing",
        "schedule": "on schedule",
        "file": "since its file has changed",
        "waiver": "since a waiver was granted",
    }
    because = reasons.get(str(detail.get("reason")), "")
    return ": ".join(filter(None, (because, str(note or ""))))


def _proposed(detail: Mapping[str, Any]) -> str:
    return f"in place of v{detail['base']}" if detail.get("base") else ""


def _tested(detail: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (str(detail.get("test") or ""), _message(detail))))


def _role(detail: Mapping[str, Any]) -> str:
    """Return which role, to whom: what admins are told."""
    kind, subject = detail.get("subject_kind"), detail.get("subject")
    whom = {
        "user": str(subject),
        "group": f"group {subject}",
        "authenticated": "everyone who has logged in",
        "everyone": "everyone",
    }.get(str(kind), "")
    if not whom:
        return ""
    role = detail.get("role") or (detail.get("before") or {}).get("role") or "role"
    glob = str(detail.get("globs", "/*")).partition("/")[2]
    parts = f" of {glob}" if glob != "*" else ""
    return f"{role}{parts}: {whom}"


def _waiver(detail: Mapping[str, Any]) -> str:
    if "spec" not in detail:
        return ""
    why = f": {detail['why']}" if detail.get("why") else ""
    return f"{detail['spec']}, from policy {detail['policy']}{why}"


def _moved(detail: Mapping[str, Any]) -> str:
    return f"to {detail['to']}" if detail.get("to") else ""


def _policy(detail: Mapping[str, Any]) -> str:
    name = detail.get("policy")
    file = f", in {detail['file']}" if detail.get("file") else ""
    named = {None: "", "own": "own rules"}.get(name, name)
    return f"{named}{file}"


def _finding(detail: Mapping[str, Any]) -> str:
    found = detail.get("findings") or [{}]
    first, more = str(found[0].get("sentence") or ""), int(detail.get("count") or 1) - 1
    others = f", and {more} more" if more > 0 else ""
    policy = detail.get("policy")
    by = "" if policy is None or f"'{policy}'" in first else f" (policy {policy})"
    return f"{first}{others}{by}"


def _set(detail: Mapping[str, Any]) -> str:
    after = detail.get("after") or {}
    return ", ".join(
        f"{name.replace('_', ' ')}: {'default' if value is None else value}"
        for name, value in after.items()
    )


def _webhook(detail: Mapping[str, Any]) -> str:
    terms = detail.get("after") or detail.get("before") or {}
    to = f" to {terms['to']}" if terms.get("to") else ""
    return f"number {detail['webhook']}{to}" if detail.get("webhook") else ""


def _scheduled(detail: Mapping[str, Any]) -> str:
    """Return what is another about a schedule: when it is due, or whether it is paused."""
    after = detail.get("after") or {}
    found = [str(after[one]) for one in ("cron", "timezone", "then") if one in after]
    if "is_paused" in after and (after["is_paused"] or "cron" not in after):
        found.append("paused" if after["is_paused"] else "resumed")
    return ", ".join(found)


def _named(*names: str) -> Callable[[Mapping[str, Any]], str]:
    """Return what tells the first of some fields that there is."""
    return lambda detail: next((str(detail[one]) for one in names if detail.get(one)), "")


_ACTIONS: Final[Mapping[str, Words]] = {
    "namespace.created": Words("made the namespace"),
    "namespace.updated": Words("changed the namespace", rest=_changed),
    "namespace.deleted": Words("deleted the namespace"),
    "namespace.restored": Words("restored the namespace"),
    "environment.created": Words("made"),
    "environment.updated": Words("changed", rest=_changed),
    "environment.moved": Words("moved", rest=_moved),
    "environment.copied": Words("made a copy"),
    "environment.deleted": Words("deleted"),
    "environment.restored": Words("restored"),
    "version.queued": Words("asked for", rest=_asked),
    "version.building": Words("", "began to be built", state="building"),
    "version.built": Words("", "was built", state="built"),
    "version.unchanged": Words("", "came out unchanged", rest=_message),
    "version.failed": Words("", "failed", state="failed", rest=_message),
    "version.cancelled": Words("cancelled", state="cancelled"),
    "version.activated": Words("made active", "was made active", state="active"),
    "version.imported": Words("imported", rest=_named("source")),
    "version.deleted": Words("deleted", state="deleted"),
    "version.freed": Words("", "gave up its files until somebody wants them"),
    "version.restored": Words("", "has its files again"),
    "environment.archived": Words("archived"),
    "environment.unarchived": Words("took out of the archive"),
    "source.created": Words("set up a source of", rest=_named("source", "name")),
    "source.updated": Words("changed a source of", rest=_named("source", "name")),
    "source.deleted": Words("deleted a source of", rest=_named("source", "name")),
    "source.failed": Words(
        "", "has a source with a problem", state="failed", rest=_named("problem", "source")
    ),
    "source.recovered": Words("", "has a source that works again", rest=_named("source", "path")),
    "schedule.set": Words("set the schedule of", rest=_scheduled),
    "schedule.deleted": Words("deleted the schedule of"),
    "schedule.ran": Words("had solved anew", "is solved anew by its schedule"),
    "schedule.skipped": Words("", "was not solved anew", rest=_named("problem")),
    "proposal.opened": Words("", "is proposed", rest=_proposed),
    "proposal.tested": Words("", "was tested", rest=_tested),
    "proposal.test_asked": Words("asked for another test of"),
    "proposal.activated": Words(
        "accepted the proposal of", "was accepted", state="active", rest=_named("decision")
    ),
    "proposal.rejected": Words("rejected the proposal of", rest=_named("decision")),
    "proposal.replaced": Words("", "is proposed no more", rest=_named("decision")),
    "webhook.created": Words("set up a webhook of", rest=_webhook),
    "webhook.updated": Words("changed a webhook of", rest=_webhook),
    "webhook.deleted": Words("deleted a webhook of", rest=_webhook),
    "webhook.stopped": Words(
        "", "has a webhook that was stopped", state="failed", rest=_named("problem")
    ),
    "webhook.tested": Words("tried a webhook of"),
    "webhook.resent": Words("had an event sent again by a webhook of"),
    "grant.given": Words("gave a role in", rest=_role),
    "grant.taken": Words("took a role back in", rest=_role),
    "waiver.requested": Words("asked for a waiver for", state="waiting", rest=_waiver),
    "waiver.granted": Words("granted a waiver for", state="granted", rest=_waiver),
    "waiver.refused": Words("refused a waiver for", state="refused", rest=_waiver),
    "waiver.withdrawn": Words("withdrew a waiver for", state="withdrawn", rest=_waiver),
    "waiver.ends_soon": Words("", "has a waiver that ends soon", rest=_waiver),
    "waiver.ended": Words(
        "ended a waiver for", "has a waiver no more", state="ended", rest=_waiver
    ),
    "policy.set": Words("set the policy of", rest=_policy),
    "policy.deleted": Words("took away the policy of", rest=_policy),
    "policy.refused": Words("was refused by a policy", rest=_named("sentence")),
    "finding.found": Words("", "has new findings", rest=_finding),
    "finding.gone": Words("", "is free of findings", rest=_finding),
    "build.blocked": Words("blocked a build", state="blocked", rest=_named("reason", "key")),
    "build.unblocked": Words("unblocked a build", rest=_named("key")),
    "quota.set": Words("set the quota of", rest=_set),
    "retention.set": Words("set what is kept of", rest=_set),
    "setting.set": Words("set what clients of conda-store find in", rest=_set),
    "token.created": Words("made a token", rest=_named("name")),
    "token.revoked": Words("revoked a token", rest=_named("name")),
    "principal.created": Words("came for the first time", rest=_named("name", "principal")),
    "principal.updated": Words("changed an account", rest=_named("name", "principal")),
    "principal.disabled": Words("disabled an account", rest=_named("name", "principal")),
    "principal.enabled": Words("let an account in again", rest=_named("name", "principal")),
    "group.created": Words("made a group", rest=_named("group")),
    "group.deleted": Words("deleted a group", rest=_named("group")),
    "member.added": Words("put somebody into a group", rest=_named("group")),
    "member.removed": Words("took somebody out of a group", rest=_named("group")),
    "accounts.changed": Words("changed the auth file"),
    "manifest.pushed": Words("pushed an image to"),
    "manifest.deleted": Words("deleted an image of"),
    "blob.pushed": Words("pushed a layer to"),
    "blob.deleted": Words("deleted a layer of"),
    "build.asked": Words("asked for a build"),
    "build.pinned": Words("pinned a build", rest=_named("key")),
    "build.unpinned": Words("unpinned a build", rest=_named("key")),
    "login.succeeded": Words("logged in", rest=_named("by")),
    "login.failed": Words("failed to log in", state="refused", rest=_named("sentence")),
    "login.confirmed": Words("let a program log in"),
    "access.refused": Words("was refused", state="refused", rest=_named("sentence")),
    "admin.read": Words("read as an administrator or auditor"),
    "audit.purged": Words("removed old events"),
}
