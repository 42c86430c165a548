"""The official conformance suite of the OCI distribution-spec, against servers of this project."""
