"""Pages for people: documents of ``/api/v1``, as HTML."""

from registry.web.pages.routes import page_routes

__all__ = ["page_routes"]
