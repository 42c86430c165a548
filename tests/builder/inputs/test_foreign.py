import pytest

from tests.builder.inputs.reading import refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# for pip\nnumpy==1.26\nrequests[socks]>=2 ; python_version>'3'\n", "of requirements"),
        ("-r base.txt\n--index-url https://pypi.org/simple\nsix==1 \\\n", "of requirements"),
        ("six==1 \\\n    --hash=sha256:aa\n", "of requirements"),
        ("xtensor >=0.20\nxsimd\n", "of requirements"),
        ("git+https://github.com/a/b\n", "of requirements"),
        ("name: x\nchannels: [a]\n", "'dependencies' is missing"),
        ("name: x\npackages: [a]\ncommands: {}\n", "an anaconda-project.yml"),
        ("name: x\nenv_specs: {a: {}}\n", "an anaconda-project.yml"),
        ("locking_enabled: true\nenv_specs: {}\n", "the lock of anaconda-project"),
        ('{"_meta": {}, "default": {}, "develop": {}}', "a Pipfile.lock"),
        ('{"R": {}, "Packages": {}}', "an renv.lock"),
        ("package: {name: a}\nrequirements: {run: [b]}\nbuild: {}\n", "the recipe of a package"),
        ("[project]\nname = 'x'\n[tool.pixi.dependencies]\n", "a pyproject.toml"),
        ("[workspace]\nchannels = ['a']\n[dependencies]\na = '*'\n", "a pixi.toml"),
        ("[[source]]\nurl = 'x'\n[packages]\na = '*'\n", "a Pipfile"),
        ("version = 1\n\n[[package]]\nname = 'x'\n", "uv.lock"),
        ("lock-version = '1.0'\n[[packages]]\nname = 'x'\n", "pylock.toml"),
        ('[{"base_url": "x", "dist_name": "y"}]', "'conda list --explicit --md5'"),
        ("dependencies:\n{% if x %}\n- a\n{% endif %}\n", "a template of Jinja"),
        ("dependencies:\n- {{ package }}\n", "a template of Jinja"),
        ("a: 1", "none of what can be read"),
    ],
)
def test_a_file_of_another_kind_is_told_what_to_send_instead(text: str, words: str) -> None:
    message = refused(text).message
    assert words in message
    assert message.endswith(("list", "file", "}")) or ": " in message
