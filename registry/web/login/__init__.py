"""Logging in with a browser, and for programs without one (``docs/access.md``)."""

from registry.web.login.routes import login_routes

__all__ = ["login_routes"]
