"""The site behind API Gateway knows the address that the browser used."""

from typing import Any

from sparkle_site.forwarded_headers import trust_api_gateway


def environ_of(headers: dict[str, str]) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.update(environ)
        return []

    trust_api_gateway(application)({"HTTP_HOST": "10.0.0.7:8000", "REMOTE_ADDR": "10.0.0.3"} | headers, lambda *_: None)
    return seen


def test_host_scheme_and_client_are_the_browsers() -> None:
    seen = environ_of(
        {
            "HTTP_X_SPARKLE_HOST": "sparkle.example.org",
            "HTTP_X_SPARKLE_PROTO": "https",
            "HTTP_X_SPARKLE_CLIENT": "203.0.113.9",
            "HTTP_X_FORWARDED_FOR": "6.6.6.6",
        }
    )
    assert seen["HTTP_HOST"] == "sparkle.example.org"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "https"
    assert seen["REMOTE_ADDR"] == seen["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"


def test_the_health_check_beside_it_is_left_as_it_is() -> None:
    assert environ_of({})["HTTP_HOST"] == "10.0.0.7:8000"
