"""The scripts here have the habits of scripts on conda-forge: one test for each habit."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from builder.build.activation import Activation, ActivationPlan, Prefix, activate, wants_machine
from builder.build.activation_cache import ActivationCache
from builder.errors import SandboxUnavailable, UnsupportedPackage
from builder.install.activation import ActivationFile, ActivationScript, parse_exports
from builder.platforms import PLATFORMS
from builder.ports import Workers
from builder.sandbox.sandbox import Sandbox, find_sandbox
from registry.storage.filesystem import FilesystemStore

PATHS = (
    *("bin/tool", "bin/dirname", "share/data/x.db", "share/more/version", "lib/plugins/one.so"),
    *("etc/profile.d/more.sh", "lib/python3.12/site-packages/x.py", "share/glob/a", "share/glob/b"),
)


def sandboxes() -> list[Sandbox]:
    """Return every kind that works on this machine: all have to give the same."""
    found = []
    for kind in ("bwrap", "landlock", "none"):
        try:
            found.append(find_sandbox(kind))
        except SandboxUnavailable:
            continue
    return found


@pytest.fixture(params=sandboxes(), ids=lambda sandbox: sandbox.kind)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    found: Sandbox = request.param
    return found


def content_of(text: str) -> ActivationFile:
    exports = parse_exports(text)
    return text if exports is None else exports


def plan(*texts: str, variables: Mapping[str, str] | None = None) -> ActivationPlan:
    scripts = tuple(
        ActivationScript(f"etc/conda/activate.d/{name}.sh", content_of(text))
        for name, text in zip("abcdef", texts, strict=False)
    )
    prefix = Prefix(PATHS, {"lib/link": "plugins", "share/out": "/usr/share"}, ("share/empty",))
    return ActivationPlan(scripts, prefix, variables or {}, PLATFORMS["linux-64"])


def run(sandbox: Sandbox, tmp_path: Path, *texts: str, **variables: str) -> Activation:
    return activate(plan(*texts, variables=variables), sandbox, tmp_path)


def test_a_variable_that_is_backed_up_tested_and_exported_is_set(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    script = """\
#!/bin/sh
if [ -n "${TOOL_DATA:-}" ]; then
    export _CONDA_SET_TOOL_DATA="$TOOL_DATA"
fi
if [ -d "${CONDA_PREFIX}/share/data" ]; then
    export TOOL_DATA="$CONDA_PREFIX/share/data"
    export TOOL_PLUGINS="$CONDA_PREFIX/lib/plugins"
elif [ -d "$CONDA_PREFIX/Library/share/data" ]; then
    export TOOL_DATA="$CONDA_PREFIX/Library/share/data"
fi
if [ ! -d "$TOOL_PLUGINS" ]; then
    unset TOOL_PLUGINS
