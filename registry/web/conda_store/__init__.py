"""conda-store's wire (``/conda-store``): what its clients ask for, answered from the catalog.

::

    addresses ──→ one table of all routes, with and without a slash at their ends
      │ identity        whose request it is: a Bearer token, a password, or conda-store's cookie
      │ errors          {"status": "error", "message"}, for whatever went wrong
      ├ reading         namespaces, environments, builds: from the catalog, by numbers
      ├ writing         asked of /api/v1 in the same process, so that rights and rules are one
      └ answers         the envelope: {"status", "data", "message"}, and pages

It keeps the quirks that clients rely on, and none of the faults (``docs/conda-store.md``). Nothing
is decided here: what somebody may see and do is what ``/api/v1`` says.

Source:
    conda-store-server 2025.2.2, ``openapi.json`` and ``_internal/server/views/api.py``.
"""

from registry.web.conda_store.addresses import conda_store_routes
from registry.web.conda_store.face import Face

__all__ = ["Face", "conda_store_routes"]
