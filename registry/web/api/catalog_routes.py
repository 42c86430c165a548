"""The table of the catalog's addresses: who may, what is sent, what is answered.

::

    GET POST               /namespaces
    GET PATCH DELETE       /namespaces/<namespace>
    POST                   …/restore
    GET                    …/events
    GET POST               …/grants                          GET DELETE  …/grants/<id>
    GET PUT                …/quota  …/retention              POST  …/retention/preview  …/free
    GET                    …/usage  …/access  …/members
    GET POST               …/environments
    GET PATCH DELETE       …/environments/<environment>
    POST                   …/restore  …/move  …/copy
    GET PUT                …/active
    GET                    …/events  …/access  …/usage  …/diff/<a>/<b>
    GET                    …/badge.svg  …/versions.atom      for pages and readers elsewhere
    GET POST               …/versions                        GET DELETE  …/versions/<number>
    GET PUT                …/imported-versions               of another system
    GET PUT DELETE         …/schedule                        POST  …/schedule/run
    GET                    …/specification  …/log  …/progress  …/packages  …/layers  …/<form>
    GET                    …/packages/<sha256>
    POST                   …/cancel
    GET                    /environments                     all that one may see
    GET                    /active-versions                  what nodes keep as directories
    GET                    /packages/<package>/environments  those that have a package
    GET POST               /grants                           GET DELETE  /grants/<id>
    GET POST               /tokens                           GET DELETE  /tokens/<id>
    DELETE                 /tokens/current                   the one that is sent
    GET PUT DELETE         …/policy                          GET  …/findings
    GET                    /policies  /findings              POST  /policies/test
    GET PUT DELETE         /policies/<policy>                  GET  /policies/<policy>/versions
    GET POST               /blocks                           DELETE  /blocks/<key>
    GET                    /schedules                        all that one may see
    GET POST               /waivers                          GET DELETE  /waivers/<id>
    POST                   …/decision
    GET                    /proposals  /proposals/<id>
    POST                   …/decision  …/test
    GET POST               /sources                          GET PATCH DELETE  /sources/<id>
    POST                   …/look                            POST DELETE  …/hook
    GET                    …/files                           PUT DELETE  …/files/<path>
    GET POST               /webhooks                         GET PATCH DELETE  /webhooks/<id>
    POST                   …/rotate  …/ping
    GET                    …/deliveries                      GET  …/deliveries/<delivery>
    POST                   …/resend
    GET                    /users/me  /users/me/roles  /events  /audit
    GET                    /users  /users/<user>/roles       GET PATCH   /users/<user>
    GET                    /groups                           GET PUT DELETE  /groups/<group>
    GET                    /groups/<group>/members           PUT DELETE  …/members/<user>
    GET DELETE             /sessions                         DELETE  /sessions/<id>
    GET                    /queue                            what is made, and what waits
"""

from functools import partial
from typing import Final, get_args

