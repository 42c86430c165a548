"""Forms of a build, used by the tools they are for."""
