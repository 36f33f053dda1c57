"""The programs service."""

from __future__ import annotations

from .life_methods import LifeMethods
from .matching_methods import MatchingMethods
from .run_methods import RunMethods
from .stream_methods import StreamMethods
from .talk_methods import TalkMethods


class Programs(RunMethods, StreamMethods, TalkMethods, LifeMethods, MatchingMethods):
    """Run programs on the server's machine: to their end, or started, watched, fed and ended from afar.

    Output and input are bytes; which encoding they are in, if any, is the caller's to know.
    """
