import hashlib
import json
from pathlib import Path

import pytest

from builder.errors import CorruptPackage, UnsafePackage, UnsupportedPackage
from builder.install.assemble import assemble
from builder.layer import LayerPackage, LayerPlan
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from tests.builder.install.layers import (
    WRITTEN,
    Changed,
    assemble_bytes,
    assemble_packages,
    compare_golden,
    listing,
    record_of,
    store,
)

DEMO = Package(
    "demo",
    "1.0",
    "h0_0",
    subdir="linux-64",
    noarch=None,
    depends=("libc >=2",),
    license="MIT",
    entries=[
        Entry("bin/demo", f"#!{PLACEHOLDER}/bin/sh\necho {PLACEHOLDER}\n".encode(), mode=0o755),
        Entry("lib/libdemo.so.1", b"\x7fELF\0" + f"{PLACEHOLDER}/lib\0end".encode(), mode=0o775),
        Entry("lib/libdemo.so", link="libdemo.so.1"),
        Entry("lib/copy.so", hardlink="lib/libdemo.so.1", prefix_mode="binary"),
        Entry("share/demo/" + "long/" * 20 + "name" * 20, b"long\n"),
        Entry("share/demo/ümlaut", b"utf-8\n", mode=0o600),
        Entry("share/empty", directory=True),
    ],
)
MODULES = Package(
    "modules",
    "2.0",
    "pyh_0",
    noarch="python",
    depends=("python",),
    entry_points=("modules = modules.cli:main",),
    entries=[
        Entry("python-scripts/tool", b"#!/usr/bin/env python\n", mode=0o755),
        Entry("site-packages/modules/__init__.py", b""),
        Entry("site-packages/modules/cli.py", b"def main(): ...\n"),
    ],
)


def test_a_layer_has_the_listing_that_was_agreed_upon(tmp_path: Path) -> None:
    compare_golden("layer.txt", listing(assemble_packages(tmp_path, DEMO, MODULES)))


def test_the_record_of_a_package_is_what_was_agreed_upon(tmp_path: Path) -> None:
    layer = assemble_packages(tmp_path, DEMO, MODULES)
    for name in ("demo-1.0-h0_0.json", "modules-2.0-pyh_0.json"):
        text = layer.text(f"conda-meta/{name}")
        readable = json.dumps(json.loads(text), indent=2) + "\n"
        assert list(json.loads(text)) == sorted(json.loads(text))
        compare_golden(name, readable)


