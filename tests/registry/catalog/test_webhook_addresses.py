import pytest

from builder.network.hosts import Hosts
from registry.catalog.webhook_addresses import checked_address, host_of_address, shown_address
from registry.errors import WebhookInvalid
from registry.webhooks.sender import Places


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1.evil/#", "ftp://a.invalid/", "//a.invalid/x", "https:///x", "nothing"),
        *("https://a.invalid:99999/", "https://a b.invalid/", "https://a.invalid/\nHost: x"),
        *("https://[::1/", "file:///etc/passwd", "https://a.invalid/ä", "javascript:alert(1)"),
        *("https://u:***@a.invalid/", "https://:80/", "gopher://x/_", "http://a.invalid:0/"),
        *(
            "http://[fe80::1%25eth0]/",
            "http://0251.0376.0251.0376/",
            "http://a%00b/",
            "http://%31/",
        ),
        *("https://a.invalid/\r\nx", "https://a\\@b.invalid/", "HTTPS:a", "http://a.invalid:x/"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(WebhookInvalid) as error:
        checked_address("webhook", url)
    assert url not in error.value.message


#: What others try, by way of numbers, names and forms of IPv6, to reach what is inside.
INSIDE = (
    *("http://10.0.0.1/", "http://192.168.1.1/x", "http://169.254.169.254/latest/meta-data/"),
    *("http://[::ffff:10.0.0.1]/", "http://[fd00::1]/", "http://[::]/", "http://0.0.0.0/"),
    *("http://2852039166/", "http://0xa9fea9fe/", "http://10.1/", "http://localhost/"),
    *("http://[64:ff9b::a9fe:a9fe]/", "http://100.64.0.1/", "http://168.63.129.16/"),
    *("http://user@10.0.0.1:8080/", "http://10.0.0.1.:80/", "https://a.localhost/", "http://0/"),
)


@pytest.mark.parametrize("url", INSIDE)
def test_what_leads_inside_is_found_by_its_address(url: str) -> None:
    places = Places(Hosts(setting="PULLFORGE_WEBHOOK_NETWORKS"))
    assert "PULLFORGE_WEBHOOK_NETWORKS" in places.problem_with(checked_address("webhook", url))


def test_networks_that_are_named_are_let_in_and_the_service_itself_is_not() -> None:
    places = Places(Hosts(networks=["10.0.0.0/8"]), "pull.example.org")
    assert places.problem_with("http://10.1.2.3/") == ""
    assert places.problem_with("http://192.168.0.1/") != ""
    assert "itself" in places.problem_with("https://pull.example.org/x")
    assert "itself" in places.problem_with("https://PULL.example.org:443/x")


@pytest.mark.parametrize(
    "address",
    [
        *("ada", "a@b@c", "Ada <ada@example.org>", "a@example.org,b@example.org", "a..b@c.d"),
        *("a@b\nBcc: x@y", "a@-b.c", '"a b"@c.d', "a@[127.0.0.1]", "@b.c", "a@", "a@b..c", "-a@b"),
        f"{'a' * 65}@b.c",
    ],
)
def test_what_is_no_address_of_mail_is_refused(address: str) -> None:
    with pytest.raises(WebhookInvalid, match=r"one address.*https://"):
        checked_address("mail", address)


def test_an_address_of_mail_is_one_as_people_write_it() -> None:
    assert checked_address("mail", "mailto:ada.l+ci@mail.example.org") == (
        "ada.l+ci@mail.example.org"
    )
    assert checked_address("mail", "root@localhost") == "root@localhost"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://a.invalid/x", "https://a.invalid/x"),
        ("https://u:p4ss@a.invalid:8443/x", "https://***@a.invalid:8443/x"),
        ("https://p4ss@a.invalid", "https://***@a.invalid/"),
        ("https://a.invalid/x?p4ss", "https://a.invalid/x?***"),
        ("https://a.invalid/x?a=p4ss&b&c=p4ss=", "https://a.invalid/x?a=***&***&c=***"),
        ("https://a.invalid/?", "https://a.invalid/"),
        ("https://a.invalid/%70%34ss/..;/x", "https://a.invalid/%70%34ss/..;/x"),
    ],
)
def test_what_is_secret_in_an_address_is_not_shown(address: str, shown: str) -> None:
    checked = checked_address("webhook", address)
    assert shown_address("webhook", "standard", checked) == shown
    host = shown.split("/")[2].rpartition("@")[2]
    start = shown.partition(host)[0]
    assert shown_address("webhook", "chat", checked) == f"{start}{host}/***"
    assert host_of_address("webhook", checked) == host
    with pytest.raises(WebhookInvalid):  # what is shown is not taken for what it stands for
        checked_address("webhook", "https://***@a.invalid/")
