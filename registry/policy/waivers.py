"""Waivers that were given: exceptions to rules about packages."""

import datetime
from dataclasses import dataclass

from builder.rules.model import Exemption, Manager


@dataclass(frozen=True, slots=True)
class Waiver:
    """What may be installed although a rule says otherwise."""

    number: int
    #: A match spec, or with ``pypi`` a requirement.
    spec: str
    manager: Manager = "conda"
    #: It lifts rules of the policy with that name alone; ``""``: of any.
    policy: str = ""
    #: Where it holds, by its slug; ``None``: everywhere.
    namespace: str | None = None
    #: By its slug; ``None``: in the whole namespace.
    environment: str | None = None
    #: It holds before that moment; ``None``: until it is taken back.
    expires_at: datetime.datetime | None = None

    @property
    def exemption(self) -> Exemption:
        """What it is for a build in which it holds."""
        return Exemption(self.number, self.spec, self.manager, self.policy)

    def holds_in(self, namespace: str | None, environment: str | None) -> bool:
        """Tell whether it holds in an environment, as long as it has not expired.

        Args:
            namespace: By its slug; ``None``: for what belongs to no namespace.
            environment: By its slug; ``None``: for the namespace as a whole.
        """
        if self.namespace is None:
            return True
        return self.namespace == namespace and self.environment in {None, environment}

    def is_expired(self, now: datetime.datetime) -> bool:
        """Tell whether it has expired."""
        return self.expires_at is not None and self.expires_at <= now
