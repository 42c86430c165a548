"""What activating an environment would set: its scripts are run, on a likeness of its prefix.

conda sources ``etc/conda/activate.d/*.sh`` in the user's shell. In an image nothing is activated,
and entry points are passed over by ``docker exec`` and Kubernetes' ``command:``, so what the
scripts export becomes the image's ``Env``::

    env_vars.d/*.json ─→ activate.d/a.sh ─→ activate.d/b.sh ─→ …     by file name, as conda does
                             │ plain exports: read, no shell
                             └ else bash, in the sandbox, twice

No package is unpacked for that. The prefix has every path of the environment, and the content of
the scripts alone: all other files hold :data:`_STUB`, so that what is read, sourced or run of them
is noticed. ``PATH`` has the prefix and nothing of the machine; a few programs that are the same
everywhere can be called. What is set is a function of the scripts, the paths, the base's ``Env``
and the lock's variables:

* A script that wants a program or a file's content, ends its shell, takes too long or looks at the
  machine sets nothing.
* A variable whose value is another one in the second run (home, user, host, process, chance) is
  not set.
* What would be written to disk is not there in the image; the rest of such a script counts.

Each such script is named. What scripts keep to undo it (``CONDA_BACKUP_…``) is left out.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from builder.build.conflicts import directories_above
from builder.errors import SandboxUnavailable, UnsupportedPackage
from builder.install.activation import MAX_ENV_BYTES, ActivationScript, env_size, is_sound
from builder.layer import PREFIX
from builder.platforms import Platform
from builder.sandbox.sandbox import Sandbox, ensure_works
from builder.system_errors import disk_errors

#: Raised when the same scripts would set something else.
ACTIVATION_FORMAT: Final = 2

_BASH: Final = "/bin/bash"
#: In namespaces of its own, a shell would have the same number each time.
_SECOND: Final = (_BASH, "-c", '"$@"; exit $?', "second")
#: For one script, and for all of an environment.
_SECONDS: Final = 10.0
_ALL_SECONDS: Final = 60.0
_MAX_ANSWER_BYTES: Final = 1024 * 1024
#: No file system takes more links to one file than about this many.
_LINKS_OF_ONE_FILE: Final = 30_000
#: Stands in ``PATH`` for what the base has there.
_BASE_PATH: Final = "/path-of-the-base"
_MARK: Final = "content-is-not-here"
_STUB: Final = f"#!/bin/sh\necho {_MARK} >&9; return 127 2>/dev/null; exit 127\n"
#: Scripts ask for it to know that it is bash; the machine's may be newer.
_BASH_VERSION: Final = "5.2.15(1)-release"
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}

#: Programs of every Linux, that answer the same on each.
_PROGRAMS: Final = (
    *("basename", "cat", "cut", "dirname", "env", "expr", "grep", "head", "ls", "readlink"),
    *("realpath", "sed", "seq", "sort", "tail", "tr", "uniq", "wc"),
)
_WRITERS: Final = ("chmod", "cp", "install", "ln", "mkdir", "mv", "rm", "rmdir", "tee", "touch")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What no image takes over: the shell's own, who runs it, and what conda does with prompts.
_SHELL: Final = re.compile(
    r"_|SHLVL|PWD|OLDPWD|HOME|USER|LOGNAME|HOSTNAME|SHELL|TERM|PS[0-4]|IFS|BASH_.*|SHELLOPTS"
    r"|CONDA_(?:PREFIX|DEFAULT_ENV|SHLVL|PROMPT_MODIFIER|EXE|PYTHON_EXE)(?:_[0-9]+)?|_CE_.*"
)
#: What scripts keep so that deactivation can undo what they set.
_KEPT_TO_UNDO: Final = re.compile(
    r"_*CONDA_(?:SET|BACKUP|UNSET|OLD)_.*|__CONDA_.*|.*_(?:BACKUP|CONDA_NVCC_BACKUP)|.*CONDA_BACKUP.*"
    r"|_PRE_.*"
)
_DIRECTORIES: Final = (
    r"/(?:usr|lib|lib32|lib64|bin|sbin|opt|etc|proc|sys|var|run|home|root|mnt|media|srv|boot|tmp"
    r"|dev(?!/null\b))(?:/|\b)"
)
#: What is read or run at a path of the machine; asks who runs it, when, in which shell,
#: within which limits, or whether it may write; or needs a file system that not every sandbox has.
#: No part can begin within what it or another took, beyond a few options: the time is linear.
_MACHINE: Final = re.compile(
    r"(?:-[a-zA-Z]\s++|\b(?:source|cat|ls|head|tail|grep|readlink|realpath|\w++\s++in)\s++"
    r"(?:-\S++\s++){0,8}+|^[ \t]*+(?:\.\s++)?|\$\(\s*+|`|<\s*+)[\"']?" + _DIRECTORIES + r"|[<>]\("
    r"|(?<![\w-])(?:stat|ulimit|umask)(?![\w=.-])|%[-+ #0-9.]*+\(|(?<!\S)-w\s"
    r"|\b(?:E?UID|PPID|GROUPS|SECONDS|EPOCH(?:SECONDS|REALTIME)|BASH_VERSINFO)\b",
    re.MULTILINE,
)
_COMMENT: Final = re.compile(r"^[ \t]*+#.*+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The paths of an environment, relative to its prefix."""

    #: Files and links.
    files: tuple[str, ...]
    links: Mapping[str, str]
    #: Those that are there although they may be empty.
    directories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Activation:
    """What an environment's scripts set."""

    variables: Mapping[str, str]
    #: What comes into ``PATH`` before and after all that is there, e.g. ``"/opt/conda/x/bin:"``.
    path: tuple[str, str] = ("", "")
    #: Paths of scripts of which something is missing.
    skipped: tuple[str, ...] = ()

    def dump(self) -> bytes:
        """Return the JSON of this activation."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def parse(cls, data: bytes) -> "Activation":
        """Return what :meth:`dump` wrote."""
        values = json.loads(data)
        before, after = values["path"]
        return cls(values["variables"], (before, after), tuple(values["skipped"]))


@dataclass(frozen=True, slots=True)
class ActivationPlan:
    """The inputs of an :class:`Activation`; can be pickled."""

    #: Sorted by :attr:`~ActivationScript.path`.
    scripts: tuple[ActivationScript, ...]
    prefix: Prefix
    #: What is set before: by the base, by ``env_vars.d``, by the lock.
    variables: Mapping[str, str]
    platform: Platform

    @property
    def needs_shell(self) -> bool:
        """Whether any script does more than set variables."""
        return any(script.exports is None for script in self.scripts)

    @property
    def key(self) -> str:
        """The sha256 of everything that decides the activation."""
        text = json.dumps([ACTIVATION_FORMAT, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def activate(plan: ActivationPlan, sandbox: Sandbox | None, scratch: Path) -> Activation:
    """Return what the scripts set; the same on every machine.

    Args:
        plan: Says what is run.
        sandbox: What it is run in; ``None`` if the plan needs no shell.
        scratch: A directory for temporary files.

    Raises:
        SandboxUnavailable: There is no bash, or the sandbox does not work any more.
        StoreUnavailable: The disk is full, read-only or broken.
        UnsupportedPackage: The likeness cannot be made of the paths.
    """
    if sandbox is None:
        assert not plan.needs_shell, "scripts are run in a sandbox"
        return _Shell(plan, None, PREFIX, Path()).run()
    if not os.access(_BASH, os.X_OK):
        raise SandboxUnavailable(sandbox.kind, [f"{sandbox.kind}: there is no {_BASH}"])
    with tempfile.TemporaryDirectory(dir=scratch, prefix="activation-") as directory:
        # Scripts that ask for the last part of the prefix get the same with every sandbox.
        root = Path(f"{Path(directory).resolve()}{PREFIX}")
        root.mkdir(parents=True)
        inside = sandbox.prefix_inside(root)
        try:
            with disk_errors():
                _make_prefix(plan, root, inside)
        except OSError as exc:
            raise UnsupportedPackage(
                f"the scripts of the packages cannot be run to activate the environment: the path"
                f" '{Path(str(exc.filename)).name}' cannot be made ({exc.strerror})"
            ) from exc
        return _Shell(plan, sandbox, inside, root).run()


class _Shell:
    """Runs script after script, as if in one shell."""

    def __init__(
        self, plan: ActivationPlan, sandbox: Sandbox | None, inside: str, root: Path
    ) -> None:
        self._plan = plan
        self._sandbox = sandbox
        self._inside = inside
        self._root = root
        self._driver_path = _free_name((*plan.prefix.files, *plan.prefix.directories))
        self._before = {
            **{name: value for name, value in plan.variables.items() if name != "PATH"},
            "PATH": f"{PREFIX}/bin:{_BASE_PATH}",
            "CONDA_PREFIX": PREFIX,
            "CONDA_DEFAULT_ENV": PREFIX,
            "CONDA_SHLVL": "1",
            "LC_ALL": "C",
        }
        self._deadline = time.monotonic() + _ALL_SECONDS
        self._left_bytes = MAX_ENV_BYTES - env_size(self._before)

    def run(self) -> Activation:
        """Run all scripts and return the variables they set."""
        now = dict(self._before)
        skipped = []
        for script in self._plan.scripts:
            if script.exports is None:
                is_whole = self._source(script, now)
            elif is_whole := self._fits(script.exports):
                now.update(script.exports)
            if not is_whole:
                skipped.append(script.path)
        before, found, after = now.pop("PATH", "").partition(f"{PREFIX}/bin:{_BASE_PATH}")
        variables = {
            name: value
            for name, value in sorted(now.items())
            if self._before.get(name) != value
            and not _SHELL.fullmatch(name)
            and not _KEPT_TO_UNDO.fullmatch(name)
        }
        return Activation(variables, (before, after) if found else ("", ""), tuple(skipped))

    def _source(self, script: ActivationScript, now: dict[str, str]) -> bool:
        """Add what a script sets to ``now``, and tell whether that is all it wants to do."""
        if wants_machine(script.text):
            return False
        first = self._run(script, now, "one")
        second = first and self._run(script, now, "two")
        if first is None or second is None or "program" in (first.notes | second.notes):
            return False
        is_whole = not first.notes and not second.notes
        for name in sorted({*first.variables, *now}):
            value = first.variables.get(name)
            if _SHELL.fullmatch(name):
                continue
            if value is None:
                now.pop(name, None)
            elif value != second.variables.get(name) or not self._is_sound(value):
                # What it keeps to undo things may well be of this shell.
                is_whole = is_whole and bool(_KEPT_TO_UNDO.fullmatch(name))
            elif value != now.get(name):
                if self._fits({name: value}):
                    now[name] = value
                else:
                    is_whole = False
        return is_whole

    def _fits(self, variables: Mapping[str, str]) -> bool:
        """Tell whether all that is set stays within bounds with these too; if so, count them."""
        size = env_size(variables)
        if size > self._left_bytes:
            return False
        self._left_bytes -= size
        return True

    def _is_sound(self, value: str) -> bool:
        return _MARK not in value and is_sound(value)

    def _run(self, script: ActivationScript, now: Mapping[str, str], at: str) -> "_Answer | None":
        """Run a script once; ``None`` if it does not come to its end."""
        assert self._sandbox is not None, "only scripts of plain exports need none"
        seconds = min(_SECONDS, self._deadline - time.monotonic())
        if seconds <= 0:
            return None
        driver = self._root / self._driver_path
        driver.write_text(_driver(self._plan.platform, now, at).replace(PREFIX, self._inside))
        with tempfile.TemporaryFile(dir=self._root.parent) as output:
            try:
                self._sandbox.run(
                    [
                        *(_SECOND if at == "two" else ()),
                        *(_BASH, "--noprofile", "--norc"),
                        *(f"{self._inside}/{self._driver_path}", f"{self._inside}/{script.path}"),
                    ],
                    prefix=self._root,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    timeout_seconds=seconds,
                    programs=True,
                    largest_file_bytes=_MAX_ANSWER_BYTES,
                )
            except subprocess.TimeoutExpired:
                return None
            output.seek(0)
            data = output.read(_MAX_ANSWER_BYTES)
        if not data.startswith(b"begin\n"):
            ensure_works(self._sandbox)
        return _parse_answer(data.decode("utf-8", "replace").replace(self._inside, PREFIX))


def wants_machine(text: str) -> bool:
    """Tell whether a script looks at the machine, as far as its text says so."""
    text = _COMMENT.sub("", text).replace(PREFIX, "$CONDA_PREFIX")
    return _MACHINE.search(text) is not None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a script did: ``program``, ``write``, ``fault``; and what is exported after it."""

    notes: frozenset[str]
    variables: Mapping[str, str]


