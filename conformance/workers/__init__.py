"""Servers and workers over one store, with real brokers: the service as a company runs it."""
