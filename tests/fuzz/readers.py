"""Everything here that reads what others wrote, with what it may refuse it with.

To a reader belong inputs that it takes, a way to change them, and the errors that its callers turn
into sentences. Whatever else comes out is a bug, as is what takes long, or differs the next time.
"""

import dataclasses
import datetime
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zstandard
from pydantic import ValidationError

from builder.build.activation import wants_machine
from builder.errors import (
    BaseImageError,
    BuilderError,
    ImageNameError,
    InputError,
    InvalidDigest,
    LockError,
    PackageError,
    UnknownPackage,
)
from builder.fetch.channel_credentials import read_credentials
from builder.image_name import canonical_name, parse
from builder.inputs import read_request
from builder.inputs.editing import PARTS, Change, edited, outline_of
from builder.inputs.places import place_of
from builder.install.activation import in_order, parse_exports, parse_variables
from builder.install.archive import PackageArchive
from builder.install.assemble import assemble
from builder.install.contents import read_contents
from builder.install.limits import Limits
from builder.install.prefix.installation import dump_installation, parse_installation
from builder.install.prefix.unpack import extract_bytecode, unpack
from builder.install.prefix.unpacked import UnpackedPackage, read_unpacked
from builder.install.tar_header import TarError
from builder.install.tar_reader import TarLimitExceeded, TarReader
from builder.install.wheel.contents import read_wheel_contents
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.lock import from_yaml, to_yaml
from builder.oci.models import ImageConfig, media_type_of, parse_manifest
from builder.oci.models import parse as parse_document
from builder.oci.reference import Reference, parse_reference
from builder.oci.tokens import token_request
from builder.pypi.requirement import canonical_requirement
from builder.records import PackageRecord, WheelRecord
from builder.rules.judging import Judge
from builder.rules.match_spec import parse_match_spec
from conformance.channel.hostile import HOSTILE
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from registry.auth.policy_file import read_policy
from registry.auth.rights import parse_pattern, parse_right
from registry.content.documents import read_document
from registry.content.names import parse_repository, parse_tag
from registry.errors import (
    EndpointUnknown,
    ManifestInvalid,
    NameInvalid,
    PolicyInvalid,
    PolicyTextInvalid,
    RegistryError,
    TagInvalid,
)
from registry.jobs.types import BUILD, COMPLETE, LAYER, SOLVE, BuildTask, LayerTask
from registry.policy.advisories import parse_advisories, united
from registry.policy.advisory_reading import SUFFIXES, FileRead, cut_archive, read_piece
from registry.policy.compiling import compile_rules
from registry.policy.places import Place
from registry.policy.policy import read_policy as read_package_policy
from registry.watcher.sniffing import looks_like_environment, looks_whole
from registry.web.distribution.paths import belongs_here, parse_path
from tests.builder.inputs.reading import DEFAULTS, MAX_BYTES
from tests.builder.inputs.test_environment import EXPORTED
from tests.builder.inputs.test_explicit import LIST
from tests.builder.inputs.test_exported import EXPORTED as EXPORTED_LIST
from tests.builder.inputs.test_pixi_lock import V5, V6, V7
from tests.builder.install.prefix.test_installation import PLAN as INSTALLATION
from tests.builder.lock.test_lock import foreign, lock
from tests.builder.test_spec import SPEC
from tests.fuzz.archives import change_package, change_tar, change_wheel, change_zip
from tests.fuzz.mutation import Mutate, change_json, change_text
from tests.made_by_others import directory, names
from tests.registry.accounts import HASH
from tests.registry.jobs.test_types import LIST as PACKAGE_LIST
from tests.registry.jobs.test_types import LOCK, PLAN, WHEELS
from tests.registry.policy.test_advisories import PYSEC
from tests.registry.policy.texts import EVERYTHING as ALL_RULES
from tests.registry.policy.texts import osv_json
from tests.registry.pushing import descriptor, index_of, manifest_of
from tests.tiny_wheels import EVERYTHING, TinyWheel, wheel_bytes, wheel_record

