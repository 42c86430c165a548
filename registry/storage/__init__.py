"""Where bytes are kept: drivers of :class:`builder.ports.Store`."""