from builder.exports import ExportFormat
from registry.web.api import (
    accounts,
    active_versions,
    audit,
    badges,
    blocks,
    catalog_events,
    contents,
    diffs,
    environments,
    feeds,
    findings,
    imports,
    limits,
    members,
    namespaces,
    people,
    policies,
    proposals,
    queue,
    schedules,
    sessions,
    sources,
    usage,
    version_progress,
    versions,
    waivers,
    webhooks,
)
from registry.web.api.catalog_documents import (
    AccessDocument,
    AuditPage,
    EnvironmentDocument,
    EnvironmentPage,
    EventPage,
    GrantDocument,
    GrantPage,
    NamespaceDocument,
    NamespacePage,
    NewEnvironmentDocument,
    NewTokenDocument,
    TokenDocument,
    TokenPage,
    UserDocument,
    VersionDocument,
    VersionPage,
)
from registry.web.api.content_documents import LayersDocument, PackagePage, PackageUserPage
from registry.web.api.diff_documents import DiffDocument
from registry.web.api.endpoints import (
    ANYONE,
    LOGIN,
    Endpoint,
    NeedRole,
    NeedServiceRole,
)
from registry.web.api.limits import FreedDocument, QuotaDocument, RetentionDocument
from registry.web.api.members import NamespaceAccessDocument, NamespaceMembersDocument
from registry.web.api.models import (
    Activation,
    ActiveVersionsQuery,
    AuditQuery,
    DeliveriesQuery,
    DiffQuery,
    EndedSessionsQuery,
    EnvironmentChange,
    EnvironmentQuery,
    EnvironmentsQuery,
    FindingsQuery,
    FormQuery,
    GrantsQuery,
    GroupsQuery,
    LayersQuery,
    NamespaceChange,
    NamespaceEnvironmentsQuery,
    NamespacesQuery,
    NamespacesUsageQuery,
    NewBlock,
    NewEnvironment,
    NewEnvironmentQuery,
    NewGrant,
    NewNamespace,
    NewServiceGrant,
    NewSource,
    NewToken,
    NewVersionQuery,
    NewWaiver,
    NewWebhook,
    NumberPageQuery,
    PackageUsersQuery,
    PageQuery,
    ProposalDecision,
    ProposalsQuery,
    QueueQuery,
    QuotaValues,
    RetentionTrial,
    RetentionValues,
    SbomQuery,
    SchedulesQuery,
    ScheduleValues,
    SessionsQuery,
    SourceChange,
    SourceFileQuery,
    SourceFilesQuery,
    SourcesQuery,
    Target,
    TokensQuery,
    UsagePageQuery,
    UsageQuery,
    UserChange,
    UsersQuery,
    VersionPackagesQuery,
    WaitedQuery,
    WaiverDecision,
    WaiversQuery,
    WebhookChange,
    WebhooksQuery,
)
from registry.web.api.people_documents import (
    AccountDocument,
    AccountPage,
    EndedSessionsDocument,
    GroupDocument,
    GroupPage,
    MemberDocument,
    MemberPage,
    QueueDocument,
    RolesDocument,
    SessionPage,
)
from registry.web.api.policy_documents import (
    BlockDocument,
    BlockPage,
    FindingPage,
    NamedPolicyDocument,
    OwnPolicyDocument,
    PolicyPage,
    PolicyTextPage,
    TrialDocument,
)
from registry.web.api.progress_documents import VersionProgressDocument
from registry.web.api.proposal_documents import (
    ProposalDetails,
    ProposalDocument,
    ProposalPage,
)
from registry.web.api.schedule_documents import ScheduleDocument, SchedulePage
from registry.web.api.source_documents import (
    HookDocument,
    SourceDocument,
    SourceFileDocument,
    SourceFilePage,
    SourcePage,
)
from registry.web.api.usage import (
    EnvironmentUsageDocument,
    NamespaceUsageDocument,
    NamespaceUsagePage,
)
from registry.web.api.waiver_documents import WaiverDetails, WaiverDocument, WaiverPage
from registry.web.api.webhook_documents import (
    DeliveryDocument,
    DeliveryPage,
    NewWebhookDocument,
    WebhookDocument,
    WebhookPage,
)

_ADMINISTRATOR: Final = NeedServiceRole("administrator")
_INSIDE: Final = NeedRole("viewer", "inside")
_ADMIN: Final = NeedRole("admin", "namespace")
_VIEW: Final = NeedRole("viewer", "environment")
_EDIT: Final = NeedRole("editor", "environment")
_DELETE: Final = NeedRole("admin", "environment")

_AUDITOR: Final = NeedServiceRole("auditor")

_POLICY_FILE: Final = "A policy as TOML, or JSON with its `text`."

_POLICY: Final[dict[str, Endpoint]] = {
    "GET": Endpoint(NeedServiceRole("auditor"), policies.get_policy, answer=NamedPolicyDocument),
    "PUT": Endpoint(
        _ADMINISTRATOR,
        policies.put_policy,
        body_kind="file",
        about_file=_POLICY_FILE,
        answer=NamedPolicyDocument,
        is_conditional=True,
    ),
    "DELETE": Endpoint(
        _ADMINISTRATOR, policies.delete_policy, statuses=(204,), is_conditional=True
    ),
}

