"""Bytecode of modules, compiled by the Python they are for."""
