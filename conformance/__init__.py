"""The server from outside: the local channel, real engines, S3, the demonstration."""