_NAMESPACES: Final[dict[str, dict[str, Endpoint]]] = {
    "": {
        "GET": Endpoint(
            ANYONE, namespaces.get_namespaces, query=NamespacesQuery, answer=NamespacePage
        ),
        "POST": Endpoint(
            LOGIN,
            namespaces.post_namespace,
            body=NewNamespace,
            body_kind="json",
            answer=NamespaceDocument,
            statuses=(201,),
            further=namespaces.needs_of_new_namespace,
        ),
    },
    "/{namespace}": {
        "GET": Endpoint(_INSIDE, namespaces.get_namespace, answer=NamespaceDocument),
        "PATCH": Endpoint(
            _ADMIN,
            namespaces.patch_namespace,
            body=NamespaceChange,
            body_kind="json",
            answer=NamespaceDocument,
            further=namespaces.needs_of_namespace_change,
            is_conditional=True,
        ),
        "DELETE": Endpoint(
            _ADMIN, namespaces.delete_namespace, statuses=(204,), is_conditional=True
        ),
    },
    "/{namespace}/restore": {
        "POST": Endpoint(
            LOGIN,
            namespaces.post_namespace_restore,
            answer=NamespaceDocument,
            further=namespaces.needs_of_restored_namespace,
        ),
    },
    "/{namespace}/events": {
        "GET": Endpoint(
            _INSIDE,
            catalog_events.get_namespace_events,
            query=NumberPageQuery,
            answer=EventPage,
            is_stream=True,
        ),
    },
    "/{namespace}/access": {
        "GET": Endpoint(_INSIDE, members.get_namespace_access, answer=NamespaceAccessDocument),
    },
    "/{namespace}/members": {
        "GET": Endpoint(
            NeedRole("viewer", "namespace"),
            members.get_namespace_members,
            query=PageQuery,
            answer=NamespaceMembersDocument,
        ),
    },
    "/{namespace}/grants": {
        "GET": Endpoint(_ADMIN, namespaces.get_grants, query=NumberPageQuery, answer=GrantPage),
        "POST": Endpoint(
            _ADMIN,
            namespaces.post_grant,
            body=NewGrant,
            body_kind="json",
            answer=GrantDocument,
            statuses=(201,),
            further=namespaces.needs_of_new_grant,
        ),
    },
    "/{namespace}/grants/{id}": {
        "GET": Endpoint(_ADMIN, namespaces.get_grant, answer=GrantDocument),
        "DELETE": Endpoint(
            _ADMIN,
            namespaces.delete_grant,
            statuses=(204,),
            further=namespaces.needs_of_taken_grant,
        ),
    },
    "/{namespace}/quota": {
        "GET": Endpoint(_ADMIN, limits.get_quota, answer=QuotaDocument),
        "PUT": Endpoint(
            _ADMINISTRATOR,
            limits.put_quota,
            body=QuotaValues,
            body_kind="json",
            answer=QuotaDocument,
            is_conditional=True,
        ),
    },
    "/{namespace}/retention": {
        "GET": Endpoint(_ADMIN, limits.get_retention, answer=RetentionDocument),
        "PUT": Endpoint(
            _ADMIN,
            limits.put_retention,
            body=RetentionValues,
            body_kind="json",
            answer=RetentionDocument,
            is_conditional=True,
        ),
    },
    "/{namespace}/retention/preview": {
        "POST": Endpoint(
            _ADMIN,
            limits.post_retention_preview,
            body=RetentionTrial,
            body_kind="json",
            answer=FreedDocument,
            statuses=(200, 202),
        ),
    },
    "/{namespace}/retention/free": {
        "POST": Endpoint(
            _ADMIN,
            limits.post_free,
            answer=FreedDocument,
            statuses=(200, 202),
        ),
    },
    "/{namespace}/usage": {
        "GET": Endpoint(
            NeedRole("viewer", "namespace"),
            usage.get_namespace_usage,
            query=UsagePageQuery,
            answer=NamespaceUsageDocument,
        ),
    },
    "/{namespace}/policy": {
        "GET": Endpoint(_INSIDE, policies.get_own_policy, answer=OwnPolicyDocument),
        "PUT": Endpoint(
            _ADMIN,
            policies.put_own_policy,
            body_kind="file",
            about_file=_POLICY_FILE,
            answer=OwnPolicyDocument,
            is_conditional=True,
        ),
        "DELETE": Endpoint(
            _ADMIN, policies.delete_own_policy, statuses=(204,), is_conditional=True
        ),
    },
    "/{namespace}/findings": {
        "GET": Endpoint(
            _INSIDE, findings.get_namespace_findings, query=FindingsQuery, answer=FindingPage
        ),
    },
    "/{namespace}/environments": {
        "GET": Endpoint(
            _INSIDE,
            environments.get_environments,
            query=NamespaceEnvironmentsQuery,
            answer=EnvironmentPage,
            further=environments.needs_of_deleted,
        ),
        "POST": Endpoint(
            NeedRole("editor", "namespace"),
            environments.post_environment,
            query=NewEnvironmentQuery,
            body=NewEnvironment,
            body_kind="json or file",
            answer=NewEnvironmentDocument,
            statuses=(201,),
        ),
    },
}

