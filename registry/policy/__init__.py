"""Policies: read, compiled into rules, and kept in memory; no SQL, no HTTP."""
