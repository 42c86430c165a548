"""Everything of the catalog that faces are answered from."""

from dataclasses import dataclass

from registry.catalog.accounts import CatalogAccounts, CatalogSessions
from registry.catalog.active_versions import ActiveVersions
from registry.catalog.active_waiting import ActiveWaiting
from registry.catalog.audit import Audit
from registry.catalog.blocks import Blocks
from registry.catalog.build_ids import BuildIds
from registry.catalog.catalog_counts import Counts
from registry.catalog.conda_store_settings import CondaStoreSettings
from registry.catalog.contents import VersionContents
from registry.catalog.counted_builds import CountedBuilds
from registry.catalog.counted_lists import CountedLists
from registry.catalog.deliveries import Deliveries
from registry.catalog.device_logins import CatalogDeviceLogins
from registry.catalog.differences import VersionDifferences
from registry.catalog.due_schedules import DueSchedules
from registry.catalog.environments import Environments
from registry.catalog.events import Events
from registry.catalog.findings import Findings
from registry.catalog.follower import Follower
from registry.catalog.grants import Grants
from registry.catalog.groups import Groups
from registry.catalog.idempotency import Idempotency
from registry.catalog.importing import Imports
from registry.catalog.managed import Managements
from registry.catalog.namespaces import Namespaces
from registry.catalog.outgoing import OutgoingWebhooks
from registry.catalog.overviews import Overviews
from registry.catalog.package_users import PackageDirectory
from registry.catalog.people import People
from registry.catalog.policies import Policies
from registry.catalog.principals import Principals
from registry.catalog.proposals import Proposals
from registry.catalog.queue import QueueReports
from registry.catalog.quotas import Quotas
from registry.catalog.retention import Retentions
from registry.catalog.schedules import Schedules
from registry.catalog.source_files import SourceFiles
from registry.catalog.sources import Sources
from registry.catalog.tokens import TokenStore
from registry.catalog.trials import Trials
from registry.catalog.usage import UsageReports
from registry.catalog.versions import Versions
from registry.catalog.waivers import Waivers
from registry.catalog.webhooks import Webhooks
from registry.policy.book import PolicyBook
from registry.sources.directory import Directory


@dataclass(frozen=True, slots=True)
class CatalogServices:
    """The catalog; made by wiring where there is a database."""

    namespaces: Namespaces
    environments: Environments
    versions: Versions
    #: Takes over what another system has made.
    imports: Imports
    #: Finds versions by the numbers that conda-store's clients know.
    build_ids: BuildIds
    #: List by pages with numbers, as these clients ask for.
    counted: CountedLists
    counted_builds: CountedBuilds
    #: What those have set.
    conda_store_settings: CondaStoreSettings
    #: List what nodes keep as directories, and tell when that changes.
    active_versions: ActiveVersions
    active_waiting: ActiveWaiting
    #: Tells what versions consist of.
    contents: VersionContents
    #: Reads what versions are compared by.
    differences: VersionDifferences
    #: Tells how environments are doing.
    overviews: Overviews
    #: Finds environments by what is in them.
    packages: PackageDirectory
    schedules: Schedules
    #: Carries out schedules that are due.
    due_schedules: DueSchedules
    waivers: Waivers
    #: Where files are that define environments, and what they say.
    sources: Sources
    source_files: SourceFiles
    #: Tells which files define environments.
    managements: Managements
    webhooks: Webhooks
    deliveries: Deliveries
    #: Knows what is to be sent to webhooks.
    outgoing: OutgoingWebhooks
    #: Versions that wait for somebody to activate them.
    proposals: Proposals
    policies: Policies
    findings: Findings
    blocks: Blocks
    #: Tells what a policy would find.
    trials: Trials
    #: What holds for builds, in memory.
    book: PolicyBook
    events: Events
    audit: Audit
    grants: Grants
    quotas: Quotas
    retentions: Retentions
    usage: UsageReports
    #: Counts everything.
    counts: Counts
    tokens: TokenStore
    principals: Principals
    #: Whoever there is, of the auth file too.
    people: People
    groups: Groups
    #: Tells what is under way.
    queue: QueueReports
    idempotency: Idempotency
    #: Waits until all servers know of a change.
    follower: Follower
    #: Where environments lead to, in memory.
    directory: Directory
    #: What logging in with a browser, or for a program, needs.
    accounts: CatalogAccounts
    sessions: CatalogSessions
    devices: CatalogDeviceLogins