#: What packages may unpack to here: bombs are refused after a moment instead of 64 GiB.
LIMITS: Final = Limits(
    unpacked_bytes=32 << 20, entries=5000, info_bytes=4 << 20, directory_bytes=1 << 20
)
#: Larger inputs of others are left out: most of the time would be spent in compressors.
_MAX_SEED_BYTES: Final = 130_000
_PYTHON: Final = PythonTarget("3.11.7", "lib/python3.11/site-packages")
_PREFIX: Final = "opt/conda/"


@dataclass(frozen=True)
class Reader:
    """What reads one kind of input."""

    name: str
    seeds: Callable[[], Sequence[bytes]]
    change: Mutate
    #: Takes an input, and an empty directory that it may fill; returns what says what it read.
    read: Callable[[bytes, Path], object]
    refusals: tuple[type[BaseException], ...]


def _others(*patterns: str) -> list[bytes]:
    root = directory()
    found = [root / name for pattern in patterns for name in names(pattern)] if root else []
    return [path.read_bytes() for path in found if path.stat().st_size <= _MAX_SEED_BYTES]


def _packages() -> list[bytes]:
    text = f"#!{PLACEHOLDER}/bin/python\n".encode()
    module = Entry("site-packages/every/__init__.py", data=b"x = 1\n")
    kinds = [
        Entry("bin/every", data=text, mode=0o755),
        Entry("lib/every.so", data=b"\x7fELF" + PLACEHOLDER.encode() + b"/lib\0\0"),
        Entry("lib/link", link="every.so"),
        Entry("lib/hard", hardlink="lib/every.so"),
        Entry("share/empty", directory=True),
        Entry("share/" + "long/" * 30 + "é", data=b"x" * 700),
        Entry("etc/conda/activate.d/every.sh", data=b'export A="$CONDA_PREFIX/b"\n'),
    ]
    python = Package(
        "every", "1.0", noarch="python", entries=[module], entry_points=("every = every:main",)
    )
    every = Package("every", "1.0", subdir="linux-64", noarch=None, entries=kinds)
    own = [
        package_bytes(one)
        for one in (python, every, dataclasses.replace(every, extension=".tar.bz2"))
    ]
    hostile = (
        make(Package(name, "1.0", subdir="linux-64", noarch=None))[1]
        for name, make in HOSTILE.items()
        if name not in {"huge-paths-json", "zstd-bomb"}
    )
    real = _others("real/packages/*", "cases/*/*.conda", "cases/*/*/*/*.conda")
    return [*own, *(data for data in hostile if len(data) <= _MAX_SEED_BYTES), *real]