_ENVIRONMENT: Final[dict[str, dict[str, Endpoint]]] = {
    "": {
        "GET": Endpoint(
            _VIEW,
            environments.get_environment,
            query=EnvironmentQuery,
            answer=EnvironmentDocument,
        ),
        "PATCH": Endpoint(
            _EDIT,
            environments.patch_environment,
            body=EnvironmentChange,
            body_kind="json",
            answer=EnvironmentDocument,
            further=environments.needs_of_environment_change,
            is_conditional=True,
        ),
        "DELETE": Endpoint(
            _DELETE, environments.delete_environment, statuses=(204,), is_conditional=True
        ),
    },
    "/restore": {
        # Roles on an environment alone are put away with it.
        "POST": Endpoint(_ADMIN, environments.post_environment_restore, answer=EnvironmentDocument),
    },
    "/move": {
        "POST": Endpoint(
            _DELETE,
            environments.post_move,
            body=Target,
            body_kind="json",
            answer=EnvironmentDocument,
            further=environments.needs_of_target,
        ),
    },
    "/copy": {
        "POST": Endpoint(
            _VIEW,
            environments.post_copy,
            body=Target,
            body_kind="json",
            answer=EnvironmentDocument,
            statuses=(201,),
            further=environments.needs_of_target,
        ),
    },
    "/active": {
        "GET": Endpoint(_VIEW, versions.get_active, answer=VersionDocument),
        "PUT": Endpoint(
            _EDIT,
            versions.put_active,
            body=Activation,
            body_kind="json",
            answer=VersionDocument,
            is_conditional=True,
        ),
    },
    "/imported-versions": {
        "GET": Endpoint(
            _ADMINISTRATOR,
            imports.get_imported_versions,
            query=imports.ImportedVersionsQuery,
            answer=imports.ImportedVersionPage,
        ),
        "PUT": Endpoint(
            _ADMINISTRATOR,
            imports.put_imported_versions,
            body=imports.ImportedVersions,
            body_kind="json",
            answer=imports.ImportedDocument,
            is_large=True,
        ),
    },
    "/access": {"GET": Endpoint(_VIEW, environments.get_access, answer=AccessDocument)},
    "/events": {
        "GET": Endpoint(
            _VIEW,
            catalog_events.get_environment_events,
            query=NumberPageQuery,
            answer=EventPage,
            is_stream=True,
        ),
    },
    "/usage": {
        "GET": Endpoint(
            _VIEW, usage.get_environment_usage, query=UsageQuery, answer=EnvironmentUsageDocument
        ),
    },
    "/badge.svg": {
        "GET": Endpoint(
            _VIEW, badges.get_badge, answer=str, media_type=badges.MEDIA_TYPE, statuses=(200, 304)
        ),
    },
    "/versions.atom": {
        "GET": Endpoint(
            _VIEW, feeds.get_feed, answer=str, media_type=feeds.MEDIA_TYPE, statuses=(200, 304)
        ),
    },
    "/diff/{a}/{b}": {
        "GET": Endpoint(_VIEW, diffs.get_version_diff, query=DiffQuery, answer=DiffDocument),
    },
    "/schedule": {
        "GET": Endpoint(_VIEW, schedules.get_schedule, answer=ScheduleDocument),
        "PUT": Endpoint(
            _EDIT,
            schedules.put_schedule,
            body=ScheduleValues,
            body_kind="json",
            answer=ScheduleDocument,
            is_conditional=True,
        ),
        "DELETE": Endpoint(_EDIT, schedules.delete_schedule, statuses=(204,), is_conditional=True),
    },
    "/schedule/run": {
        "POST": Endpoint(
            _EDIT, schedules.post_schedule_run, answer=VersionDocument, statuses=(202,)
        ),
    },
    "/versions": {
        "GET": Endpoint(_VIEW, versions.get_versions, query=PageQuery, answer=VersionPage),
        "POST": Endpoint(
            _EDIT,
            versions.post_version,
            query=NewVersionQuery,
            body_kind="file",
            answer=VersionDocument,
            statuses=(200, 201, 202),
        ),
    },
    "/versions/{number}": {
        "GET": Endpoint(_VIEW, versions.get_version, answer=VersionDocument),
        "DELETE": Endpoint(_DELETE, versions.delete_version, statuses=(204,)),
    },
    "/versions/{number}/specification": {
        "GET": Endpoint(_VIEW, versions.get_specification, answer=str),
    },
    "/versions/{number}/log": {"GET": Endpoint(_VIEW, versions.get_version_log, answer=str)},
    "/versions/{number}/progress": {
        "GET": Endpoint(
            _VIEW,
            version_progress.get_version_progress,
            answer=VersionProgressDocument,
            is_stream=True,
        ),
    },
    "/versions/{number}/packages": {
        "GET": Endpoint(
            _VIEW, contents.get_version_packages, query=VersionPackagesQuery, answer=PackagePage
        ),
    },
    "/versions/{number}/packages/{sha256}": {
        "GET": Endpoint(
            _VIEW,
            versions.get_version_archive,
            query=WaitedQuery,
            answer=bytes,
            statuses=(200, 307),
        ),
    },
    "/versions/{number}/layers": {
        "GET": Endpoint(
            _VIEW, contents.get_version_layers, query=LayersQuery, answer=LayersDocument
        ),
    },
    "/versions/{number}/cancel": {
        "POST": Endpoint(_EDIT, versions.post_cancel, answer=VersionDocument),
    },
    "/versions/{number}/sbom": {
        "GET": Endpoint(
            _VIEW, versions.get_version_sbom, query=SbomQuery, answer=bytes, statuses=(200, 307)
        ),
    },
    **{
        f"/versions/{{number}}/{form}": {
            "GET": Endpoint(
                _VIEW,
                partial(versions.get_version_form, form=form),
                query=FormQuery,
                answer=bytes,
                media_type="application/json" if form == "installation.json" else "",
                statuses=(200, 307),
            )
        }
        for form in get_args(ExportFormat)
        if not form.startswith("sbom.")
    },
}

