"""The table of the catalog's addresses: who may, what is sent, what is answered.

::

    GET POST               /namespaces
    GET PATCH DELETE       /namespaces/<namespace>
    POST                   …/restore
    GET                    …/events
    GET POST               …/grants                          GET DELETE  …/grants/<id>
    GET POST               …/environments
    GET PATCH DELETE       …/environments/<environment>
    POST                   …/restore  …/move  …/copy
    GET PUT                …/active
    GET                    …/events  …/access  …/diff/<a>/<b>
    GET POST               …/versions                        GET  …/versions/<number>
    GET                    …/specification  …/log  …/<form>
    POST                   …/cancel
    GET                    /environments                     all that one may see
    GET POST               /grants                           GET DELETE  /grants/<id>
    GET POST               /tokens                           GET DELETE  /tokens/<id>
    DELETE                 /tokens/current                   the one that is sent
    GET                    /users/me  /events
"""

from functools import partial
from typing import Final, get_args

from builder.exports import ExportFormat
from registry.web.api import (
    accounts,
    catalog_events,
    environments,
    namespaces,
    versions,
)
from registry.web.api.catalog_documents import (
    AccessDocument,
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
from registry.web.api.endpoints import (
    ANYONE,
    LOGIN,
    Endpoint,
    NeedRole,
    NeedServiceRole,
)
from registry.web.api.models import (
    Activation,
    EnvironmentChange,
    EnvironmentsQuery,
    FormQuery,
    NamespaceChange,
    NamespaceEnvironmentsQuery,
    NamespacesQuery,
    NewEnvironment,
    NewEnvironmentQuery,
    NewGrant,
    NewNamespace,
    NewServiceGrant,
    NewToken,
    NewVersionQuery,
    NumberPageQuery,
    PageQuery,
    SbomQuery,
    Target,
    TokensQuery,
)

_ADMINISTRATOR: Final = NeedServiceRole("administrator")
_INSIDE: Final = NeedRole("viewer", "inside")
_ADMIN: Final = NeedRole("admin", "namespace")
_VIEW: Final = NeedRole("viewer", "environment")
_EDIT: Final = NeedRole("editor", "environment")
_DELETE: Final = NeedRole("admin", "environment")

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
        "GET": Endpoint(_VIEW, environments.get_environment, answer=EnvironmentDocument),
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
    "/diff/{a}/{b}": {"GET": Endpoint(_VIEW, versions.get_version_diff, answer=dict)},
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
    "/versions/{number}": {"GET": Endpoint(_VIEW, versions.get_version, answer=VersionDocument)},
    "/versions/{number}/specification": {
        "GET": Endpoint(_VIEW, versions.get_specification, answer=str),
    },
    "/versions/{number}/log": {"GET": Endpoint(_VIEW, versions.get_version_log, answer=str)},
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
                statuses=(200, 307),
            )
        }
        for form in get_args(ExportFormat)
        if not form.startswith("sbom.")
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
    "/grants": {
        "GET": Endpoint(
            NeedServiceRole("auditor"),
            namespaces.get_service_grants,
            query=NumberPageQuery,
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
    "/users/me": {"GET": Endpoint(LOGIN, accounts.get_me, answer=UserDocument)},
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
