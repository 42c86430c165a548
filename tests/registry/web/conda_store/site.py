"""What clients of conda-store send to a site with people, and what they wait for."""

from typing import Any

from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, send
from tests.registry.web.conda_store.people import API, problem


def specification(name: str, *packages: str, description: str = "undefined") -> str:
    """Return what conda-store's interface sends of an environment."""
    wanted = "\n".join(f"  - {package}" for package in packages)
    head = f"channels:\n  - main\ndependencies:\n{wanted}\nvariables: {{}}\n"
    return f"{head}\ndescription: {description}\nname: {name}\nprefix: null"


async def submit(client: Client, text: str, who: str | None = ADA, **more: Any) -> Reply:
    """Send a specification."""
    return await send(client, "POST", f"{API}/specification/", who, {"specification": text, **more})


async def built(client: Client, text: str, who: str = ADA, **more: Any) -> int:
    """Return the number of a build, once it has ended."""
    reply = await submit(client, text, who, **more)
    assert reply.status == 200, reply
    number = int(reply.json()["data"]["build_id"])
    await ended(client, number)
    return number


async def ended(client: Client, number: int) -> str:
    """Return how a build has ended."""
    assert client.services.catalog is not None
    catalog = client.services.catalog
    place = await catalog.build_ids.place(number)
    while True:
        version = await catalog.versions.get(place.namespace, place.environment, place.number)
        if version.has_ended:
            return version.state
        await catalog.follower.changed(1)


def message(reply: Reply, status: int) -> str:
    """Assert that a reply is an error of conda-store's, and return its sentence."""
    assert reply.status == status, reply
    return problem(reply)[1]
