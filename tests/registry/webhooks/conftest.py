from tests.registry.catalog.conftest import database, database_url, house, postgres

__all__ = ["database", "database_url", "house", "postgres"]
