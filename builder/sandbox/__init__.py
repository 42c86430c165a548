"""Where code that comes in packages is run."""
