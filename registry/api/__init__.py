"""The API (``/api/v1``): locked builds from files, in every form (``docs/api.md``)."""

from registry.api.face import api_route

__all__ = ["api_route"]
