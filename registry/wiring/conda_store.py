"""Where conda-store's wire is."""

from pathlib import Path

from registry.settings import Settings
from registry.storage.location import parse_location
from registry.web.conda_store import Face


def conda_store_face(settings: Settings) -> Face:
    """Return where it is, as settings say."""
    store = parse_location(settings.store)
    return Face(
        settings.conda_store_path or None,
        settings.conda_store_at_root,
        settings.conda_store_ui,
        frozenset(settings.conda_store_origins),
        store if isinstance(store, Path) else None,
    )