def _tars() -> list[bytes]:
    found = []
    for tar_format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
            for name, kind, data in (
                ("bin/a", tarfile.REGTYPE, b"x" * 600),
                ("lib/" + "d/" * 40 + "é", tarfile.REGTYPE, b""),
                ("lib/link", tarfile.SYMTYPE, b""),
                ("lib/hard", tarfile.LNKTYPE, b""),
                ("share", tarfile.DIRTYPE, b""),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.size, info.linkname = kind, len(data), "bin/a"
                info.pax_headers = {"mtime": "1.5"} if tar_format == tarfile.PAX_FORMAT else {}
                archive.addfile(info, io.BytesIO(data))
        found.append(out.getvalue())
    return found


def _read_tar(data: bytes, _: Path) -> object:
    read = []
    for entry in TarReader(io.BytesIO(data).read, 1 << 26):
        digest, size = hashlib.sha256(), 0
        for chunk in entry.chunks():
            digest.update(chunk)
            size += len(chunk)
        assert size == entry.size
        read.append((entry.name, entry.kind, entry.mode, entry.mtime, digest.digest(), entry.link))
    return read


def _read_package(data: bytes, root: Path) -> object:
    path = root / "archive"
    path.write_bytes(data)
    info = PackageArchive(path, "fuzzed-1.0-0", LIMITS).read_info()
    record = PackageRecord(
        name=info.name.lower(),
        version=info.version,
        build=info.build,
        build_number=0,
        subdir="linux-64",
        url="https://channel.test/main/linux-64/fuzzed-1.0-0.conda",
        sha256="0" * 64,
        md5="0" * 32,
        size_bytes=len(data),
    )
    return read_contents(path, record, LIMITS), _layer(record, path, root)


def _read_wheel(data: bytes, root: Path) -> object:
    path = root / "archive"
    path.write_bytes(data)
    record = dataclasses.replace(wheel_record(EVERYTHING), sha256="0" * 64)
    return read_wheel_contents(path, record, LIMITS), _layer(record, path, root)


def _layer(record: PackageRecord | WheelRecord, path: Path, root: Path) -> object:
    """Return a layer of the archive; all of it lies below the prefix, whatever reads it."""
    scratch = root / "scratch"
    scratch.mkdir()
    plan = LayerPlan((LayerPackage(record),), _PYTHON)
    try:
        blob = assemble(
            plan, {record.sha256: path}, "gzip", root / "layer", scratch, None, limits=LIMITS
        )
    finally:
        left = list(scratch.iterdir())
        scratch.rmdir()
    assert left == []
    leaves = set()
    with tarfile.open(root / "layer") as archive:
        for member in archive:
            if not member.isdir():
                leaves.add(member.name.removeprefix(_PREFIX))
            assert f"{member.name}/".startswith(_PREFIX) or _PREFIX.startswith(f"{member.name}/")
            assert ".." not in member.name.split("/")
            assert member.isreg() or member.isdir() or member.issym() or member.islnk()
            if member.islnk():
                assert member.linkname.startswith(_PREFIX)
                assert ".." not in member.linkname.split("/")
    (root / "layer").unlink()
    return blob, _unpacked(record, path, root, leaves - {"conda-meta/history"})


def _unpacked(
    record: PackageRecord | WheelRecord, path: Path, root: Path, leaves: set[str]
) -> UnpackedPackage:
    """Return the archive as an unpacked package: it has what its layer has, and nothing else."""
    out = root / "unpacked"
    package = unpack(LayerPackage(record), _PYTHON, path, None, out, limits=LIMITS)
    assert read_unpacked(out) == package
    paths = [*package.shared, *(path for path, _ in package.symlinks)]
    assert sorted([*paths, *(file.path for file in package.prefixed)]) == sorted(leaves)
    found = [found for found in out.rglob("*") if not found.is_dir() or found.is_symlink()]
    assert all(file.is_file() and not file.is_symlink() for file in found)
    parts = len({file.part for file in package.prefixed})
    assert len(found) == len(package.shared) + parts + 1
    shutil.rmtree(out)
    return package


def _read_bytecode(data: bytes, root: Path) -> object:
    (root / "archive").write_bytes(zstandard.compress(data))
    to = root / "bytecode"
    try:
        extract_bytecode(root / "archive", to)
    finally:
        (root / "archive").unlink()
        assert {path.name for path in root.iterdir()} <= {"bytecode"}
    found = sorted(path for path in to.rglob("*") if path.is_symlink() or not path.is_dir())
    assert all(path.suffix == ".pyc" and not path.is_symlink() for path in found)
    read = [(str(path.relative_to(to)), path.read_bytes()) for path in found]
    shutil.rmtree(to)
    return read


def _bytecode() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("a.pyc", "lib/python3.11/__pycache__/a.cpython-311.pyc", "lib/é/b.pyc"):
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(b"x" * 700))
    return [out.getvalue()]


def _read_installation(data: bytes, _: Path) -> object:
    plan = parse_installation(data)
    again = dump_installation(plan)
    assert parse_installation(again) == plan
    return again, [plan.name_of(package) for package in plan.packages]


def _read_lock(data: bytes, _: Path) -> object:
    found = from_yaml(data)
    assert from_yaml(to_yaml(found)).key == found.key
    return found


def _read_form(data: bytes, _: Path) -> object:
    text = data.decode("utf-8", "replace")
    place = place_of(data, text[:2000])
    outline = outline_of(text)
    changes = [Change(part, 0, "") for part in PARTS if outline.parts[part]]
    changed = edited(text, [*changes, *(Change(part, None, "added") for part in PARTS)])
    after = outline_of(changed)
    assert all(after.texts(part) == [*outline.texts(part)[1:], "added"] for part in PARTS), changed
    assert after.others == outline.others
    return place, outline, changed


