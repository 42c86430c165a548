import json
import re
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from registry.app import create_app
from registry.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_setting_has_its_entry_in_the_documentation_and_nothing_else_does() -> None:
    documented = re.findall(r"^### `PULLFORGE_(\w+)`$", DOCS.read_text(), re.MULTILINE)
    assert documented == [name.upper() for name in Settings.model_fields]


def test_the_documented_defaults_are_the_real_ones() -> None:
    text = DOCS.read_text()
    for name, field in Settings.model_fields.items():
        entry = text.split(f"### `PULLFORGE_{name.upper()}`")[1].split("###")[0]
        if isinstance(field.default, int | float | str):
            default = _written(field.default)
            assert f"efault `{default}`" in " ".join(entry.split()), name


def test_a_misspelt_variable_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLFORGE_CHANELS", "{}")
    with pytest.raises(ValidationError, match="PULLFORGE_CHANELS is not a setting"):
        Settings()


def test_variables_of_directories_are_left_to_their_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULLFORGE_PREFIXES_ROOT", "/srv/conda")
    assert Settings().port == 8080


def test_a_default_channel_must_be_one_of_the_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLFORGE_DEFAULT_CHANNELS", '["nowhere"]')
    with pytest.raises(ValidationError, match="'nowhere' is not among the channels"):
        Settings()


