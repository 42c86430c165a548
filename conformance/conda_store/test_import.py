"""A conda-store is moved here: by its API and from its database, with kills, to the same end."""

import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.accounts import ADMIN, PASSWORD
from conformance.catalog.person import Person
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server
from conformance.conda_store.importing import kill_after, receiving, report_of
from conformance.conda_store.inventory import Build, Environment, Inventory, sized
from conformance.conda_store.locks import lock_of, locks_of
from conformance.conda_store.real_server import RealServer
from conformance.oci_client import OciClient, unpack
from conformance.postgres import PostgresServer, programs

#: Namespaces, environments, builds.
SIZE: Final = (3, 10, 40)
KINDS: Final = ("namespaces", "environments", "builds", "roles")


def catalog(server: Server) -> dict[str, Any]:
    """Return what has come: of each environment its versions, keys and what is active."""
    admin = Person(ADMIN)

    def all_of(path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = admin.must(server, "GET", f"{path}?limit=100{after}")
            found += page["items"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    kept: dict[str, Any] = {}
    for namespace in all_of("/namespaces"):
        place = f"/namespaces/{namespace['slug']}/environments"
        for one in all_of(place):
            versions = all_of(f"{place}/{one['slug']}/versions")
            rows = [
                (row["number"], row["state"], row["key"], row["created_at"]) for row in versions
            ]
            kept[f"{namespace['name']}/{one['name']}"] = (one["active"], sorted(rows))
    return kept


def require_whole(report: dict[str, Any], what: Inventory) -> None:
    """Require that everything was made, or known, and nothing refused."""
    sizes = {"environments": len(what.environments), "builds": what.builds}
    for kind, size in sizes.items():
        assert report[kind]["made"] + report[kind]["known"] == size, report
        assert not report[kind]["refused"], report
    assert report["other_ids"] == 0


def test_a_conda_store_comes_to_the_same_end_however_often_it_is_cut_off(
    tmp_path: Path, paths: ChannelPaths, channel: ChannelServer
) -> None:
    """A dry run only says so; a last one finds nothing to do; what came can be pulled."""
    with RealServer.start(tmp_path / "old") as old:
        what = sized(*SIZE, locks_of(paths.channel, channel.url, 20))
        zip_ = Environment("Lab", "Zip", [zipping(paths, channel)])
        environments = [*what.environments, zip_]
        what = replace(what, namespaces=[*what.namespaces, "Lab"], environments=environments)
        old.write(what)
        asked = ("conda-store", old.url, f"--token={old.token}", "--roles=v2")
        with receiving(tmp_path / "calm", paths, channel) as calm:
            dry = report_of(tmp_path / "calm", *asked, "--dry-run")
            assert dry["builds"]["made"] == what.builds
            assert not catalog(calm)
            assert not any("sees only" in one["what"] for one in dry["not_taken"])
            seeing = f"--token={old.token_of({'Lab/*': ['viewer']})}"
            part = report_of(tmp_path / "calm", "conda-store", old.url, seeing, "--dry-run")
            assert "sees only Lab/*" in part["not_taken"][0]["what"]
            done = report_of(tmp_path / "calm", *asked)
            assert {kind: done[kind] for kind in KINDS} == {kind: dry[kind] for kind in KINDS}
            require_whole(done, what)
            assert done["roles"]["made"] == SIZE[0] - 1
            wanted = catalog(calm)
            assert len(wanted) == len(what.environments)
            require_pulled(calm, tmp_path)
        home = tmp_path / "wild"
        with receiving(home, paths, channel) as wild:
            kill_after(home, asked, wild, 3)
            kill_after(home, asked, wild, 4)
            done = report_of(home, *asked)
            require_whole(done, what)
            assert done["builds"]["known"] > 0
            assert catalog(wild) == wanted
            again = report_of(home, *asked)
            assert [again[kind]["made"] for kind in KINDS] == [0] * len(KINDS)
            assert catalog(wild) == wanted


def zipping(paths: ChannelPaths, channel: ChannelServer) -> Build:
    """Return a build that can be made an image of."""
    lock = lock_of(paths.channel, channel.url, "libzlib", "ca-certificates")
    return Build(
        {"name": "Zip", "channels": ["conda-forge"], "dependencies": ["libzlib"]}, lock=lock
    )


def require_pulled(server: Server, directory: Path) -> None:
    """Require that a build is pulled by its environment, its version and its key."""
    admin = Person(ADMIN)
    version = admin.must(server, "GET", "/namespaces/lab/environments/zip/versions/1")
    with closing(OciClient(server.host, directory / "blobs", (ADMIN, PASSWORD))) as client:
        image = client.pull("lab/zip")
        assert client.pull("lab/zip", "v1").digest == image.digest
        assert client.pull(f"build/{version['key']}").digest == image.digest
    unpack(image, directory / "root")
    assert any(directory.joinpath("root").rglob("libz.so*"))


@pytest.mark.engine("postgresql")
def test_a_dump_of_any_form_brings_the_same_as_the_api(
    tmp_path: Path, paths: ChannelPaths, channel: ChannelServer
) -> None:
    """With the locks of its storage; what came from one form is known to be in the others."""
    with PostgresServer() as postgres:
        database = postgres.database()
        with RealServer.start(tmp_path / "old", database) as old:
            what = old.fill(3, 6, 24, locks_of(paths.channel, channel.url, 10))
            with receiving(tmp_path / "api", paths, channel) as server:
                asked = ("conda-store", old.url, f"--token={old.token}", "--roles=v2")
                report_of(tmp_path / "api", *asked)
                wanted = catalog(server)
            storage, source = old.storage, old.url
        home = programs()
        assert home is not None
        dumps = {form: str(tmp_path / form) for form in ("custom", "directory", "plain")}
        for form, dump in dumps.items():
            argv = [str(home / "pg_dump"), f"--format={form}", f"--file={dump}", database]
            subprocess.run(argv, check=True)
        of_dump = ("--roles=v2", f"--storage={storage}", f"--source={source}")
        with receiving(tmp_path / "dumped", paths, channel) as server:

            def read(dump: str) -> dict[str, Any]:
                return report_of(tmp_path / "dumped", "conda-store-dump", dump, *of_dump)

            require_whole(read(dumps.pop("custom")), what)
            assert catalog(server) == wanted
            for dump in (*dumps.values(), database):
                again = read(dump)
                assert again["builds"] == {"made": 0, "known": what.builds, "refused": []}
                assert again["roles"]["made"] == 0
