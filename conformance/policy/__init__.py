"""Policies, waivers, blocks and the audit log, from outside: two servers as a company runs them."""
