"""Environments as directories, as machines and their users see them."""
