"""A git repository, and hosts of repositories that tell of pushes, each as it does."""

import hashlib
import hmac
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

_BRANCH: Final = "main"
_AUTHOR: Final = {"name": "Ada", "email": "ada@example.org"}


class Repository:
    """A bare repository, and a clone of it in which somebody works."""

    def __init__(self, home: Path) -> None:
        """Make both; there is a first commit without environments."""
        self.bare = home / "environments.git"
        self.clone = home / "clone"
        self._git(home, "init", "--quiet", "--bare", f"--initial-branch={_BRANCH}", str(self.bare))
        self._git(home, "clone", "--quiet", str(self.bare), str(self.clone))
        self._git(self.clone, "checkout", "--quiet", "-B", _BRANCH)
        self.push({"README.md": "Our environments.\n"})

    @property
    def url(self) -> str:
        """Where servers of this machine fetch it."""
        return f"file://{self.bare}"

    def push(self, files: Mapping[str, str | None], branch: str = _BRANCH) -> str:
        """Commit and push files, by their paths; ``None`` removes one. Return the commit."""
        self._git(self.clone, "checkout", "--quiet", "-B", branch)
        for path, text in files.items():
            if text is None:
                self._git(self.clone, "rm", "--quiet", path)
                continue
            (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / path).write_text(text, encoding="utf-8")
            self._git(self.clone, "add", path)
        self._git(self.clone, "commit", "--quiet", "--allow-empty", "-m", "environments: change")
        self._git(self.clone, "push", "--quiet", "--force", "origin", branch)
        commit = self._git(self.clone, "rev-parse", "HEAD").strip()
        self._git(self.clone, "checkout", "--quiet", _BRANCH)
        return commit

    def _git(self, directory: Path, *arguments: str) -> str:
        who = {
            f"GIT_{role}_{field.upper()}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in _AUTHOR.items()
        }
        # Whoever runs the tests has settings of their own.
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.bare.parent), **who, **own},
            check=True,
            capture_output=True,
            text=True,
        ).stdout


#: Sends what a host sends of a push: to an address, with a secret, of a ref and a commit.
Tell = Callable[[str, str, str, str], httpx.Response]


def by_github(url: str, secret: str, ref: str, commit: str) -> httpx.Response:
    """Send it as GitHub: https://docs.github.com/webhooks/webhook-events-and-payloads#push."""
    body = _body(
        {
            **_pushed(ref, commit),
            "repository": {"full_name": "team/environments", "default_branch": _BRANCH},
            "pusher": _AUTHOR,
            "created": False,
            "deleted": False,
            "forced": False,
        }
    )
    headers = {
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Event": "push",
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "79929171",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-Hub-Signature": f"sha1={_hmac(secret, body, 'sha1')}",
        "X-Hub-Signature-256": f"sha256={_hmac(secret, body)}",
    }
    return _post(url, headers, body)


def by_gitea(url: str, secret: str, ref: str, commit: str) -> httpx.Response:
    """Send it as Gitea: https://docs.gitea.com/usage/webhooks."""
    body = _body(
        {
            **_pushed(ref, commit),
            "total_commits": 1,
            "repository": {"full_name": "team/environments", "default_branch": _BRANCH},
            "pusher": {"login": "ada", "username": "ada"},
        }
    )
    event = {f"X-{name}-Event": "push" for name in ("Gitea", "Gogs", "GitHub")}
    headers = {
        "User-Agent": "Gitea/1.24.6",
        **event,
        "X-Gitea-Delivery": str(uuid.uuid4()),
        "X-Gitea-Event-Type": "push",
        "X-Gitea-Signature": _hmac(secret, body),
        "X-Gogs-Signature": _hmac(secret, body),
        "X-Hub-Signature": f"sha1={_hmac(secret, body, 'sha1')}",
        "X-Hub-Signature-256": f"sha256={_hmac(secret, body)}",
    }
    return _post(url, headers, body)


def by_gitlab(url: str, secret: str, ref: str, commit: str) -> httpx.Response:
    """Send it as GitLab: https://docs.gitlab.com/user/project/integrations/webhook_events."""
    body = _body(
        {
            "object_kind": "push",
            "event_name": "push",
            **_pushed(ref, commit),
            "checkout_sha": commit,
            "user_username": "ada",
            "project_id": 15,
            "project": {"path_with_namespace": "team/environments", "default_branch": _BRANCH},
            "total_commits_count": 1,
        }
    )
    headers = {
        "User-Agent": "GitLab/18.6.0",
        "Idempotency-Key": str(uuid.uuid4()),
        "X-Gitlab-Event": "Push Hook",
        "X-Gitlab-Event-UUID": str(uuid.uuid4()),
        "X-Gitlab-Instance": "https://gitlab.example.org",
        "X-Gitlab-Token": secret,
        "X-Gitlab-Webhook-UUID": str(uuid.uuid4()),
    }
    return _post(url, headers, body)


HOSTS: Final[Mapping[str, Tell]] = {"github": by_github, "gitea": by_gitea, "gitlab": by_gitlab}


def _pushed(ref: str, commit: str) -> dict[str, Any]:
    commits = [{"id": commit, "message": "environments: change", "author": _AUTHOR}]
    return {"ref": ref, "before": "0" * 40, "after": commit, "commits": commits}


def _body(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _hmac(secret: str, body: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()


def _post(url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
    json_type = {"Content-Type": "application/json"}
    return httpx.post(url, headers={**headers, **json_type}, content=body, timeout=30)
