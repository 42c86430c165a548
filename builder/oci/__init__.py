"""The OCI image format: digests, references, models and the directory layout."""