#: Whoever logs in, and with whom they belong; what is before ``{user}`` is found before it.
_PEOPLE: Final[dict[str, dict[str, Endpoint]]] = {
    "/users": {
        "GET": Endpoint(_AUDITOR, people.get_users, query=UsersQuery, answer=AccountPage),
    },
    "/users/me": {"GET": Endpoint(LOGIN, accounts.get_me, answer=UserDocument)},
    "/users/me/roles": {
        "GET": Endpoint(
            LOGIN,
            people.get_own_roles,
            query=NumberPageQuery,
            answer=RolesDocument,
            further=people.needs_of_own_roles,
        ),
    },
    "/users/{user}": {
        "GET": Endpoint(_AUDITOR, people.get_user, answer=AccountDocument),
        "PATCH": Endpoint(
            _ADMINISTRATOR,
            people.patch_user,
            body=UserChange,
            body_kind="json",
            answer=AccountDocument,
            further=people.needs_of_people_change,
        ),
    },
    "/users/{user}/roles": {
        "GET": Endpoint(
            _AUDITOR, people.get_user_roles, query=NumberPageQuery, answer=RolesDocument
        ),
    },
    "/groups": {
        "GET": Endpoint(_AUDITOR, people.get_groups, query=GroupsQuery, answer=GroupPage),
    },
    # Before the group itself: its name may have slashes.
    "/groups/{group}/members": {
        "GET": Endpoint(_AUDITOR, people.get_members, query=PageQuery, answer=MemberPage),
    },
    "/groups/{group}/members/{user}": {
        "PUT": Endpoint(
            _ADMINISTRATOR,
            people.put_member,
            answer=MemberDocument,
            further=people.needs_of_people_change,
        ),
        "DELETE": Endpoint(
            _ADMINISTRATOR,
            people.delete_member,
            statuses=(204,),
            further=people.needs_of_people_change,
        ),
    },
    "/groups/{group}": {
        "GET": Endpoint(_AUDITOR, people.get_group, answer=GroupDocument),
        "PUT": Endpoint(
            _ADMINISTRATOR,
            people.put_group,
            answer=GroupDocument,
            further=people.needs_of_people_change,
        ),
        "DELETE": Endpoint(
            _ADMINISTRATOR,
            people.delete_group,
            statuses=(204,),
            further=people.needs_of_people_change,
        ),
    },
    "/sessions": {
        "GET": Endpoint(
            LOGIN,
            sessions.get_sessions,
            query=SessionsQuery,
            answer=SessionPage,
            further=sessions.needs_of_sessions,
        ),
        "DELETE": Endpoint(
            LOGIN,
            sessions.delete_sessions,
            query=EndedSessionsQuery,
            answer=EndedSessionsDocument,
            further=sessions.needs_of_ended_sessions,
        ),
    },
    "/sessions/{id}": {
        "DELETE": Endpoint(
            LOGIN,
            sessions.delete_session,
            statuses=(204,),
            further=sessions.needs_of_ended_session,
        ),
    },
    "/queue": {
        "GET": Endpoint(_AUDITOR, queue.get_queue, query=QueueQuery, answer=QueueDocument),
    },
}