def _read_file_of_a_source(data: bytes, _: Path) -> object:
    return looks_like_environment(data), looks_whole(data)


def _read_input(data: bytes, _: Path) -> object:
    return read_request(data, DEFAULTS, max_bytes=MAX_BYTES)


def _read_name(data: bytes, _root: Path) -> object:
    repository, _, tag = data.decode("utf-8", "replace").partition(":")
    known = {"conda-forge": {"numpy", "pandas", "python", "ruamel.yaml"}, "bioconda": {"samtools"}}
    spec = parse(repository, tag, known, DEFAULTS, today=datetime.date(2026, 11, 1))
    canonical = canonical_name(spec)
    return spec.digest, canonical


def _read_place(data: bytes, _: Path) -> object:
    path = data.decode("utf-8", "replace")
    assert isinstance(belongs_here(path), bool)
    target = parse_path("/v2/" + path)
    repository = parse_repository(target.name)
    return repository, parse_tag(target.reference) if target.reference else None


def _read_pushed(data: bytes, _: Path) -> object:
    return read_document(data, "")


def _read_base(data: bytes, _: Path) -> object:
    return parse_manifest(data, media_type_of(data))


def _read_config(data: bytes, _: Path) -> object:
    return parse_document(ImageConfig, data)


def _read_policy(data: bytes, root: Path) -> object:
    (root / "auth.toml").write_bytes(data)
    policy = read_policy(root / "auth.toml")
    return sorted(policy.identities)


def _read_rules(data: bytes, _: Path) -> object:
    text = data.decode("utf-8", "replace")
    policy = read_package_policy("fuzzed", text)
    rules = compile_rules([policy], (), (), "team", None, datetime.date(2026, 11, 1))
    Judge(rules)
    assert read_package_policy("fuzzed", text).sentences() == policy.sentences()
    return policy.sentences(), rules.digest


def _read_advisory(data: bytes, _: Path) -> object:
    return united(parse_advisories("a.json", data))


def _read_yaml(data: bytes, _: Path) -> object:
    return united(parse_advisories("a.yaml", data))


def _read_archive(data: bytes, root: Path) -> object:
    (root / "all.zip").write_bytes(data)
    place = Place(root, SUFFIXES)
    pieces = cut_archive(place, "all.zip")
    if isinstance(pieces, FileRead):
        assert "the server failed" not in str(pieces.problems)
        return sorted(pieces.problems.items())
    read = [read_piece(place, piece)["all.zip"] for piece in pieces]
    told = [str(problem) for one in read for problem in one.problems.values()]
    assert not any("the server failed" in one for one in told), told
    return [sorted(one.said.items()) for one in read], told


def _archives() -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("GHSA-1.json", osv_json())
        archive.writestr("deep/PYSEC-2024-60.yaml", PYSEC)
    return [out.getvalue()]


def _advisories() -> list[bytes]:
    scored = osv_json(
        severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        database_specific={"severity": "HIGH"},
        aliases=["CVE-2026-1"],
    )
    return [osv_json(), scored, b"[" + scored + b"]", b'{"vulns": [' + osv_json() + b"]}"]


def _read_credentials(data: bytes, root: Path) -> object:
    (root / "credentials.json").write_bytes(data)
    return read_credentials(root / "credentials.json").knows("conda.example.com")


def _read_words(data: bytes, _: Path) -> object:
    text = data.decode("utf-8", "replace")
    found = []
    for parse_text in (parse_match_spec, canonical_requirement, parse_right, parse_pattern):
        try:
            found.append(str(parse_text(text)))
        except ValueError as exc:
            found.append(str(exc))
    try:
        found.append(str(parse_reference(text)))
    except (BaseImageError, InvalidDigest) as exc:
        found.append(exc.message)
    return found


def _read_challenge(data: bytes, _: Path) -> object:
    reference = Reference("registry.test", "library/debian", "latest", None)
    return token_request(data.decode("latin-1"), reference)


