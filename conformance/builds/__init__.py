"""Locked builds from files, made and used as their users do."""
