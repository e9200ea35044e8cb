"""The container's health check: `python -m sparkle_site.healthcheck` requests /healthz of the local site."""

import sys
import urllib.request


def main() -> int:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8000/healthz", timeout=4) as answer:  # nosec B310  # a fixed URL
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
