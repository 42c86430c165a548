"""``make demo``: what the registry does, in a minute or two, on any machine."""
