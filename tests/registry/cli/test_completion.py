import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from registry.cli.completion import within
from tests.registry.cli.servers import MakePerson, Person, Served, answering


def offered(person: Person, *words: str) -> list[str]:
    """Return what a shell offers for the last word, as a shell asks for it."""
    line = " ".join(["pullforge", *words])
    environ = {
        **os.environ,
        **person.environ,
        "_PULLFORGE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
        "COLUMNS": "200",
    }
    code = "import sys; sys.argv[0] = 'pullforge'; from registry.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_names_that_the_server_knows_are_offered(
    person: MakePerson, served: Served, specs: Path
) -> None:
    ada, bob = person("ada"), person("bob")
    for name in ("notebook", "night", "other"):
        ada("env", "create", str(specs / "old.yml"), "--to", f"ada/{name}", "--no-wait")
    assert offered(ada, "env", "show", "ada/n") == ["ada/night", "ada/notebook"]
    assert offered(ada, "env", "show", "a") == ["ada/night", "ada/notebook", "ada/other"]
    host = served.host
    assert offered(ada, "env", "show", f"http://{host}/ada/o") == [f"http://{host}/ada/other"]
    assert offered(ada, "namespace", "show", "a") == ["ada"]
    assert offered(bob, "env", "show", "a") == []
    assert "versions" in offered(ada, "env", "v")


def test_nothing_is_offered_and_nothing_said_where_the_server_cannot_be_asked(
    tmp_path: Path,
) -> None:
    nobody = Person("nobody", tmp_path)
    assert offered(nobody, "env", "show", "a") == []
    assert offered(nobody, "env", "show", "--server", "127.0.0.1:1", "a") == []
    with answering(200, b'{"items": [3]}') as host:
        assert offered(nobody, "env", "show", "--server", host, "a") == []
    with answering(500, b"no") as host:
        assert offered(nobody, "namespace", "show", "--server", host, "a") == []
    (tmp_path / "config/pullforge").mkdir(parents=True)
    (tmp_path / "config/pullforge/profiles.toml").write_text("what is this")
    assert offered(nobody, "env", "show", "a") == []


def test_a_server_that_is_slow_is_not_waited_for() -> None:
    gate = threading.Event()

    def slow() -> list[str]:
        gate.wait(60)
        return ["late"]

    begun = time.monotonic()
    assert within(slow, 0.05) == []
    assert time.monotonic() - begun < 1
    gate.set()
