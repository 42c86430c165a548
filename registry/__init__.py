"""The service: an OCI registry whose images are built when they are pulled."""