fi
"""
    expected = {"TOOL_DATA": "/opt/conda/share/data", "TOOL_PLUGINS": "/opt/conda/lib/plugins"}
    assert run(sandbox, tmp_path, script) == Activation(expected)
    assert run(sandbox, tmp_path, script, TOOL_DATA="/before") == Activation(expected)


@pytest.mark.parametrize(
    ("script", "variables"),
    [
        ('if [ "${A+x}" ]; then export A_BACKUP="$A"; fi\nexport A="$CONDA_PREFIX/lib"', {"A"}),
        ('export A_CONDA_BACKUP="${A:-}"\nexport A="$CONDA_PREFIX/x"', {"A"}),
        ('export "A=${CONDA_PREFIX}/x"', {"A"}),
        ("[[ -v A ]] || export A=1", {"A"}),
        ('test -f /opt/conda/share/data/x.db && export A="$CONDA_PREFIX"', {"A"}),
        ('[ -e "$CONDA_PREFIX/lib/link/one.so" ] && export A=1', {"A"}),
        ('[ -d "$CONDA_PREFIX/share/empty" ] && export A=1', {"A"}),
        ('[ -x "$CONDA_PREFIX/bin/tool" ] && export A=1', {"A"}),
        ('[ -e "$CONDA_PREFIX/share/out/doc" ] || export A=1', {"A"}),
        ('A=$(dirname "$(command -v tool)"); export A', {"A"}),
        ('export A="@${CONDA_PREFIX##*/}"', {"A"}),
        ('export A="$(echo a-b | sed s/-/_/) $(basename "${BASH_SOURCE[0]}")"', {"A"}),
        ('for f in "$CONDA_PREFIX"/share/glob/*; do A="${A:+$A:}$f"; done; export A', {"A"}),
        ('[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] && export A=1', {"A"}),
        ("[[ $OSTYPE == darwin* ]] || export A=1", {"A"}),
        ('_f() { eval export "\'$1=$2\'"; }\n_f A "x y"\nunset -f _f', {"A"}),
        ('set -u\nexport A="${B:-1}"', {"A"}),
        ('export B="${HOME:-}/.b"; export A=1; unset B', {"A"}),
        ('[ -n "${BASH_VERSION:-}" ] && export A=1', {"A"}),
        ("[ -d /opt/conda/etc/profile.d ] && export A=1 2>/dev/null", {"A"}),
        ("export PS1=x SHLVL=7 CONDA_SHLVL=9 A=1", {"A"}),
    ],
)
def test_what_needs_no_more_than_a_shell_and_paths_is_set(
    sandbox: Sandbox, tmp_path: Path, script: str, variables: set[str]
) -> None:
    found = run(sandbox, tmp_path, script)
    assert (set(found.variables), found.skipped) == (variables, ())
    assert str(tmp_path) not in str(found)


@pytest.mark.parametrize(
    "script",
    [
        'export A="$(java -version)"',
        'export A="$(tool --config)"',
        'A=$("$CONDA_PREFIX/bin/tool" 2>/dev/null || true); export A',
        'export A="$(python3 -c "print(1)")"',
        'export A="$(date)"',
        'export A="$(curl -s https://example.org)"',
        'source "$CONDA_PREFIX/etc/profile.d/more.sh"; export A=1',
        "export A=1; exit 0",
        "set -e; false; export A=1",
        "if true; then export A=1",
        "[ -e /usr/lib/x ] || export A=1",
        ". /etc/profile\nexport A=1",
        "export A=$UID",
        'A=$(cat /proc/cpuinfo | head -1); export A; B="x y"',
        '[ -w "$CONDA_PREFIX/share" ] || export A=1',
        "exec 9>&-; export A=1; true",
        'mapfile -t a < <(printf "x\\ny\\n"); export A="${a[*]}"',
        "export A=$(stat -c %s bin/tool)",
        "[ -d /tmp ] || export A=1",
        "[ -e /dev/shm ] || export A=1",
        "printf -v A '%(%Y)T' -1; export A",
        "export A=$EPOCHSECONDS",
        "export A=$SECONDS",
        'export A="${GROUPS[*]}"',
        "export A=$(ulimit -n)",
        "export A=$(umask)",
        "export A=${BASH_VERSINFO[0]}",
    ],
)
def test_a_script_that_wants_more_than_is_there_sets_nothing_and_is_named(
    sandbox: Sandbox, tmp_path: Path, script: str
) -> None:
    found = run(sandbox, tmp_path, script, "export B=1\n")
    assert found == Activation({"B": "1"}, skipped=("etc/conda/activate.d/a.sh",))


@pytest.mark.parametrize(
    "value",
    [
        "$HOME/.tool",
        "$USER",
        "$HOSTNAME",
        "$RANDOM",
        "$$",
        "$TMPDIR/x",
        "$(cat $CONDA_PREFIX/share/more/version)",
        "$(printf 'a\\nb')",
        "$(printf 'x%.0s' $(seq 40000))",
    ],
)
def test_a_value_that_is_another_one_elsewhere_is_not_set_and_its_script_is_named(
    sandbox: Sandbox, tmp_path: Path, value: str
) -> None:
    found = run(sandbox, tmp_path, f'export A="{value}"\nexport B=1\n')
    assert found == Activation({"B": "1"}, skipped=("etc/conda/activate.d/a.sh",))


def test_what_a_script_writes_is_not_there_and_what_it_sets_is(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    script = "export C=${C:-$CONDA_PREFIX/.c}\n[[ -d $C ]] || mkdir -p $C\nexport PATH=$C/bin:$PATH"
    found = run(sandbox, tmp_path, script)
    assert found == Activation(
        {"C": "/opt/conda/.c"}, ("/opt/conda/.c/bin:", ""), ("etc/conda/activate.d/a.sh",)
    )


def test_a_script_that_ends_in_a_fault_is_named_and_sets_what_it_set(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    found = run(sandbox, tmp_path, 'export F="$F -I$CONDA_PREFIX"\nreturn 1', F="-O2")
    assert found == Activation({"F": "-O2 -I/opt/conda"}, skipped=("etc/conda/activate.d/a.sh",))


def test_scripts_see_what_those_before_them_set(sandbox: Sandbox, tmp_path: Path) -> None:
    found = run(
        sandbox,
        tmp_path,
        "export CC=$CONDA_PREFIX/bin/cc\n",
        '[ -n "${CC+x}" ] && export LINKER="$CC"',
        'export LINKER="$LINKER -v"; unset CC',
    )
    assert found == Activation({"LINKER": "/opt/conda/bin/cc -v"})


def test_the_path_is_that_of_the_base_with_what_is_put_around_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    found = run(sandbox, tmp_path, 'export PATH="$CONDA_PREFIX/a:$PATH:$CONDA_PREFIX/b"', PATH="/x")
    assert found == Activation({}, ("/opt/conda/a:", ":/opt/conda/b"))
    assert run(sandbox, tmp_path, "if true; then export PATH=/lost; fi") == Activation({})


def test_a_script_that_never_ends_is_given_up(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.build.activation._SECONDS", 1.0)
    found = run(sandbox, tmp_path, "while :; do :; done", "export B=1")
    assert found == Activation({"B": "1"}, skipped=("etc/conda/activate.d/a.sh",))


def test_all_scripts_together_have_one_time_and_none_is_run_again_after_its_own(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.build.activation._SECONDS", 0.5)
    monkeypatch.setattr("builder.build.activation._ALL_SECONDS", 1.0)
    begun = time.monotonic()
    found = run(sandbox, tmp_path, *["while :; do :; done"] * 6)
    assert len(found.skipped) == 6
    assert time.monotonic() - begun < 3  # twelve runs of half a second would be six


@pytest.mark.anyio
async def test_scripts_do_not_take_every_worker(tmp_path: Path) -> None:
    running, most = 0, 0
    two_run, go_on = asyncio.Event(), asyncio.Event()

    class SlowWorkers:
        async def run(self, *_: object) -> Activation:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 2:
                two_run.set()
            await go_on.wait()
            running -= 1
            return Activation({})

    async def sandbox() -> Sandbox:
        return Sandbox("none")

    store = FilesystemStore(tmp_path / "store")
    cache = ActivationCache(store, cast("Workers", SlowWorkers()), sandbox, tmp_path, at_once=2)
    wanted = [asyncio.create_task(cache.get(plan(f"if {number}"))) for number in range(5)]
    await two_run.wait()
    go_on.set()
    assert await asyncio.gather(*wanted) == [Activation({})] * 5
    assert most == 2
    await cache.close()


@pytest.mark.parametrize(
    "paths",
    [
        (".activation",),
        (".activation/x", ".activation_"),
        ("conda-meta/.activation/x",),
        ("share/a", "share/a/b", "share/a/b/c"),
        ("etc/conda/activate.d/a.sh/inner.txt",),
        ("share/empty/x", "share/empty", "lib/link", "lib/link/x"),
    ],
)
def test_paths_that_disagree_are_no_fault_of_the_server(
    sandbox: Sandbox, tmp_path: Path, paths: tuple[str, ...]
) -> None:
    wanted = plan("if true; then export A=1; fi", "[ -e $CONDA_PREFIX/x ] || export B=1")
    disputed = replace(wanted, prefix=replace(wanted.prefix, files=(*PATHS, *paths)))
    assert activate(disputed, sandbox, tmp_path).variables["B"] == "1"


def test_paths_that_cannot_be_made_are_told_in_a_sentence(tmp_path: Path) -> None:
    wanted = replace(plan("if true"), prefix=Prefix((f"share/{'x' * 300}",), {}, ()))
    with pytest.raises(UnsupportedPackage, match="cannot be made"):
        activate(wanted, Sandbox("none"), tmp_path)


def test_the_platform_is_the_images_and_not_the_machines(sandbox: Sandbox, tmp_path: Path) -> None:
    arm = replace(plan('export A="$(uname -m) $HOSTTYPE"'), platform=PLATFORMS["linux-aarch64"])
    assert activate(arm, sandbox, tmp_path) == Activation({"A": "aarch64 aarch64"})


def test_the_machines_variables_are_not_seen(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the server")
    found = run(sandbox, tmp_path, 'for one in 1; do export A="${SECRET:-none}"; done')
    assert found == Activation({"A": "none"})


def test_plain_exports_need_no_sandbox(tmp_path: Path) -> None:
    plain = plan("export A=1\n", "export B=$CONDA_PREFIX/b\nexport A=2\n")
    assert not plain.needs_shell
    assert activate(plain, None, tmp_path) == Activation({"A": "2", "B": "/opt/conda/b"})


def test_nothing_is_left_behind(sandbox: Sandbox, tmp_path: Path) -> None:
    run(sandbox, tmp_path, 'echo x >"$CONDA_PREFIX/share/data/x.db"; export A=1')
    assert not list(tmp_path.iterdir())


def test_the_key_is_of_all_that_decides() -> None:
    one = plan("true")
    others = [
        plan("false"),
        plan("true", variables={"A": "1"}),
        replace(one, prefix=Prefix((), {}, ())),
        replace(one, platform=PLATFORMS["linux-aarch64"]),
    ]
    assert len({one.key, *(other.key for other in others)}) == 5
    assert one.key == plan("true").key


def test_what_is_kept_is_read_again() -> None:
    one = Activation({"A": "1"}, ("x:", ""), ("etc/conda/activate.d/a.sh",))
    assert Activation.parse(one.dump()) == one


@pytest.mark.parametrize(
    "part",
    [
        *(
            "\n",
            " ",
            "\t",
            " \n",
            "-cat ",
            "cat -",
            "a ",
            "a in ",
            "in ",
            ". ",
            "-a ",
            "$( ",
            "< ",
            "`",
        ),
        *("#", " #", "%", "%0", "cat -x ", "-x\n", "\n. ", "/usr", "<", "stat-", "a"),
    ],
)
@pytest.mark.parametrize("start", ["", "cat ", "x=1"])
def test_hostile_text_is_searched_in_the_time_of_its_length(start: str, part: str) -> None:
    text = start + part * (65_000 // len(part))
    begun = time.process_time()
    wants_machine(f"{text}y")
    assert time.process_time() - begun < 0.2
