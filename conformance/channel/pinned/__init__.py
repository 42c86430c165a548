"""What the channel is made of: `packages.toml`, and the wheels it resolved to, `wheels.json`."""