_WEBHOOKS: Final[dict[str, dict[str, Endpoint]]] = {
    "/webhooks": {
        "GET": Endpoint(LOGIN, webhooks.get_webhooks, query=WebhooksQuery, answer=WebhookPage),
        "POST": Endpoint(
            LOGIN,
            webhooks.post_webhook,
            body=NewWebhook,
            body_kind="json",
            answer=NewWebhookDocument,
            statuses=(201,),
            further=webhooks.needs_of_new_webhook,
            keeps_answer=False,
        ),
    },
    "/webhooks/{id}": {
        "GET": Endpoint(LOGIN, webhooks.get_webhook, answer=WebhookDocument),
        "PATCH": Endpoint(
            LOGIN,
            webhooks.patch_webhook,
            body=WebhookChange,
            body_kind="json",
            answer=WebhookDocument,
            further=webhooks.needs_of_webhook,
            is_conditional=True,
        ),
        "DELETE": Endpoint(
            LOGIN,
            webhooks.delete_webhook,
            statuses=(204,),
            further=webhooks.needs_of_webhook,
            is_conditional=True,
        ),
    },
    "/webhooks/{id}/rotate": {
        "POST": Endpoint(
            LOGIN,
            webhooks.post_rotate,
            answer=NewWebhookDocument,
            further=webhooks.needs_of_webhook,
            keeps_answer=False,
        ),
    },
    "/webhooks/{id}/ping": {
        "POST": Endpoint(
            LOGIN,
            webhooks.post_ping,
            answer=DeliveryDocument,
            statuses=(202,),
            further=webhooks.needs_of_webhook,
        ),
    },
    "/webhooks/{id}/deliveries": {
        "GET": Endpoint(LOGIN, webhooks.get_deliveries, query=DeliveriesQuery, answer=DeliveryPage),
    },
    "/webhooks/{id}/deliveries/{delivery}": {
        "GET": Endpoint(LOGIN, webhooks.get_delivery, answer=DeliveryDocument),
    },
    "/webhooks/{id}/deliveries/{delivery}/resend": {
        "POST": Endpoint(
            LOGIN,
            webhooks.post_resend,
            answer=DeliveryDocument,
            statuses=(202,),
            further=webhooks.needs_of_webhook,
        ),
    },
}

