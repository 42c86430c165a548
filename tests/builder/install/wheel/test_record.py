"""RECORD is what a wheel says of its files; every file is installed, whatever it says.

What is expected here is what pip 26.3 and uv 0.13.9 do with the same wheels: both install all.
"""

import csv
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from builder.errors import CorruptPackage
from builder.layer import LayerPackage
from builder.records import WheelRecord
from tests.builder.install.layers import PYTHON, Layer, assemble_bytes, assemble_wheels
from tests.made_by_others import made_by_others
from tests.tiny_wheels import TinyWheel, hash_of, wheel_bytes, wheel_record

SITE = PYTHON.site_packages
INFO = "demo-1.0.dist-info"
CONTENT = b"x = 1\n"
BYTECODE = "__pycache__/demo.cpython-36.pyc"

RECORDS = {
    "names bytecode that is not there": f"demo.py,{hash_of(CONTENT)},6\n{BYTECODE},,\n",
    "has no hash": "demo.py,,\n",
    "has another hash": f"demo.py,{hash_of(b'other')},5\n",
    "has another size": f"demo.py,{hash_of(CONTENT)},99\n",
    "has padding": f"demo.py,{hash_of(CONTENT)}=,6\n",
    "is weak": "demo.py,md5=abc,6\n",
    "has an unknown algorithm": "demo.py,crc=abc,6\n",
    "has a file twice": f"demo.py,{hash_of(CONTENT)},6\ndemo.py,{hash_of(b'')},0\n",
    "names a file that is not there": f"demo.py,{hash_of(CONTENT)},6\nx.py,{hash_of(b'')},0\n",
    "names a directory": f"demo.py,{hash_of(CONTENT)},6\ndemo/,,\n",
    "has absolute names": f"/demo.py,{hash_of(CONTENT)},6\n",
    "has dots": f"./demo.py,{hash_of(CONTENT)},6\n",
    "has a mark": f"\ufeffdemo.py,{hash_of(CONTENT)},6\n",
    "is of Windows": f"demo.py,{hash_of(CONTENT)},6\r\n",
    "has no last newline": f"demo.py,{hash_of(CONTENT)},6",
    "is empty": "",
    # pip alone takes these.
    "has other columns": f"demo.py\n{INFO}/WHEEL,{hash_of(b'')},5,more\n",
}


def rows(layer: Layer, stem: str) -> dict[str, tuple[str, str]]:
    found = [*csv.reader(layer.text(f"{SITE}/{stem}.dist-info/RECORD").splitlines())]
    assert len({path for path, _, _ in found}) == len(found)
    return {path: (hashed, size) for path, hashed, size in found}


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_that_is_installed_says_what_is_there(tmp_path: Path, name: str) -> None:
    wheel = TinyWheel("demo", files={"demo.py": CONTENT}, info={"RECORD": RECORDS[name].encode()})
    layer = assemble_wheels(tmp_path, wheel)
    names = ("INSTALLER", "METADATA", "RECORD", "WHEEL")
    written = rows(layer, "demo-1.0")
    assert written.keys() == {"demo.py", *(f"{INFO}/{name}" for name in names)}
    assert written.pop(f"{INFO}/RECORD") == ("", "")
    for path, (hashed, size) in written.items():
        content = layer.content[f"opt/conda/{SITE}/{path}"]
        assert (hashed, size) == (hash_of(content), str(len(content)))


def test_what_it_leaves_out_goes_where_it_belongs(tmp_path: Path) -> None:
    files = {
        "demo.py": CONTENT,
        "{data}/data/share/demo": b"",
        "{data}/scripts/demo": b"#!python\n",
    }
    layer = assemble_wheels(tmp_path, TinyWheel("demo", files=files, info={"RECORD": b""}))
    assert {"share/demo", "bin/demo"} <= set(layer.below_prefix())
    assert layer.members["opt/conda/bin/demo"].mode == 0o755
    assert layer.text("bin/demo") == "#!/opt/conda/bin/python3.11\n"
    assert {"../../../share/demo", "../../../bin/demo"} <= rows(layer, "demo-1.0").keys()


def test_signatures_of_it_are_kept(tmp_path: Path) -> None:
    wheel = TinyWheel("demo", info={"RECORD.jws": b"{}", "RECORD.p7s": b"signed"})
    written = rows(assemble_wheels(tmp_path, wheel), "demo-1.0")
    assert written[f"{INFO}/RECORD.jws"] == (hash_of(b"{}"), "2")
    assert written[f"{INFO}/RECORD.p7s"] == (hash_of(b"signed"), "6")


def test_a_link_is_a_file_that_says_where_it_leads(tmp_path: Path) -> None:
    layer = assemble_wheels(tmp_path, TinyWheel("demo", links={"link": "/etc"}))
    member = layer.members[f"opt/conda/{SITE}/link"]
    assert (member.isreg(), member.mode) == (True, 0o644)
    assert layer.text(f"{SITE}/link") == "/etc"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_have_to_be_the_same(tmp_path: Path) -> None:
    wheel = TinyWheel("demo", files={"demo.py": b"first\n"})
    out = BytesIO(wheel_bytes(wheel))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("demo.py", "first\n")
    data = out.getvalue()
    layer = assemble_bytes(tmp_path, [(LayerPackage(wheel_record(wheel, data)), data)])
    assert layer.text(f"{SITE}/demo.py") == "first\n"
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("demo.py", "second\n")
    data = out.getvalue()
    with pytest.raises(CorruptPackage, match=r"it has 'demo\.py' twice"):
        assemble_bytes(tmp_path, [(LayerPackage(wheel_record(wheel, data)), data)])


def test_a_directory_of_metadata_may_be_of_another_version(tmp_path: Path) -> None:
    wheel = TinyWheel("demo")
    data = wheel_bytes(wheel).replace(b"demo-1.0.dist-info", b"Demo-9.9.dist-info")
    layer = assemble_bytes(tmp_path, [(LayerPackage(wheel_record(wheel, data)), data)])
    assert f"{SITE}/Demo-9.9.dist-info/METADATA" in layer.below_prefix()


def test_a_wheel_that_others_made_names_bytecode_that_it_lacks(tmp_path: Path) -> None:
    [path] = made_by_others("cases/report-09/wheels").glob("*.whl")
    data = path.read_bytes()
    record = WheelRecord(
        "pycnohash",
        "1.0",
        f"https://files.test/{path.name}",
        wheel_record(TinyWheel("x"), data).sha256,
    )
    layer = assemble_bytes(tmp_path, [(LayerPackage(record), data)])
    assert f"{SITE}/pycnohash/__init__.py" in layer.below_prefix()