_DRIVER: Final = r"""
exec 9>&1 >/dev/null
unset LD_ORIGIN_PATH
echo begin >&9
command_not_found_handle() { echo program >&9; return 127; }
which() { type -P -- "$@"; }
uname() {
  case "${1:-}" in
    ""|-s) echo Linux ;; -m|-p|-i) echo @machine@ ;; -o) echo GNU/Linux ;;
    *) echo program >&9; return 1 ;;
  esac
}
@programs@
@exports@
pullforge_script=$1
set --
. "$pullforge_script"
[ $? = 0 ] || echo fault >&9
{ set +eux; } 2>/dev/null
printf '\0' >&9
exec /usr/bin/env -0 >&9
"""


def _driver(platform: Platform, now: Mapping[str, str], at: str) -> str:
    programs = [f'{name}() {{ /usr/bin/{name} "$@"; }}' for name in _PROGRAMS]
    programs += [f"{name}() {{ echo write >&9; }}" for name in _WRITERS]
    exports = {
        **now,
        **dict.fromkeys(("HOME", "TMPDIR"), f"/{at}"),
        **dict.fromkeys(("USER", "LOGNAME", "HOSTNAME"), at),
    }
    machine = _MACHINES[platform.architecture]
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(exports.items())
        if _VARIABLE.fullmatch(name)
    ]
    lines += [f"HOSTTYPE={machine}", f"MACHTYPE={machine}-pc-linux-gnu", "OSTYPE=linux-gnu"]
    lines += [f"BASH_VERSION={shlex.quote(_BASH_VERSION)}"]
    return (
        _DRIVER.replace("@machine@", machine)
        .replace("@programs@", "\n".join(programs))
        .replace("@exports@", "\n".join(lines))
    )


