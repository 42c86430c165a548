"""The database: engine, tables, migrations, export and import."""

from registry.database.engine import Database, open_database

__all__ = ["Database", "open_database"]
