"""Puts the service together from its settings: the one place that chooses drivers.

::

    services     everything the faces of a server need
    sources      what answers for images that are built here
    catalog      namespaces, environments, and who follows and works for them
    login        where people log in with a browser
    schedule     which periodic jobs there are
    workers      what has work done by workers elsewhere
    building     what turns names into images, with or without a server around it
    network      where a builder may connect to, and how rattler and uv get out
    stores       where everything is kept
"""

from registry.wiring.building import (
    Builder,
    environment_policy,
    local_processes,
    open_builder,
    tell_of_sandbox,
)
from registry.wiring.schedule import chore_seconds, chores_of
from registry.wiring.services import open_access, open_services
from registry.wiring.sources import Maker, open_maker
from registry.wiring.stores import open_links, open_store, scratch_of
from registry.wiring.workers import open_workers

__all__ = [
    "Builder",
    "Maker",
    "chore_seconds",
    "chores_of",
    "environment_policy",
    "local_processes",
    "open_access",
    "open_builder",
    "open_links",
    "open_maker",
    "open_services",
    "open_store",
    "open_workers",
    "scratch_of",
    "tell_of_sandbox",
]
