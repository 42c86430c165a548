"""What policies say in one place, for those who are there: of other places, nothing."""

from dataclasses import replace
from typing import Final

from builder.rules.matching import PackagePattern
from builder.rules.model import Manager
from registry.policy.documents import PackagesTable, PolicyDocument
from registry.policy.policy import Policy, holds_in
from registry.policy.sentences import sentences_of

#: What a rule can be about: the tables of a policy.
_KINDS: Final = frozenset(
    name for name, field in PolicyDocument.model_fields.items() if field.default is None
)


def sentences_in(policy: Policy, namespace: str | None) -> tuple[str, ...]:
    """Return what a policy says in a namespace, in plain English.

    Where channels are allowed in other namespaces alone, those are not named.

    Args:
        policy: It holds there.
        namespace: By its slug; ``None``: for what belongs to none.
    """
    document, table = policy.document, policy.document.channels
    if table is None or not table.only_in:
        return policy.sentences()
    here = [
        name
        for name in table.allowed
        if name not in table.only_in or holds_in(table.only_in[name], namespace)
    ]
    if not here:
        rest = document.model_copy(update={"channels": None})
        return ("Packages come from no channel here.", *sentences_of(rest))
    channels = table.model_copy(update={"allowed": here, "only_in": {}})
    return tuple(sentences_of(document.model_copy(update={"channels": channels})))


def sentences_about(
    policy: Policy, namespace: str | None, kind: str, package: str, manager: Manager
) -> tuple[str, ...]:
    """Return what a policy says in a namespace of one thing, as far as a package is concerned.

    Args:
        policy: It holds there.
        namespace: By its slug; ``None``: for what belongs to none.
        kind: What its rule is about, e.g. ``"age"``; of what is none, all that it says.
        package: Its name; packages that are denied are told of that name alone.
        manager: Who installs it.
    """
    if kind not in _KINDS:
        return sentences_in(policy, namespace)
    document = policy.document.model_copy(update=dict.fromkeys(_KINDS - {kind}))
    if document.packages is not None:
        denied = [
            one
            for one in document.packages.denied
            if one.manager == manager and PackagePattern(one.spec, manager).names(package)
        ]
        document = document.model_copy(update={"packages": PackagesTable(denied=denied)})
    return sentences_in(replace(policy, document=document), namespace)
