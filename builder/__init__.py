"""From a spec to an image: a library without HTTP server, SQL or environment variables."""
