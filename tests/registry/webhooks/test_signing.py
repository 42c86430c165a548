"""Signatures, held against the Standard Webhooks' own library and vectors."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from registry.catalog.webhooks import new_secret
from registry.webhooks.signing import sign, signature_headers


def test_the_standards_vector_comes_out() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(), st.binary(min_size=24, max_size=64))
def test_whatever_is_sent_is_found_right_by_the_library(text: str, key: bytes) -> None:
    body = text.encode("utf-8", "ignore")
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = signature_headers([secret], "evt_7", int(time.time()), body)
    Webhook(secret).verify(body, headers, json_parse=False)


def test_a_secret_is_as_the_standard_writes_it_and_nobody_elses() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_what_was_changed_on_its_way_is_found_out(name: str) -> None:
    secret, body = new_secret(), b'{"type":"version.built"}'
    headers = signature_headers([secret], "evt_7", int(time.time()), body)
    verifier = Webhook(secret)
    assert verifier.verify(body, headers) == {"type": "version.built"}
    changed = {**headers, name: headers[name][:-2] + "1="}
    for data, lines in ((body + b" ", headers), (body, changed)):
        with pytest.raises((WebhookVerificationError, ValueError)):
            verifier.verify(data, lines)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)
