"""Requirements as rattler's match specs."""

import rattler

from builder.solve.failures import mapped_failures
from builder.spec import Channel, Requirement


def to_match_spec(wanted: Requirement, home: Channel) -> rattler.MatchSpec:
    """Return the match spec, with the channel by address: its name may mean another to rattler."""
    version = f',version="{wanted.conditions}"' if wanted.conditions else ""
    build = f',build="{wanted.build}"' if wanted.build else ""
    with mapped_failures([home]):
        return rattler.MatchSpec(f'{wanted.name}[channel="{home.url}"{version}{build}]')
