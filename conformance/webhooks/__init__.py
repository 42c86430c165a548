"""Webhooks from outside: real servers, and receivers of every kind."""