_SOURCES: Final[dict[str, dict[str, Endpoint]]] = {
    "/sources": {
        "GET": Endpoint(LOGIN, sources.get_sources, query=SourcesQuery, answer=SourcePage),
        "POST": Endpoint(
            LOGIN,
            sources.post_source,
            body=NewSource,
            body_kind="json",
            answer=SourceDocument,
            statuses=(201,),
            further=sources.needs_of_new_source,
        ),
    },
    "/sources/{id}": {
        "GET": Endpoint(LOGIN, sources.get_source, answer=SourceDocument),
        "PATCH": Endpoint(
            LOGIN,
            sources.patch_source,
            body=SourceChange,
            body_kind="json",
            answer=SourceDocument,
            further=sources.needs_of_source_change,
            is_conditional=True,
        ),
        "DELETE": Endpoint(
            LOGIN,
            sources.delete_source,
            statuses=(204,),
            further=sources.needs_of_source,
            is_conditional=True,
        ),
    },
    "/sources/{id}/look": {
        "POST": Endpoint(
            LOGIN,
            sources.post_look,
            answer=SourceDocument,
            statuses=(202,),
            further=sources.needs_of_look,
        ),
    },
    "/sources/{id}/hook": {
        "POST": Endpoint(
            LOGIN,
            sources.post_hook,
            answer=HookDocument,
            statuses=(201,),
            further=sources.needs_of_source,
            keeps_answer=False,
        ),
        "DELETE": Endpoint(
            LOGIN, sources.delete_hook, statuses=(204,), further=sources.needs_of_source
        ),
    },
    "/sources/{id}/files": {
        "GET": Endpoint(LOGIN, sources.get_files, query=SourceFilesQuery, answer=SourceFilePage),
    },
    "/sources/{id}/files/{file}": {
        "PUT": Endpoint(
            LOGIN,
            sources.put_file,
            query=SourceFileQuery,
            body_kind="file",
            answer=SourceFileDocument,
            further=sources.needs_of_look,
        ),
        "DELETE": Endpoint(
            LOGIN, sources.delete_file, statuses=(204,), further=sources.needs_of_look
        ),
    },
}

