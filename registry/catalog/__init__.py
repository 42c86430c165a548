"""Namespaces, environments and their versions: what people share, with its history."""