def _read_scripts(data: bytes, _: Path) -> object:
    text = data.decode("utf-8", "replace")
    exports, variables = parse_exports(text), parse_variables(text)
    path = "etc/conda/activate.d/a.sh"
    order = in_order({path: text if exports is None else exports})
    return exports, variables, wants_machine(text), order


def _read_order(data: bytes, _root: Path) -> object:
    kind, _, asked = data.partition(b" ")
    adapters: dict[bytes, Any] = {
        b"solve": SOLVE.asked,
        b"complete": COMPLETE.asked,
        b"build": BUILD.asked,
        b"layer": LAYER.asked,
    }
    adapter = adapters.get(kind, SOLVE.asked)
    found = adapter.validate_json(asked)
    return adapter.dump_json(found)


def _orders() -> list[bytes]:
    return [
        b"solve " + SOLVE.asked.dump_json(SPEC),
        b"complete " + COMPLETE.asked.dump_json(PACKAGE_LIST),
        b"build " + BUILD.asked.dump_json(BuildTask(LOCK, "oci-zstd")),
        b"layer " + LAYER.asked.dump_json(LayerTask(PLAN, "zstd", ())),
        b"layer " + LAYER.asked.dump_json(LayerTask(WHEELS, "gzip", ())),
    ]


def _changed_order(data: bytes, chance: Any) -> bytes:
    kind, _, asked = data.partition(b" ")
    return kind + b" " + change_json(asked, chance)


def _documents() -> list[bytes]:
    plain = manifest_of(b"{}", b"layer", annotations={"a": "b"}, subject=descriptor(b"x", "a/b"))
    return [plain, index_of(plain, b"{}"), index_of(plain, artifactType="a/b")]


_CONFIG: Final = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"a": "b"}, "User": "0"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
        "history": [{"created_by": "x", "empty_layer": True}],
    }
).encode()
_POLICY: Final = f"""\
token_key = "{"a" * 64}"
private = ["team/**"]
[users.ada]
hash = '{HASH}'
rights = ["team/**:pull,push", "**:catalog"]
expires = 2027-01-01T00:00:00Z
""".encode()
_CREDENTIALS: Final = json.dumps(
    {
        "conda.example.com": {"BasicHTTP": {"username": "ada", "password": "s"}},
        "*.prefix.dev": {"BearerToken": "s"},
        "conda.anaconda.org": {"CondaToken": "s"},
    }
).encode()
_WORDS: Final = (
    *(
        b"numpy>=1.26,<2",
        b"conda-forge::python=3.12.*=*_cpython",
        b"numpy[version='>=1,<2',build=x]",
    ),
    *(b"requests[socks]>=2; python_version < '4' --hash=sha256:" + b"0" * 64, b"team/**:pull,push"),
    *(b"ghcr.io/acme/base:v1@sha256:" + b"0" * 64, b"localhost:5000/base", b"python ==3.12|>=3.13"),
)
_SCRIPTS: Final = (
    b"export GDAL_DATA=\"$CONDA_PREFIX/share/gdal\"\nexport A='b c'd\n# x\n",
    b'if [ -n "${A:-}" ]; then\n  export CONDA_BACKUP_A="$A"\nfi\nexport PATH="$CONDA_PREFIX/x:$PATH"\n',
    b'{"A": "1", "B": "x y"}',
    b'for f in "${CONDA_PREFIX}"/etc/*; do . "$f"; done; cat /proc/self/x; uname -a\n',
)
_NAMES_OF_IMAGES: Final = (
    *(b"env/numpy.pandas:latest", b"env/python.3.12.numpy.ge.1.26.lt.2:2026-10-01-py3.12-cuda12.4"),
    *(b"env/ruamel.yaml/bioconda--samtools:bare", b"env/pypi--requests.numpy:user1000-x86_64_v3"),
)  # fmt: skip
_PLACES: Final = (
    *(b"team/app/manifests/latest", b"team/app/blobs/uploads/" + b"0" * 32, b"a/referrers/sha256:x"),
    *(b"_catalog", b"token", b"a/b/tags/list", b"a/manifests/b/manifests/c", b""),
)  # fmt: skip
_CHALLENGES: Final = (
    b'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b:pull"',
    b'Basic realm="x"',
    b'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"',
)