CATALOG: Final[dict[str, dict[str, Endpoint]]] = {
    **{f"/namespaces{path}": methods for path, methods in _NAMESPACES.items()},
    **{
        f"/namespaces/{{namespace}}/environments/{{environment}}{path}": methods
        for path, methods in _ENVIRONMENT.items()
    },
    "/environments": {
        "GET": Endpoint(
            ANYONE,
            environments.get_all_environments,
            query=EnvironmentsQuery,
            answer=EnvironmentPage,
        ),
    },
    "/active-versions": {
        "GET": Endpoint(
            ANYONE,
            active_versions.get_active_versions,
            query=ActiveVersionsQuery,
            answer=active_versions.ActiveVersionsDocument,
            statuses=(200, 304),
            may_wait=True,
        ),
    },
    "/packages/{package}/environments": {
        "GET": Endpoint(
            ANYONE,
            contents.get_package_environments,
            query=PackageUsersQuery,
            answer=PackageUserPage,
        ),
    },
    "/usage": {
        "GET": Endpoint(
            NeedServiceRole("auditor"),
            usage.get_usage,
            query=NamespacesUsageQuery,
            answer=NamespaceUsagePage,
        ),
    },
    "/grants": {
        "GET": Endpoint(
            NeedServiceRole("auditor"),
            namespaces.get_service_grants,
            query=GrantsQuery,
            answer=GrantPage,
        ),
        "POST": Endpoint(
            _ADMINISTRATOR,
            namespaces.post_service_grant,
            body=NewServiceGrant,
            body_kind="json",
            answer=GrantDocument,
            statuses=(201,),
        ),
    },
    "/grants/{id}": {
        "GET": Endpoint(
            NeedServiceRole("auditor"), namespaces.get_service_grant, answer=GrantDocument
        ),
        "DELETE": Endpoint(_ADMINISTRATOR, namespaces.delete_service_grant, statuses=(204,)),
    },
    "/audit": {
        "GET": Endpoint(
            NeedServiceRole("auditor"),
            audit.get_audit,
            query=AuditQuery,
            answer=AuditPage,
            is_stream=True,
            stream_type=audit.LINES,
        ),
    },
    "/policies": {"GET": Endpoint(LOGIN, policies.get_policies, answer=PolicyPage)},
    "/policies/test": {
        "POST": Endpoint(
            LOGIN,
            findings.post_policy_test,
            body_kind="file",
            about_file="A policy as TOML, or a `PolicyTrial` as JSON.",
            answer=TrialDocument,
            further=findings.needs_of_policy_test,
        ),
    },
    "/policies/{policy}": _POLICY,
    "/policies/{policy}/versions": {
        "GET": Endpoint(
            NeedServiceRole("auditor"),
            policies.get_policy_versions,
            query=NumberPageQuery,
            answer=PolicyTextPage,
        ),
    },
    "/findings": {
        "GET": Endpoint(
            LOGIN,
            findings.get_findings,
            query=FindingsQuery,
            answer=FindingPage,
            is_wider_for_officers=True,
        ),
    },
    "/blocks": {
        "GET": Endpoint(
            NeedServiceRole("auditor"), blocks.get_blocks, query=PageQuery, answer=BlockPage
        ),
        "POST": Endpoint(
            _ADMINISTRATOR,
            blocks.post_block,
            body=NewBlock,
            body_kind="json",
            answer=BlockDocument,
            statuses=(201,),
        ),
    },
    "/blocks/{key}": {"DELETE": Endpoint(_ADMINISTRATOR, blocks.delete_block, statuses=(204,))},
    "/proposals": {
        "GET": Endpoint(LOGIN, proposals.get_proposals, query=ProposalsQuery, answer=ProposalPage),
    },
    "/proposals/{id}": {
        "GET": Endpoint(LOGIN, proposals.get_proposal, answer=ProposalDetails),
    },
    "/proposals/{id}/decision": {
        "POST": Endpoint(
            LOGIN,
            proposals.post_proposal_decision,
            body=ProposalDecision,
            body_kind="json",
            answer=ProposalDocument,
            further=proposals.needs_of_proposal,
        ),
    },
    "/proposals/{id}/test": {
        "POST": Endpoint(
            LOGIN,
            proposals.post_proposal_test,
            answer=ProposalDocument,
            statuses=(202,),
            further=proposals.needs_of_proposal,
        ),
    },
    "/schedules": {
        "GET": Endpoint(ANYONE, schedules.get_schedules, query=SchedulesQuery, answer=SchedulePage),
    },
    "/waivers": {
        "GET": Endpoint(LOGIN, waivers.get_waivers, query=WaiversQuery, answer=WaiverPage),
        "POST": Endpoint(
            LOGIN,
            waivers.post_waiver,
            body=NewWaiver,
            body_kind="json",
            answer=WaiverPage,
            statuses=(200, 201),
            further=waivers.needs_of_new_waiver,
        ),
    },
    "/waivers/{id}": {
        "GET": Endpoint(LOGIN, waivers.get_waiver, answer=WaiverDetails),
        "DELETE": Endpoint(LOGIN, waivers.delete_waiver, statuses=(204,)),
    },
    "/waivers/{id}/decision": {
        "POST": Endpoint(
            LOGIN,
            waivers.post_decision,
            body=WaiverDecision,
            body_kind="json",
            answer=WaiverDocument,
            further=waivers.needs_of_decision,
        ),
    },
    **_SOURCES,
    **_WEBHOOKS,
    **_PEOPLE,
    "/tokens": {
        "GET": Endpoint(
            LOGIN,
            accounts.get_tokens,
            query=TokensQuery,
            answer=TokenPage,
            further=accounts.needs_of_tokens,
        ),
        "POST": Endpoint(
            LOGIN,
            accounts.post_token,
            body=NewToken,
            body_kind="json",
            answer=NewTokenDocument,
            statuses=(201,),
            further=accounts.needs_of_new_token,
            keeps_answer=False,
        ),
    },
    "/tokens/current": {
        "DELETE": Endpoint(LOGIN, accounts.delete_current_token, statuses=(204,)),
    },
    "/tokens/{id}": {
        "GET": Endpoint(LOGIN, accounts.get_token, answer=TokenDocument),
        "DELETE": Endpoint(
            LOGIN, accounts.delete_token, statuses=(204,), further=accounts.needs_of_ended_token
        ),
    },
    "/events": {
        "GET": Endpoint(
            LOGIN,
            catalog_events.get_all_events,
            query=NumberPageQuery,
            answer=EventPage,
            is_stream=True,
        ),
    },
}
