"""Finding out whether a store can be used."""

import secrets

from builder.ports import Store


async def check_store(store: Store) -> None:
    """Return if ``store`` takes, gives back and removes a small object.

    Raises:
        OSError: It does not.
    """
    key, data = f"probes/{secrets.token_hex(8)}", secrets.token_bytes(16)
    await store.write(key, data)
    found = await store.read(key)
    await store.delete(key)
    if found != data:
        raise OSError("the store does not give back what was written")
