"""Changes to tars, zips and the packages that are made of them: see :mod:`tests.fuzz.mutation`."""

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from random import Random
from typing import Final

import zstandard

from tests.fuzz.mutation import NUMBERS, TEXTS, change_bytes, change_json, change_text

_BLOCK: Final = 512
#: Start and length of the fields of a tar header.
_FIELDS: Final = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "type": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "device": (329, 8),
    "prefix": (345, 155),
    "sparse": (386, 96),
    "more": (482, 1),
    "realsize": (483, 12),
}
_TYPES: Final = b"0\x0012345679gxLKSDMNVX\xff"
_PAX_KEYS: Final = (
    *("path", "linkpath", "size", "mtime", "uid", "hdrcharset", "SCHILY.xattr.user.x", ""),
    *("GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major", "GNU.sparse.minor"),
    *("GNU.sparse.realsize", "GNU.sparse.name", "GNU.sparse.offset", "GNU.sparse.numbytes"),
)
#: The longest body of a member that is made up.
_MAX_BODY: Final = 3000

#: What zipfile raises on what was changed before.
_UNREADABLE_ZIP: Final = (
    zipfile.BadZipFile,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    lzma.LZMAError,
    zlib.error,
)


def change_tar(data: bytes, chance: Random) -> bytes:
    """Change fields of headers, whose checksums stay right, and the order and number of blocks."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        headers = _headers(data)
        if not headers or chance.randrange(10) == 0:
            return change_bytes(data, chance)
        at = chance.choice(headers)
        match chance.randrange(8):
            case 0:
                data = data[:at] + _member_before(chance) + data[at:]
            case 1:
                end = chance.choice([*headers, len(data)])
                data = data[:at] + data[max(at, end) :]
            case 2:
                end = chance.choice([*headers, len(data)])
                data = data[:at] + data[at : max(at, end)] * 2 + data[max(at, end) :]
            case 3:
                data = data[: chance.choice((at, at + chance.randrange(_BLOCK * 2)))]
            case _:
                data = (
                    data[:at]
                    + _changed_header(data[at : at + _BLOCK], chance)
                    + data[at + _BLOCK :]
                )
    return data


def change_zip(data: bytes, chance: Random) -> bytes:
    """Change a zip's list of members, what stands before each, or what says where the list is."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind, fields = chance.choice(tuple(_ZIP.items()))
        places = [n for n in range(len(changed)) if changed.startswith(kind, n)]
        if not places or chance.randrange(10) == 0:
            return change_bytes(bytes(changed), chance)
        place = chance.choice(places)
        offset, length = chance.choice(fields)
        value = chance.choice([*NUMBERS, chance.randrange(len(data) + 1)]) % 256**length
        changed[place + offset : place + offset + length] = value.to_bytes(length, "little")
    return bytes(changed)