def test_both_encodings_have_the_same_tar(tmp_path: Path) -> None:
    zstd = assemble_packages(tmp_path, DEMO, encoding="zstd")
    gzip = assemble_packages(tmp_path, DEMO, encoding="gzip")
    assert zstd.tar == gzip.tar
    assert zstd.blob.diff_id == gzip.blob.diff_id
    assert zstd.compressed[:4] == b"\x28\xb5\x2f\xfd"
    assert gzip.compressed[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def test_the_build_prefix_is_gone_and_what_hashes_tell_of_it_is_right(tmp_path: Path) -> None:
    layer = assemble_packages(tmp_path, DEMO)
    assert layer.text("bin/demo") == "#!/opt/conda/bin/sh\necho /opt/conda\n"
    library = layer.content["opt/conda/lib/libdemo.so.1"]
    assert library.startswith(b"\x7fELF\0/opt/conda/lib\0\0")
    assert len(library) == len(DEMO.entries[1].data)
    record = json.loads(layer.text("conda-meta/demo-1.0-h0_0.json"))
    known = {path["_path"]: path for path in record["paths_data"]["paths"]}
    digest = hashlib.sha256(library).hexdigest()
    assert known["lib/libdemo.so.1"]["sha256_in_prefix"] == digest


def test_every_layer_lets_conda_see_a_prefix(tmp_path: Path) -> None:
    layer = assemble_packages(tmp_path)
    assert layer.names() == [
        "opt",
        "opt/conda",
        "opt/conda/conda-meta",
        "opt/conda/conda-meta/history",
    ]


def test_files_keep_their_time(tmp_path: Path) -> None:
    layer = assemble_packages(tmp_path, DEMO)
    assert {layer.members[f"opt/conda/{p}"].mtime for p in ("bin/demo", "lib/copy.so")} == {WRITTEN}


def test_what_a_later_package_has_too_is_left_out(tmp_path: Path) -> None:
    site = "lib/python3.11/site-packages/modules"
    layer = assemble_packages(
        tmp_path, Changed(MODULES, omit=("bin/modules", f"{site}/cli.py")), Changed(DEMO)
    )
    assert "bin/modules" not in layer.below_prefix()
    assert f"{site}/cli.py" not in layer.below_prefix()
    record = json.loads(layer.text("conda-meta/modules-2.0-pyh_0.json"))
    assert record["files"] == ["bin/tool", f"{site}/__init__.py"]


def test_entries_below_a_symlink_of_another_package_move_to_where_it_leads(
    tmp_path: Path,
) -> None:
    package = Package(
        "p",
        "1.0",
        entries=[
            Entry("lib64/a", b"a"),
            Entry("lib64/sub/b", b"b"),
            Entry("lib64/again", hardlink="lib64/a"),
        ],
    )
    layer = assemble_packages(tmp_path, Changed(package, redirects=(("lib64", "lib"),)))
    assert layer.below_prefix() == ["lib/a", "lib/sub/b", "lib/again"]
    assert layer.members["opt/conda/lib/again"].linkname == "opt/conda/lib/a"


def test_redirections_in_a_circle_are_refused(tmp_path: Path) -> None:
    package = Package("p", "1.0", entries=[Entry("a/x")])
    with pytest.raises(UnsafePackage, match="lead nowhere"):
        assemble_packages(tmp_path, Changed(package, redirects=(("a", "b"), ("b", "a"))))


HARD_LINKS = Package(
    "links",
    "1.0",
    entries=[
        Entry("share/first", b"content"),
        Entry("share/second", hardlink="share/first"),
        Entry("share/third", hardlink="share/second"),
    ],
)


def test_a_hard_link_points_to_the_first_name_that_is_kept(tmp_path: Path) -> None:
    layer = assemble_packages(tmp_path, HARD_LINKS)
    linked = [layer.members[f"opt/conda/share/{n}"].linkname for n in ("second", "third")]
    assert linked == ["opt/conda/share/first"] * 2


def test_a_hard_link_to_what_is_left_out_becomes_the_file(tmp_path: Path) -> None:
    layer = assemble_packages(tmp_path, Changed(HARD_LINKS, omit=("share/first",)))
    assert layer.below_prefix() == ["share/second", "share/third"]
    assert layer.text("share/second") == "content"
    assert layer.members["opt/conda/share/third"].linkname == "opt/conda/share/second"


def test_hard_links_with_different_prefixes_are_different_files(tmp_path: Path) -> None:
    text = f"prefix={PLACEHOLDER}\n".encode()
    package = Package(
        "links",
        "1.0",
        entries=[
            Entry("a", text, prefix_mode="text"),
            Entry("b", hardlink="a"),
            Entry("c", hardlink="a", prefix_mode="text"),
        ],
    )
    layer = assemble_packages(tmp_path, package)
    assert layer.text("a") == "prefix=/opt/conda\n"
    assert layer.content["opt/conda/b"] == text
    assert layer.members["opt/conda/c"].linkname == "opt/conda/a"


def test_an_entry_point_replaces_a_script_of_its_name(tmp_path: Path) -> None:
    package = Package(
        "p",
        "1.0",
        noarch="python",
        entry_points=("tool = first:main", "tool = second:main"),
        entries=[Entry("python-scripts/tool", b"#!python\n")],
    )
    layer = assemble_packages(tmp_path, package)
    assert layer.below_prefix() == ["bin/tool"]
    assert "from second import main" in layer.text("bin/tool")


def test_two_packages_of_a_layer_with_one_path_are_refused(tmp_path: Path) -> None:
    packages = [Package(name, "1.0", entries=[Entry("share/x")]) for name in "ab"]
    with pytest.raises(UnsafePackage, match="path 'share/x' of package 'b"):
        assemble_packages(tmp_path, *packages)


def test_modules_need_a_python(tmp_path: Path) -> None:
    data = package_bytes(MODULES)
    with pytest.raises(UnsupportedPackage, match="package 'modules"):
        assemble_bytes(tmp_path, [(LayerPackage(record_of(MODULES, data)), data)], python=None)


def test_large_texts_and_binaries_are_replaced_in_a_stream(tmp_path: Path) -> None:
    block = bytes(range(1, 256)) * 4096
    text = b"".join(block + PLACEHOLDER.encode() + b"/x\n" for _ in range(10))
    entries = [
        Entry("share/text", text, prefix_mode="text"),
        Entry("share/binary", text + b"\0", prefix_mode="binary"),
    ]
    layer = assemble_packages(tmp_path, Package("large", "1.0", entries=entries))
    expected = text.replace(PLACEHOLDER.encode(), b"/opt/conda")
    assert layer.content["opt/conda/share/text"] == expected
    binary = layer.content["opt/conda/share/binary"]
    assert binary == expected.ljust(len(text) + 1, b"\0")


def test_nothing_is_left_of_a_layer_that_failed(tmp_path: Path) -> None:
    good, bad = package_bytes(DEMO), b"damaged"
    packages = [
        LayerPackage(record_of(DEMO, good)),
        LayerPackage(record_of(Package("bad", "1.0"), bad)),
    ]
    paths = {
        p.record.sha256: store(tmp_path, d) for p, d in zip(packages, (good, bad), strict=True)
    }
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plan = LayerPlan(tuple(packages))
    with pytest.raises(CorruptPackage, match="package 'bad"):
        assemble(plan, paths, "zstd", scratch / "out", scratch, None)
    assert list(scratch.iterdir()) == []


def test_a_file_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        assemble(LayerPlan(()), {}, "zstd", out, tmp_path, None)
    assert out.read_bytes() == b"precious"


def test_what_its_owner_may_read_and_execute_all_may(tmp_path: Path) -> None:
    """conda's user owns what is installed, and an image's user does not."""
    modes = {"a": 0o600, "b": 0o700, "c": 0o640, "d": 0o400, "e": 0o664, "f": 0o000, "g": 0o755}
    entries = [Entry(f"share/{name}", b"x", mode=mode) for name, mode in modes.items()]
    links = [Entry("share/h", hardlink="share/b", mode=0o700)]
    layer = assemble_packages(tmp_path, Package("demo", "1.0", entries=[*entries, *links]))
    found = {n.rpartition("/")[2]: m.mode for n, m in layer.members.items() if "/share/" in n}
    expected = {"a": 0o644, "b": 0o755, "c": 0o644, "d": 0o444, "e": 0o664, "f": 0o444}
    assert found == {**expected, "g": 0o755, "h": 0o755}
