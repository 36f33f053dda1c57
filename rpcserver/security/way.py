"""The base class of ways to authenticate. It imports none of the server's settings, so that ``import rpcserver`` works
where only the client is installed."""

from __future__ import annotations

from typing import ClassVar, Generic

from typing_extensions import TypeVar

from rpcwire.context import Principal
from rpcwire.service import ServiceConfig

ConfigT = TypeVar("ConfigT", bound=ServiceConfig, default=ServiceConfig)


class Way(Generic[ConfigT]):
    """One way to say in a request who sends it: a scheme of the header ``Authorization`` (RFC 9110, section 11).

    Attributes:
        scheme: its name, such as ``Basic``.
        form: what the header must be, for a person: ``Basic BASE64``.
        wrong: what to answer to wrong credentials.
        config_model: the model of its settings.
        config: its settings.
    """

    scheme: ClassVar[str]
    form: ClassVar[str]
    wrong: ClassVar[str] = "the credentials are wrong"
    config_model: ClassVar[type[ServiceConfig]] = ServiceConfig

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    def principal(self, credentials: str) -> Principal | None:
        """Who sends a request. It must be quick, for everybody waits meanwhile, and must not tell by the time it takes
        how far credentials are right.

        Parameters:
            credentials: what follows the scheme in the header, without the spaces around it.

        Returns:
            Its name, which settings may put into roles, and how it was established; ``None`` for wrong credentials.
        """
        raise NotImplementedError
