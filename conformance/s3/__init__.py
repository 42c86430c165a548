"""A real S3 server for tests and the demo, and a proxy that makes its network unreliable."""

from conformance.s3.server import BUCKET, S3Server

__all__ = ["BUCKET", "S3Server"]
