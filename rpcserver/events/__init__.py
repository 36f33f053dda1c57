"""Events that services publish: who follows them here, and who at other nodes of the group.

- :mod:`.feed` numbers the events of one kind and keeps what waits for each follower: without I/O and without a clock.
- :mod:`.board` has the feeds of all services. Any thread publishes there; followers wait in the event loop.
- :mod:`.teller` keeps which other nodes follow events of this one for their clients, and whether they may.
- :mod:`.follower` is what one client follows at all nodes: without I/O and without a clock.
- :mod:`.exchange` drives both over the broker.

A node that follows asks each node that it wants to hear, again every :data:`~.follower.RENEW_S`; a node tells its
events only those who have asked lately, each in one message for all their clients. So nobody needs a subscription at
the broker, events of no interest cost nothing, and nothing crosses the broker that its receiver may not see. Whatever
gets lost (a question, an answer, an event, a node) is noticed by the next question, whose answer says how many events
there were.
"""
