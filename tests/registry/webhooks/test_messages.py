"""What is sent of an event: to programs, chat services and people."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from registry.catalog.event_words import _ACTIONS
from registry.catalog.records import Event
from registry.webhooks.messages import Messages, sentence_of

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def event(action: str = "version.activated", **more: Any) -> Event:
    fields = {"actor": "ada", "namespace": "ada", "environment": "forecast", "number": 3, **more}
    actor, detail = fields.pop("actor"), fields.pop("detail", {})
    return Event(17, AT, actor, 5, "192.0.2.1", action, **fields, detail=detail, via="api")


def test_a_program_gets_what_happened_and_where_to_ask_for_more() -> None:
    detail = {"before": {"active": 2}, "after": {"active": 3, "key": "a" * 32}}
    message = Messages("https://pull.example.org").of(event(detail=detail))
    assert message.id == "evt_17"
    base = "https://pull.example.org"
    assert json.loads(message.document) == {
        "type": "version.activated",
        "timestamp": "2026-03-01T12:30:00Z",
        "data": {
            "id": 17,
            "actor": "ada",
            "namespace": "ada",
            "environment": "forecast",
            "version": 3,
            "detail": detail,
            "is_whole": True,
            "links": {
                "namespace": f"{base}/api/v1/namespaces/ada",
                "environment": f"{base}/api/v1/namespaces/ada/environments/forecast",
                "version": f"{base}/api/v1/namespaces/ada/environments/forecast/versions/3",
                "page": f"{base}/ada/forecast/-/versions/3",
            },
        },
    }
    assert message.link == f"{base}/ada/forecast/-/versions/3"


def test_without_a_public_address_links_are_paths_and_people_get_none() -> None:
    message = Messages().of(event())
    assert json.loads(message.document)["data"]["links"]["page"] == "/ada/forecast/-/versions/3"
    assert json.loads(message.chat) == {"text": "ada made active ada/forecast v3"}


def test_from_where_it_was_done_and_by_which_token_is_told_to_nobody() -> None:
    message = Messages().of(event())
    assert b"192.0.2.1" not in message.document
    assert b"token" not in message.document


def test_what_is_long_is_left_out_and_that_is_said() -> None:
    detail = {"policy": "company", "text": "x" * 300_000, "before": None}
    message = Messages().of(event("policy.set", detail=detail))
    data = json.loads(message.document)["data"]
    assert len(message.document) < 20_000
    assert data["detail"] == {"policy": "company", "before": None}
    assert data["is_whole"] is False


def test_chat_services_are_told_a_sentence_that_wakes_nobody_and_leads_nowhere_else() -> None:
    detail = {"message": "<!channel> see <https://evil.example|here> & @everyone @Here x@all.org"}
    message = Messages().of(event("version.failed", detail=detail))
    (text,) = json.loads(message.chat).values()
    assert "<" not in text
    assert "&lt;!\u200bchannel&gt;" in text
    assert "@\u200beveryone @\u200bHere" in text
    # Mattermost, Rocket.Chat and others read Markdown, in which a text can lead anywhere.
    detail = {"message": "see [https://pull.example.org/ok](https://evil.example) ![](https://x.y)"}
    message = Messages().of(event("version.failed", detail=detail))
    (text,) = json.loads(message.chat).values()
    assert "](" not in text
    assert "ok]\u200b(https://evil.example)" in text


@pytest.mark.parametrize("odd", ["a\r\nBcc: x@y.z", "\x1b[31mred", "\u202egnp", "a\u2028b", "\0"])
def test_a_sentence_is_one_line_of_what_is_seen(odd: str) -> None:
    for one in (event("version.failed", detail={"message": odd}), event(actor=odd)):
        sentence = sentence_of(one)
        assert sentence.isprintable()
        assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize("action", [*sorted(_ACTIONS), "comet.seen"])
def test_every_action_is_told_by_whoever_and_wherever_it_was_done(action: str) -> None:
    for fields in (
        {},
        {"actor": None},
        {"number": None, "environment": None},
        {"number": None, "environment": None, "namespace": None},
        {"actor": None, "number": None, "environment": None, "namespace": None},
    ):
        one = event(action, **fields)
        sentence = sentence_of(one)
        assert sentence
        assert sentence == sentence.strip()
        assert "None" not in sentence
        assert not sentence.endswith((" of", " in", " for", " to"))
        json.loads(Messages().of(one).document)


def test_sentences_read_as_people_would_say_them() -> None:
    failed = event("version.failed", actor=None, detail={"message": "no such package\nmore"})
    assert sentence_of(failed) == "ada/forecast v3 failed: no such package"
    assert sentence_of(event("version.queued")) == "ada asked for ada/forecast v3"
    stopped = event("webhook.stopped", actor=None, environment=None, number=None)
    assert sentence_of(stopped) == "ada has a webhook that was stopped"
