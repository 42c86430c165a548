"""Whose browser sent a request, and what it sends: for all pages."""
