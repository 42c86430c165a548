"""Telling others what happened: signed requests, and mail."""
