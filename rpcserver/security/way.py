"""The base class of ways to authenticate. It imports none of the server's settings, so that ``import rpcserver`` works
where only the client is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic

from typing_extensions import TypeVar

from rpcwire.context import Principal
from rpcwire.service import ServiceConfig

ConfigT = TypeVar("ConfigT", bound=ServiceConfig, default=ServiceConfig)


class Way(Generic[ConfigT]):
    """One way to authenticate by a request: a scheme of the header ``Authorization`` (RFC 9110, section 11).

    Attributes:
        scheme: the name of the scheme, such as ``Basic``.
        form: the form of the header, for a person: ``Basic BASE64``.
        wrong: the text of the answer to wrong credentials.
        config_model: the model of the settings.
        config: the settings.
    """

    scheme: ClassVar[str]
    form: ClassVar[str]
    wrong: ClassVar[str] = "the credentials are wrong"
    config_model: ClassVar[type[ServiceConfig]] = ServiceConfig
    _listeners: tuple[Callable[[], None], ...] = ()

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    def claimed_name(self, credentials: str) -> str | None:  # noqa: ARG002 - ways that know names override this
        """Return the name that credentials claim, as their sender writes it; ``None`` if they claim none. The server
        counts wrong attempts by this name, too, so that guesses of one password from many addresses are delayed.

        Parameters:
            credentials: as of :meth:`principal`. Whether they are right is not known yet.
        """
        return None

    def principal(self, credentials: str) -> Principal | None:
        """Find out who sends a request. It must be quick, because the whole server waits for it. The time that it takes
        must not show how much of the credentials is right.

        Parameters:
            credentials: the text after the scheme in the header, without the spaces around it.

        Returns:
            The sender's name, which settings may put into roles; the way, as ``method``, which must be a name of its
            own; if they have one, their role; and as ``credential`` what tells apart the credentials of one name.
            ``None`` for wrong credentials.
        """
        raise NotImplementedError

    def renew(self, principal: Principal) -> Principal | None:
        """Find out who somebody is now, whom :meth:`principal` has found before. The server asks for each of their
        connections after :meth:`report_change`, and whenever tokens or roles have changed. It must be quick.

        Parameters:
            principal: who they were.

        Returns:
            Who they are now: their role may be another one. ``None`` if their credentials are valid no more; the server
            then ends their connections.
        """
        return principal

    def report_change(self) -> None:
        """Tell the server that somebody's credentials have ended, or that somebody has got another role. Any thread may
        call this, at any time."""
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a function at each :meth:`report_change`. Only the server uses this."""
        self._listeners = (*self._listeners, listener)
