"""What scripts of packages set comes into the image; the habits are those of conda-forge's."""

import asyncio
import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.build.image import SCRIPTS_ANNOTATION
from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.ports import Progress
from conformance.channel.index import index_channel
from conformance.channel.writer import Entry, Package, write_package
from registry.cli.session import NullMetrics, today
from registry.settings import Settings
from registry.wiring.building import open_builder

NAME = "env/data-tool.language"
DATA = b"""\
if [ -n "${TOOL_DATA:-}" ]; then
    export _CONDA_SET_TOOL_DATA="$TOOL_DATA"
fi
if [ -d "${CONDA_PREFIX}/share/tool-data" ]; then
    export TOOL_DATA="$CONDA_PREFIX/share/tool-data"
fi
"""
LANGUAGE = b"""\
if [ "${LANGUAGE_HOME+x}" ]; then export LANGUAGE_HOME_BACKUP="$LANGUAGE_HOME"; fi
export LANGUAGE_HOME="${CONDA_PREFIX}/lib/language"
export LANGUAGE_OPTIONS="${LANGUAGE_OPTIONS:-none} ${TOOL_DATA:-first}"
export PATH="$LANGUAGE_HOME/bin:$PATH"
"""
#: Linked first, since the others need it; by its name, its script is the last.
LAST = b"export LAST=${LANGUAGE_HOME##*/}\nsource $CONDA_PREFIX/etc/other.sh\n"


def scripts(name: str, text: bytes, *entries: Entry, depends: tuple[str, ...] = ()) -> Package:
    script = Entry(f"etc/conda/activate.d/{name}.sh", text)
    return Package(name, "1.0", entries=[script, *entries], depends=depends)


def write_channel(directory: Path) -> Path:
    variables = Entry("etc/conda/env_vars.d/zz.json", b'{"LANGUAGE_OPTIONS": "fast"}')
    for package in (
        scripts("zz-first", LAST, Entry("etc/other.sh", b"export OTHER=1\n"), variables),
        scripts("language", LANGUAGE, depends=("zz-first",)),
        # The directory that the script looks for is in another package, as with gdal.
        scripts("data-tool", DATA, depends=("data", "zz-first")),
        Package("data", "1.0", entries=[Entry("share/tool-data/x.csv", b"1\n")]),
    ):
        write_package(package, directory)
    index_channel(directory)
    return directory


@dataclass(frozen=True)
class Built:
    digest: str
    environment: Mapping[str, str]
    annotation: str


def build(root: Path, channel: Path, variables: Mapping[str, str], workers: int = 1) -> Built:
    async def scenario() -> Built:
        settings = Settings(
            store=str(root),
            channels={"main": f"file://{channel}"},
            default_channels=["main"],
            workers=workers,
        )
        async with open_builder(settings, NullMetrics()) as builder:
            spec = await builder.resolver.spec(NAME, "bare", builder.policy, today())
            lock = await builder.resolver.lock(spec, quiet)
            lock = dataclasses.replace(lock, variables=dict(variables))
            image = await builder.pipeline.build(lock, "oci-zstd", quiet)
        manifest = json.loads(image.top.data)
        config = json.loads((root / blob_key(Digest(manifest["config"]["digest"]))).read_bytes())
        entries = (entry.partition("=") for entry in config["config"]["Env"])
        return Built(
            image.top.digest,
            {name: value for name, _, value in entries},
            manifest["annotations"].get(SCRIPTS_ANNOTATION, ""),
        )

    return asyncio.run(scenario())


def quiet(_progress: Progress) -> None:
    pass


def test_what_scripts_set_is_in_the_image_in_the_order_of_conda(tmp_path: Path) -> None:
    built = build(tmp_path / "store", write_channel(tmp_path / "channel"), {})
    path = built.environment["PATH"]
    assert path.startswith("/opt/conda/lib/language/bin:/opt/conda/bin:/usr/local/sbin:")
    assert dict(built.environment) == {
        "PATH": path,
        "CONDA_PREFIX": "/opt/conda",
        "LANGUAGE_HOME": "/opt/conda/lib/language",
        "LANGUAGE_OPTIONS": "fast /opt/conda/share/tool-data",
        "TOOL_DATA": "/opt/conda/share/tool-data",
    }
    assert built.annotation == "etc/conda/activate.d/zz-first.sh (zz-first-1.0-0)"


def test_variables_of_the_lock_win_and_scripts_see_them(tmp_path: Path) -> None:
    variables = {"TOOL_DATA": "/mine", "LANGUAGE_OPTIONS": "slow"}
    built = build(tmp_path / "store", write_channel(tmp_path / "channel"), variables)
    assert built.environment["TOOL_DATA"] == "/mine"
    assert built.environment["LANGUAGE_OPTIONS"] == "slow"


def test_servers_agree_and_a_second_image_runs_nothing(tmp_path: Path) -> None:
    channel = write_channel(tmp_path / "channel")
    one = build(tmp_path / "one", channel, {})
    assert build(tmp_path / "another/one", channel, {}, workers=2) == one
    (kept,) = (tmp_path / "one/activations").rglob("*.json")
    text = kept.read_text()
    assert str(tmp_path) not in text
    kept.write_text(text.replace("/opt/conda/share/tool-data", "/kept"))
    # Neither is a package needed again.
    shutil.rmtree(tmp_path / "one/packages")
    shutil.rmtree(tmp_path / "one/scratch", ignore_errors=True)
    assert build(tmp_path / "one", channel, {}).environment["TOOL_DATA"] == "/kept"
