"""The check before an audit: one line says so if the advisories cannot be read."""

from __future__ import annotations

import sys

import requests

# pip-audit asks for a version of a package; mirrors and proxies may know packages alone.
ASKED = "/pypi/pip/25.0/json"
TIMEOUT_S = 30


def main(service: str) -> str | None:
    """The line that ends the audit; None if the advisories can be read."""
    try:
        answer = requests.get(service + ASKED, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        problem = f"could not be reached ({type(error).__name__})"
    else:
        if answer.status_code != requests.codes.ok:
            problem = f"answered HTTP {answer.status_code} for {ASKED}"
        elif '"vulnerabilities"' not in answer.text:
            problem = f"answered without vulnerabilities for {ASKED}"
        else:
            return None
    return f"error: no package was audited: the advisory service {service} {problem}"


if __name__ == "__main__":
    from pip_audit._dependency_source import PYPI_URL  # of make audit's environment alone

    sys.exit(main(PYPI_URL.removesuffix("/simple/")))
