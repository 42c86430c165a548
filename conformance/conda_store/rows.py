"""The program that writes an inventory into conda-store's database, by its own models.

It runs with the Python of :func:`conformance.conda_store.homes.server_home`, where nothing of ours
is: ``python rows.py DATABASE STORAGE < inventory.json``. Numbers are printed as they were given:
``{"environments": {"team/env": [3, [7, 8]]}}``, the environment's and its builds'.
"""

import datetime
import importlib
import json
import sys
from pathlib import Path
from typing import Any

_ENDINGS = {"LOGS": "logs/{}.log", "LOCKFILE": "lockfile/{}.yml", "YAML": "yaml/{}.yml"}


class Writer:
    """Writes rows, and files that lie beside them."""

    def __init__(self, database: str, storage: Path) -> None:
        """Connect to the database."""
        self.orm = importlib.import_module("conda_store_server._internal.orm")
        self.schema = importlib.import_module("conda_store_server._internal.schema")
        self.utils = importlib.import_module("conda_store_server._internal.utils")
        importlib.import_module("conda_store_server").BuildKey.set_current_version(2)
        # Its migrations make text of what its models say are enumerations of PostgreSQL.
        make = self.orm.new_session_factory
        self.db = make(url=database, use_insertmanyvalues=False)()
        self.storage = storage
        self.specifications: dict[str, Any] = {}
        self.channels: dict[str, Any] = {}
        self.packages: dict[tuple[str, str, str], Any] = {}
        self.package_builds: dict[str, Any] = {}

    def write(self, inventory: dict[str, Any]) -> dict[str, list[Any]]:
        """Write everything; return the numbers of environments and builds by name."""
        namespaces = {one.name: one for one in self.db.query(self.orm.Namespace)}
        for name in inventory["namespaces"]:
            if name not in namespaces:
                namespaces[name] = self._add(self.orm.Namespace(name=name))
        for role in inventory["roles"]:
            of = namespaces[role["namespace"]]
            if role["generation"] == 1:
                kind, other = self.orm.NamespaceRoleMapping, {"entity": role["other"]}
            else:
                kind = self.orm.NamespaceRoleMappingV2
                other = {"other_namespace": namespaces[role["other"]]}
            self._add(kind(namespace=of, role=role["role"], **other))
        numbers = {
            f"{one['namespace']}/{one['name']}": self._environment(one, namespaces)
            for one in inventory["environments"]
        }
        for scope, values in inventory["settings"].items():
            prefix = f"setting/{scope}" if scope else "setting"
            for key, value in values.items():
                self._add(self.orm.KeyValueStore(prefix=prefix, key=key, value=value))
        self.db.commit()
        return numbers

    def _environment(self, one: dict[str, Any], namespaces: dict[str, Any]) -> list[Any]:
        environment = self._add(
            self.orm.Environment(
                namespace=namespaces[one["namespace"]],
                name=one["name"],
                description=one["description"],
            )
        )
        builds = [self._build(build, environment) for build in one["builds"]]
        self.db.flush()
        if one["current"] is not None:
            environment.current_build_id = builds[one["current"]].id
        return [environment.id, [build.id for build in builds]]

    def _build(self, one: dict[str, Any], environment: Any) -> Any:
        at = datetime.datetime.fromisoformat(one["scheduled_on"])
        begun = one["status"] != "QUEUED"
        ended = begun and one["status"] != "BUILDING"
        build = self._add(
            self.orm.Build(
                environment=environment,
                specification=self._specification(one["specification"], one["is_lockfile"]),
                status=self.schema.BuildStatus(one["status"]),
                status_info=one["status_info"],
                scheduled_on=at,
                started_on=at + datetime.timedelta(seconds=1) if begun else None,
                ended_on=at + datetime.timedelta(seconds=61) if ended else None,
                deleted_on=at + datetime.timedelta(days=1) if one["is_deleted"] else None,
            )
        )
        self.db.flush()
        if begun:
            self._keep(build, "LOGS", f"starting build of conda environment {at} UTC\n")
        if one["status"] == "COMPLETED":
            self._complete(build, one)
        return build

    def _complete(self, build: Any, one: dict[str, Any]) -> None:
        lock = one["lock"]
        if lock is not None:
            self._keep(build, "LOCKFILE", json.dumps(lock, indent=4))
            found = {}
            for package in lock["package"]:
                if package["manager"] == "conda":
                    row = self._package(package)
                    found[row.id] = row
            build.package_builds = list(found.values())
            build.size = 1_000_000 * len(found)
        text = json.dumps({"name": build.specification.name, "dependencies": []})
        self._keep(build, "YAML", text)
        kind = self.schema.BuildArtifactType.DIRECTORY
        key = f"/home/conda/{build.environment.namespace.name}/envs/{build.build_key}"
        self._add(self.orm.BuildArtifact(build_id=build.id, artifact_type=kind, key=key))

    def _keep(self, build: Any, kind: str, text: str) -> None:
        key = _ENDINGS[kind].format(build.build_key)
        path = self.storage / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        kind = self.schema.BuildArtifactType[kind]
        self._add(self.orm.BuildArtifact(build_id=build.id, artifact_type=kind, key=key))

    def _specification(self, given: dict[str, Any], is_lockfile: bool) -> Any:
        model = "LockfileSpecification" if is_lockfile else "CondaSpecification"
        spec = getattr(self.schema, model).model_validate(given).model_dump()
        sha256 = self.utils.datastructure_hash(spec)
        if sha256 not in self.specifications:
            row = self.orm.Specification(spec, is_lockfile=is_lockfile)
            self.specifications[sha256] = self._add(row)
        return self.specifications[sha256]

    def _package(self, package: dict[str, Any]) -> Any:
        sha256 = package["hash"]["sha256"]
        if sha256 not in self.package_builds:
            address, subdir, file = package["url"].rsplit("/", 2)
            channel = self.channels.get(address)
            if channel is None:
                channel = self._add(self.orm.CondaChannel(name=address))
                self.channels[address] = channel
                self.db.flush()
            key = (address, package["name"], package["version"])
            if key not in self.packages:
                self.packages[key] = self._add(
                    self.orm.CondaPackage(
                        channel_id=channel.id,
                        name=package["name"],
                        version=package["version"],
                        license="MIT",
                        summary=f"the package {package['name']}",
                        description="",
                    )
                )
                self.db.flush()
            build = file.removesuffix(".conda").removesuffix(".tar.bz2").rpartition("-")[2]
            self.package_builds[sha256] = self._add(
                self.orm.CondaPackageBuild(
                    package_id=self.packages[key].id,
                    channel_id=channel.id,
                    build=build,
                    build_number=0,
                    constrains=[],
                    depends=[f"{name} {need}" for name, need in package["dependencies"].items()],
                    md5=package["hash"]["md5"],
                    sha256=sha256,
                    size=1_000_000,
                    subdir=subdir,
                    timestamp=1_700_000_000_000,
                )
            )
            self.db.flush()
        return self.package_builds[sha256]

    def _add(self, row: Any) -> Any:
        self.db.add(row)
        return row


def main() -> None:
    """Write what is read."""
    database, storage = sys.argv[1:]
    numbers = Writer(database, Path(storage)).write(json.load(sys.stdin))
    json.dump({"environments": numbers}, sys.stdout)


if __name__ == "__main__":
    main()
