"""What other systems send, as they send it → canonical rows: objects of their APIs, bodies of their webhooks.

One module a system. Its function `rows` gets one object and yields (table, row) for what the object says; of everything
else, texts and names above all, nothing is taken. An object that it does not know raises UnknownPayload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

CanonicalRow = tuple[str, dict[str, Any]]
# The first that fits: `pre-production` is no production. Otherwise the tier is `other`.
TIERS = {
    "staging": {"staging", "stage", "stg", "pre", "preprod", "preproduction", "uat"},
    "testing": {"test", "testing", "qa", "ci", "e2e"},
    "development": {"dev", "development", "review", "preview", "local"},
    "production": {"prod", "production", "live"},
}


class UnknownPayload(Exception):
    """No object that brings a row; the text says which would, without anything of its content."""


@dataclass(frozen=True)
class Names:
    """What the installation calls the services and environments that other systems name otherwise.

    `folder` is the folder that an object lay in, for those that do not say what they are about.
    """

    services: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None

    def service(self, *names: str | None) -> str | None:
        """The service of the first name that is given, else of the folder."""
        name = next(filter(None, names), self.folder)
        return self.services.get(name, name)

    def environment(self, name: str | None, tier: str | None = None) -> str | None:
        """The tier of an environment: as configured, else as its system says, else by the words of its name."""
        if name in self.environments:
            return self.environments[name]
        if tier or not name:
            return tier
        words = set(re.findall(r"[a-z0-9]+", name.lower()))
        return next((tier for tier, its_words in TIERS.items() if words & its_words), "other")


Reader = Callable[[dict, Names], Iterator[CanonicalRow]]


def at(item: Any, path: str) -> Any:
    """What stands at a dotted path in nested objects; None where it leads nowhere."""
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


def objects_at(item: Any, path: str) -> list[dict]:
    """The objects of the list at a dotted path; none where there is no list."""
    found = at(item, path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def severity(written: Any) -> str | None:
    """P1, SEV-1, sev1 → sev1; None for anything else."""
    match = re.fullmatch(r"(?i)(?:p|sev)[ -]?([1-5])", written) if isinstance(written, str) else None
    return f"sev{match[1]}" if match else None
