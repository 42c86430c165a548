"""Where the database is."""

from pathlib import Path

from registry.settings import Settings
from registry.storage.layout import DATABASE
from registry.storage.location import parse_location


def database_url(settings: Settings) -> str | None:
    """Return the address of the database; ``None``: there can be none unless it is set."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    location = parse_location(settings.store)
    if not isinstance(location, Path):
        return None
    return f"sqlite:///{(location / DATABASE / 'pullforge.db').absolute()}"
