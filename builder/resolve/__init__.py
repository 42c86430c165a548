"""From a spec to a lock."""
