import pytest

from registry.catalog.conda_store_settings import CondaStoreSettings
from registry.errors import EnvironmentUnknown, NamespaceUnknown
from tests.registry.catalog.house import ADA, House

pytestmark = pytest.mark.anyio

PLACE = ("analytics", "forecast")


async def test_settings_are_kept_by_scope_and_only_changes_are_told(house: House) -> None:
    settings = CondaStoreSettings(house.database)
    await house.environment()
    await settings.set(ADA, {"a": [1], "b": None})
    await settings.set(ADA, {"a": {"c": "ü"}}, namespace="analytics")
    await settings.set(ADA, {"a": 0.5}, namespace="analytics", environment="forecast")
    for _ in range(2):
        await settings.set(ADA, {"a": [2]})
    assert await settings.layers() == [{"a": [2], "b": None}]
    assert await settings.layers(*PLACE) == [
        {"a": [2], "b": None},
        {"a": {"c": "ü"}},
        {"a": 0.5},
    ]
    assert (await house.actions()).count("setting.set") == 4


async def test_settings_go_with_their_environment(house: House) -> None:
    settings = CondaStoreSettings(house.database)
    await house.environment()
    await house.namespaces.create(ADA, "other")
    await settings.set(ADA, {"a": 1}, namespace="analytics", environment="forecast")
    await house.environments.move(ADA, *PLACE, "other", "moved")
    assert await settings.layers("other", "moved") == [{}, {}, {"a": 1}]
    with pytest.raises(EnvironmentUnknown):
        await settings.layers(*PLACE)
    with pytest.raises(NamespaceUnknown):
        await settings.set(ADA, {"a": 1}, namespace="none")


async def test_what_is_noted_of_a_namespace_is_no_setting(house: House) -> None:
    settings = CondaStoreSettings(house.database)
    await house.environment()
    assert await settings.metadata("analytics") is None
    await settings.set_metadata(ADA, "analytics", {"a": 1})
    assert await settings.metadata("analytics") == {"a": 1}
    assert await settings.layers("analytics") == [{}, {}]
