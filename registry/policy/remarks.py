"""What is odd about a policy, though it can be used: most likely, something in it is misspelt."""

from collections.abc import Collection, Iterator

from builder.rules.licences import names_no_licence
from registry.policy.documents import PolicyDocument
from registry.policy.sentences import listed


def remarks_on(
    document: PolicyDocument, channels: Collection[str], *, knows_advisories: bool
) -> Iterator[str]:
    """Yield a sentence for each thing in a policy that does nothing here.

    Args:
        document: What the policy says.
        channels: Names of those that this server offers.
        knows_advisories: Whether it knows any.
    """
    if document.channels is not None:
        unknown = [name for name in document.channels.allowed if name not in channels]
        if unknown:
            yield (
                f"{_are(unknown, 'channels.allowed')} no channel of this server, which has"
                f" {listed(sorted(channels)) if channels else 'none'}: nothing comes from there."
            )
    if document.packages is not None:
        named = (one.spec.partition("::") for one in document.packages.denied)
        strange = dict.fromkeys(name for name, mark, _ in named if mark and name not in channels)
        if strange:
            yield (
                f"{_are(list(strange), 'packages.denied')} no channel of this server: such a spec"
                " denies nothing."
            )
    if document.licences is not None:
        for field, patterns, does in (
            ("allowed", document.licences.allowed, "allows"),
            ("denied", document.licences.denied, "denies"),
        ):
            for pattern in filter(names_no_licence, patterns):
                yield (
                    f"'{pattern}' of licences.{field} names no licence of SPDX: it {does} nothing."
                )
    if document.advisories is not None and not knows_advisories:
        yield (
            "No advisory is known on this server, so that [advisories] refuses nothing:"
            " PULLFORGE_ADVISORIES names where they are."
        )


def _are(names: list[str], field: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"{listed(quoted)} of {field} {'is' if len(names) == 1 else 'are'}"
