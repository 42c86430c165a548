"""Environments that keep themselves current, from outside: schedules, tests, who is told."""
