"""Puts the service together from its settings: the one place that chooses drivers.

::

    policy       what holds for builds, as the files of policies and advisories say it
    rules        by which rules things are built here, and which builds nobody may have
    services     everything the faces of a server need
    sources      what answers for images that are built here
    catalog      namespaces, environments, and who follows and works for them
    login        where people log in with a browser
    conda_store  where conda-store's wire is, for its clients
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
from registry.wiring.policy import open_policies
from registry.wiring.rules import GlobalRules, open_judge, open_local_judge
from registry.wiring.schedule import chore_seconds, chores_of
from registry.wiring.services import open_access, open_services
from registry.wiring.sources import Maker, open_maker
from registry.wiring.stores import open_links, open_store, scratch_of
from registry.wiring.workers import open_workers

__all__ = [
    "Builder",
    "GlobalRules",
    "Maker",
    "chore_seconds",
    "chores_of",
    "environment_policy",
    "local_processes",
    "open_access",
    "open_builder",
    "open_judge",
    "open_links",
    "open_local_judge",
    "open_maker",
    "open_policies",
    "open_services",
    "open_store",
    "open_workers",
    "scratch_of",
    "tell_of_sandbox",
]
