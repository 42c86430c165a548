"""Wheels: what is in them, where it goes, and their part of a layer."""