def change_names(data: bytes, chance: Random) -> bytes:
    """Write a zip anew with members renamed, repeated, left out, in another order or compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(one, archive.read(one)) for one in archive.infolist()]
    except _UNREADABLE_ZIP:
        return change_bytes(data, chance)
    at = chance.randrange(len(members)) if members else 0
    out = io.BytesIO()
    what = chance.randrange(6)
    with zipfile.ZipFile(out, "w") as archive:
        for number, (member, content) in enumerate(members):
            times = 1
            if number == at:
                if what == 0:
                    member.filename = chance.choice(TEXTS)[:60_000]
                elif what == 1:
                    member.filename += chance.choice(TEXTS)[:60_000]
                elif what == 2:
                    members[at] = member, _changed_content(content, chance)
                elif what == 3:
                    member.external_attr = chance.choice(NUMBERS) % 2**32
                    member.compress_type = chance.choice((0, 8, 12, 14))
                elif what == 4:
                    times = chance.choice((0, 2))
                else:
                    member.extra = _zip64(chance)
            for _ in range(times):
                _write(archive, member, members[number][1])
    return out.getvalue()


def change_package(data: bytes, chance: Random) -> bytes:
    """Change a conda package of either format: its zip, its tars, or what its metadata say."""
    if data[:3] == b"BZh":
        return _changed_bz2(data, chance)
    if chance.randrange(6) == 0:
        return change_zip(data, chance)
    if chance.randrange(6) == 0:
        return change_names(data, chance)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except _UNREADABLE_ZIP:
        return change_bytes(data, chance)
    tars = [name for name in members if name.endswith(".tar.zst")]
    if not tars:
        return change_zip(data, chance)
    name = chance.choice(tars)
    try:
        tar = zstandard.ZstdDecompressor().decompressobj().decompress(members[name])
    except zstandard.ZstdError:
        return change_bytes(data, chance)
    members[name] = zstandard.compress(_changed_package_tar(tar, chance), 1)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for one, content in members.items():
            archive.writestr(one or "/", content)  # zipfile takes no empty name
    return out.getvalue()


def change_wheel(data: bytes, chance: Random) -> bytes:
    """Change a wheel: its zip, or what its files say."""
    return chance.choice((change_zip, change_names, change_names))(data, chance)


def _headers(data: bytes) -> list[int]:
    """Return where there seem to be headers: blocks with the magic of USTAR or GNU."""
    return [n for n in range(0, len(data), _BLOCK) if data[n + 257 : n + 262] == b"ustar"]


def _changed_header(header: bytes, chance: Random) -> bytes:
    start, length = _FIELDS[chance.choice(tuple(_FIELDS))]
    value = b"%d" % chance.choice(NUMBERS)
    match chance.randrange(4):
        case _ if length == 1:
            value = bytes([chance.choice(_TYPES)])
        case 0:
            value = chance.choice(TEXTS).encode("utf-8", "surrogatepass")
        case 1:
            value = b"%o" % abs(chance.choice(NUMBERS))
        case 2:
            value = bytes([chance.choice((0x80, 0xFF))]) + chance.randbytes(length - 1)
        case _:
            pass
    field = value[:length].ljust(length, b"\0")
    return _with_sum(header[:start] + field + header[start + length :])


def _with_sum(header: bytes) -> bytes:
    header = header.ljust(_BLOCK, b"\0")
    total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    return header[:148] + b"%06o\0 " % total + header[156:]


def _member_before(chance: Random) -> bytes:
    """Return an extended header, a long name, a sparse file or a link with odd values."""
    info = tarfile.TarInfo(chance.choice(("x", "a/b", "./././@LongLink")))
    info.type = bytes([chance.choice(_TYPES)])
    info.mtime = chance.choice((0, 2**33 - 1))
    body = b""
    for _ in range(chance.choice((1, 1, 3))):
        key, text = (
            chance.choice(_PAX_KEYS),
            chance.choice((*TEXTS, *map(str, NUMBERS), "0,1", "1\n0\n1\n")),
        )
        record = f" {key}={text}\n".encode("utf-8", "surrogatepass")
        size = len(record)
        while len(b"%d" % size) + len(record) != size:
            size = len(b"%d" % size) + len(record)
        body += b"%d%s" % (size + chance.choice((0, 0, 0, 0, 1, -1)), record)
    if info.type in b"LK":
        body = chance.choice(TEXTS).encode("utf-8", "surrogatepass") + b"\0"
    elif info.type not in b"xgS":
        body = chance.randbytes(chance.randrange(_MAX_BODY)) if info.type in b"0\0007" else b""
    info.size = len(body)
    info.linkname = chance.choice(("", "a", "../x", "/etc/passwd"))
    header = info.tobuf(tarfile.GNU_FORMAT)[-_BLOCK:]
    if info.type == b"S":
        header = _changed_header(header, chance)
    return header + body + bytes(-len(body) % _BLOCK)


def _changed_package_tar(tar: bytes, chance: Random) -> bytes:
    if chance.randrange(2):
        return change_tar(tar, chance)
    members = []
    try:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for one in archive:
                if one.size > len(tar) or one.sparse:  # tarfile would make all of it
                    return change_tar(tar, chance)
                body = archive.extractfile(one) if one.isreg() else None
                members.append((one, body.read() if body else b""))
    except (tarfile.TarError, OSError, ValueError, KeyError, EOFError, OverflowError):
        return change_tar(tar, chance)
    if not members:
        return change_tar(tar, chance)
    at = chance.randrange(len(members))
    member, content = members[at]
    content = _changed_content(content, chance)
    member.size = len(content) if member.isreg() else 0
    members[at] = member, content
    out = io.BytesIO()
    try:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for one, data in members:
                archive.addfile(one, io.BytesIO(data))
    except (
        tarfile.TarError,
        OSError,
        ValueError,
        OverflowError,
    ):  # one was changed to what cannot be written
        return change_tar(tar, chance)
    return out.getvalue()


def _changed_bz2(data: bytes, chance: Random) -> bytes:
    try:
        tar = bz2.decompress(data)
    except (OSError, ValueError, EOFError):
        return change_bytes(data, chance)
    if chance.randrange(10) == 0:
        return change_bytes(data, chance)
    return bz2.compress(_changed_package_tar(tar, chance), 1)


def _changed_content(content: bytes, chance: Random) -> bytes:
    if content[:1] in {b"{", b"["}:
        return change_json(content, chance)
    return change_text(content, chance) if len(content) < 100_000 else change_bytes(content, chance)


def _zip64(chance: Random) -> bytes:
    values = struct.pack("<QQQ", *(chance.choice(NUMBERS) % 2**64 for _ in range(3)))
    return (
        struct.pack("<HH", chance.choice((1, 0x7075, 0x9901)), chance.choice((24, 8, 3, 65_535)))
        + values
    )


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: bytes) -> None:
    copy = zipfile.ZipInfo(member.filename or "x")
    copy.external_attr, copy.extra = member.external_attr, member.extra
    copy.compress_type = member.compress_type
    try:
        archive.writestr(copy, content)
    except (UnicodeEncodeError, NotImplementedError, struct.error, zipfile.LargeZipFile):
        archive.writestr("x", content)


#: Offset and length of the fields after each signature of a zip.
_ZIP: Final[dict[bytes, tuple[tuple[int, int], ...]]] = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 2)),
    b"PK\x01\x02": (
        *((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2)),
        *((32, 2), (34, 2), (36, 2), (38, 4), (42, 4), (46, 2)),
    ),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\x06\x06": ((4, 8), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\x06\x07": ((4, 4), (8, 8), (16, 4)),
}  # fmt: skip
