"""Tests of what `Dockerfile` and `deploy/` describe, each with the program that reads it."""