def _parse_answer(text: str) -> _Answer | None:
    notes, end, rest = text.removeprefix("begin\n").partition("\0")
    if not end or not rest.endswith("\0"):
        return None
    entries = (entry.partition("=") for entry in rest[:-1].split("\0"))
    variables = {name: value for name, _, value in entries if _VARIABLE.fullmatch(name)}
    variables.pop("TMPDIR", None)
    lines = (("program" if line == _MARK else line) for line in notes.splitlines())
    return _Answer(frozenset(lines), variables)


def _make_prefix(plan: ActivationPlan, root: Path, inside: str) -> None:
    """Make the likeness of the environment's prefix.

    Links come last, so that nothing is written through one. Where packages disagree on what a path
    is, a directory wins.
    """
    texts = {script.path: script.text.replace(PREFIX, inside) for script in plan.scripts}
    leaves = {*plan.prefix.files, *plan.prefix.links, *texts}
    directories = directories_above((*leaves, *(f"{own}/." for own in plan.prefix.directories)))
    for directory in sorted(directories):
        (root / directory).mkdir(parents=True, exist_ok=True)
    stub = root.parent / "stub"
    for count, path in enumerate(sorted(leaves - directories)):
        if path in texts:
            (root / path).write_text(texts[path])
        elif path not in plan.prefix.links:
            if count % _LINKS_OF_ONE_FILE == 0 or not stub.exists():
                stub = root.parent / f"stub-{count}"
                stub.write_text(_STUB)
                stub.chmod(0o755)
            (root / path).hardlink_to(stub)
    for path, link in sorted(plan.prefix.links.items()):
        if path not in directories and path not in texts and _stays_inside(path, link):
            (root / path).symlink_to(link.replace(PREFIX, inside))


def _free_name(paths: Iterable[str]) -> str:
    """Return a name at the top of the prefix that no package has."""
    taken = {path.partition("/")[0] for path in paths}
    name = ".activation"
    while name in taken:
        name += "_"
    return name


def _stays_inside(path: str, link: str) -> bool:
    """Tell whether a link leads to a place in the prefix: others lead into the machine."""
    if link.startswith("/"):
        return link == PREFIX or link.startswith(f"{PREFIX}/")
    joined = os.path.normpath(PurePosixPath(path).parent / link)
    return joined != ".." and not joined.startswith("../")
