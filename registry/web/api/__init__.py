"""The API (``/api/v1``): locked builds from files, in every form (``docs/api.md``)."""

from registry.web.api.routes import api_route

__all__ = ["api_route"]