def test_a_channel_needs_an_address_that_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLFORGE_CHANNELS", '{"conda-forge": "conda-forge"}')
    with pytest.raises(ValidationError, match="needs an http, https or file URL"):
        Settings()


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:s3cret@conda.test/acme",
        "https://s3cret@conda.test/acme",
        "https://conda.anaconda.org/t/s3cret/acme",
        "https://conda.anaconda.org/t/s3cret",
        "ftp://ada:s3cret@conda.test/acme",
    ],
)
def test_an_address_with_credentials_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PULLFORGE_CHANNELS", json.dumps({"conda-forge": url}))
    with pytest.raises(ValidationError, match="into the file of PULLFORGE_CHANNEL_CRED") as error:
        Settings()
    assert "address of channel 'conda-forge' holds credentials: take them out" in str(error.value)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_channel_may_be_fetched_from_elsewhere_than_its_name_in_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forge, bio = "https://conda.anaconda.org/conda-forge", "https://conda.anaconda.org/bioconda"
    mirror = "http://mirror.example.org:8080/forge"
    channels = {"conda-forge": {"url": f"{forge}/", "mirror": f"{mirror}/"}, "bioconda": bio}
    monkeypatch.setenv("PULLFORGE_CHANNELS", json.dumps(channels))

    settings = Settings()

    assert settings.channel_urls == {"conda-forge": forge, "bioconda": bio}
    assert settings.mirrors == {forge: mirror, bio: bio}


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ({"url": "https://conda.test/a"}, "has two"),
        ({"url": "https://conda.test/a", "miror": "https://m.test/a"}, "has two"),
        ({"url": "https://conda.test/a", "mirror": 3}, "has two"),
        (["https://conda.test/a"], "has two"),
        ({"url": "https://conda.test/a", "mirror": "conda-forge"}, "needs an http, https or file"),
        ({"url": "https://u:s3cret@conda.test/a", "mirror": "https://m.test/a"}, "credentials"),
        ({"url": "https://conda.test/a", "mirror": "https://m.test/t/s3cret/a"}, "credentials"),
        ({"url": "https://conda.test:443/a", "mirror": "https://m.test/a"}, "written there in one"),
        ({"url": "https://Conda.test/a", "mirror": "https://m.test/a"}, "written there in one"),
        ({"url": "https://conda.test/%61", "mirror": "https://m.test/a"}, "written there in one"),
        ({"url": "https://conda.test/b/../a", "mirror": "https://m.test/a"}, "written there in"),
        ({"url": "https://other.test/b", "mirror": "https://m.test/a"}, "different mirrors"),
    ],
)
def test_a_channel_with_a_mirror_has_one_name_in_locks(
    monkeypatch: pytest.MonkeyPatch, channel: object, said: str
) -> None:
    channels = {"conda-forge": channel, "other": "https://other.test/b"}
    monkeypatch.setenv("PULLFORGE_CHANNELS", json.dumps(channels))

    with pytest.raises(ValidationError, match=said) as error:
        Settings()

    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_file_of_credentials_that_cannot_be_used_is_refused_with_its_entry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.json"
    path.write_text('{"conda.test": {"Bearer": "s3cret"}}')
    monkeypatch.setenv("PULLFORGE_CHANNEL_CREDENTIALS", str(path))
    with pytest.raises(ValidationError, match=f"{path} of .*'conda.test': 'Bearer'") as error:
        Settings()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STORE", "gs://bucket", "is not a place for a store"),
        ("STORE", "s3://Bucket/a", "is not a place in a bucket"),
        ("STORE", "s3://bucket/../a", "is not a place in a bucket"),
        ("S3_ENDPOINT", "minio:9000", "is not an address"),
        ("S3_PUBLIC_ENDPOINT", "cdn.example", "is not an address"),
        ("S3_ACCESS_KEY_ID", "key", "go together"),
        ("S3_LINK_SECONDS", "1", "greater than or equal to 60"),
        ("PYPI_INDEX", "file:///srv/simple", "needs an http or https URL without a user"),
        ("PYPI_INDEX", "https://user:secret@host/simple", "needs an http or https URL without"),
        ("PYPI_INDEX", "https://pypi.anaconda.org/t/secret/acme/simple", "holds a token"),
        ("PYPI_HOSTS", "[]", "at least 1 item"),
        ("WATCH", '[{"path": "/a/envs"}, {"path": "/b/envs"}]', "two .* are called 'envs'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"PULLFORGE_{name}", value)
    with pytest.raises(ValidationError, match=words):
        Settings()


def test_the_secret_of_the_store_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLFORGE_S3_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("PULLFORGE_S3_SECRET_ACCESS_KEY", "do-not-tell")
    assert "do-not-tell" not in repr(Settings())


def _written(value: float | str) -> str:
    """Return a value as one writes it in the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(
    "issuer",
    [
        "id.example",
        "http://id.example",
        "https://ada:pw@id.example",
        "https://id.example/?a=b",
        "https://id.example/#a",
        "https://",
    ],
)
def test_a_provider_is_an_address_whose_word_can_be_trusted(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setenv("PULLFORGE_OIDC_ISSUER", issuer)
    with pytest.raises(ValidationError, match="the issuer is an"):
        Settings()


def test_a_provider_on_this_machine_needs_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLFORGE_OIDC_ISSUER", "http://localhost:9400")
    monkeypatch.setenv("PULLFORGE_OIDC_CLIENT_SECRET", "s3cret")
    settings = Settings()
    assert settings.oidc_issuer == "http://localhost:9400"
    assert "s3cret" not in repr(settings)
    monkeypatch.setenv("PULLFORGE_OIDC_SCOPES", '["profile"]')
    with pytest.raises(ValidationError, match="'openid' has to be"):
        Settings()


def test_the_wire_of_conda_store_takes_no_address_of_the_service_itself() -> None:
    app = create_app(lambda: None)  # type: ignore[arg-type,return-value] # it is never opened
    paths = {str(getattr(route, "path", "")) for route in app.routes}
    tops = {path.split("/")[1] for path in paths} - {"", "conda-store", "{namespace}"}
    assert {"api", "login", "me", "ui"} <= tops
    for path in (
        *(f"/{top}" for top in tops),
        "/v2/x",
        "conda",
        "/",
        "//x",
        "/a b",
        "/../x",
        "/a?b",
    ):
        if path == "/":
            assert Settings(conda_store_path=path).conda_store_path == ""
            continue
        with pytest.raises(ValidationError, match="cannot be where conda-store's wire is"):
            Settings(conda_store_path=path)
    assert Settings(conda_store_path="/tools/conda-store/").conda_store_path == "/tools/conda-store"
    assert Settings(conda_store_path="/").conda_store_path == ""


def test_pages_that_may_use_the_wire_of_conda_store_are_told_by_their_origins() -> None:
    for origin in ("https://hub.example.org", "http://localhost:8888", "http://[::1]:8888"):
        assert Settings(conda_store_origins=[origin]).conda_store_origins == [origin]
    for origin in (
        "*",
        "null",
        "hub.example.org",
        "https://hub.example.org/",
        "https://*.x.org",
        "",
    ):
        with pytest.raises(ValidationError, match="is no origin"):
            Settings(conda_store_origins=[origin])


def test_an_interface_of_conda_store_is_there_when_the_service_starts(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"there is no main\.js in"):
        Settings(conda_store_ui=tmp_path)
