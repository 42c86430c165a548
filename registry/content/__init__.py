"""Stored manifests and blobs, as the distribution protocol sees them."""