def _inputs() -> list[bytes]:
    own = [one.encode() for one in (EXPORTED, LIST, EXPORTED_LIST, V5, V6, V7)]
    request = json.dumps(
        {
            "specs": ["numpy>=1.26,<2", "bioconda::samtools"],
            "pip": ["requests>=2"],
            "channels": ["conda-forge", "bioconda"],
            "platforms": ["linux-64"],
            "variables": {"A": "b"},
            "until": "2026-01-01",
            "user": "1000",
        }
    ).encode()
    return [*own, request, foreign(), to_yaml(lock()), *_others("cases/*/*.yml", "cases/*/*.lock")]


def _wheels() -> list[bytes]:
    linked = TinyWheel(
        EVERYTHING.name, EVERYTHING.version, files={"a/__init__.py": b""}, links={"a/b": "/etc/x"}
    )
    return [wheel_bytes(EVERYTHING), wheel_bytes(linked), *_others("cases/*/*/*.whl")]


def _own(*seeds: bytes) -> Callable[[], Sequence[bytes]]:
    return lambda: seeds


READERS: Final = (
    Reader("tar", _tars, change_tar, _read_tar, (TarError, TarLimitExceeded)),
    Reader("package", _packages, change_package, _read_package, (PackageError,)),
    Reader("wheel", _wheels, change_wheel, _read_wheel, (PackageError,)),
    Reader("bytecode", _bytecode, change_tar, _read_bytecode, (PackageError,)),
    Reader(
        *("installation", _own(dump_installation(INSTALLATION)), change_json, _read_installation),
        (ValueError,),
    ),
    Reader("lock", lambda: [to_yaml(lock()), foreign()], change_text, _read_lock, (LockError,)),
    Reader("input", _inputs, change_text, _read_input, (InputError,)),
    Reader("form", _inputs, change_text, _read_form, (InputError,)),
    Reader("file of a source", _inputs, change_text, _read_file_of_a_source, ()),
    Reader(
        *("name", _own(*_NAMES_OF_IMAGES), change_text, _read_name),
        (ImageNameError, UnknownPackage),
    ),
    Reader(
        *("address", _own(*_PLACES), change_text, _read_place),
        (EndpointUnknown, NameInvalid, TagInvalid),
    ),
    Reader("pushed manifest", _documents, change_json, _read_pushed, (ManifestInvalid,)),
    Reader("manifest of a base", _documents, change_json, _read_base, (BaseImageError,)),
    Reader("config of a base", _own(_CONFIG), change_json, _read_config, (BaseImageError,)),
    Reader("policy", _own(_POLICY), change_text, _read_policy, (PolicyInvalid,)),
    Reader(
        *("policy of packages", _own(ALL_RULES.encode()), change_text, _read_rules),
        (PolicyTextInvalid,),
    ),
    Reader("advisory", _advisories, change_json, _read_advisory, (PolicyTextInvalid,)),
    Reader("advisory of yaml", _own(PYSEC), change_text, _read_yaml, (PolicyTextInvalid,)),
    Reader("archive of advisories", _archives, change_zip, _read_archive, ()),
    Reader("credentials", _own(_CREDENTIALS), change_json, _read_credentials, (ValueError,)),
    Reader("words", _own(*_WORDS), change_text, _read_words, ()),
    Reader("challenge", _own(*_CHALLENGES), change_text, _read_challenge, (BaseImageError,)),
    Reader("scripts", _own(*_SCRIPTS), change_text, _read_scripts, ()),
    Reader("order", _orders, _changed_order, _read_order, (ValidationError, BuilderError)),
)
BY_NAME: Final = {reader.name: reader for reader in READERS}


def sentence_of(error: BaseException) -> Iterator[str]:
    """Yield what a user is told, if it is an error that users are told."""
    if isinstance(error, PackageError | InputError | ImageNameError | RegistryError | LockError):
        yield error.message
