"""The node's side of the group: which nodes there are, calls to many of them, and the broker between them.

First, how nodes know who is there. All of that is without I/O, and is told the time.

**Who watches whom.** A node that listened to the beats of a thousand others would spend a quarter of a processor. So
each node is watched by three others only: the next three after it in the ring of ids that live. Each node knows the
whole roster, sorted by id, and so finds the three before it without asking anybody (:mod:`~rpcserver.group.presence`).
It beats every 0.5 s on a subject of its own, hears six beats a second, and its cost does not depend on how many there
are. Whom it does not watch it knows by verdicts, which are sent to everybody, and only when something changes.

**Judging.** Silent for 1.0 s, a member is asked directly; silent for 1.3 s, it is suspect, and for 2.0 s, dead. The
watcher next to a member speaks first, the second one 0.1 s later if nobody has spoken, and so on. Whoever holds one of
its own for suspect goes on along the ring until it hears three and as many more as are silent: these may have lost all
their watchers at once. It asks them, too, and gives them 1.4 s, so that they are dead within 3 s as well. When the
broker knows that a connection is lost, or that nobody listens, the watchers ask at once, and the member has 0.5 s to be
heard, which is enough to connect again. Others believe a death when the suspicion has stood for 0.3 s: until then the
suspect may answer.

**Many verdicts.** Each verdict for everybody is a thousand messages in a group of a thousand. From twenty members on
the first watcher has its verdicts told by the living member with the smallest id, which joins those of 0.2 s into one
message. If that member is gone itself, the first watcher hears nothing of its verdict within 0.4 s, and tells everybody
itself; if the first watcher is gone, too, the second one does.

**When it is we who do not hear.** Nobody is judged for a time in which we did not listen: without a connection, while
our own loop was blocked (we looked at the clock too late), and while what we read is old, because more has come than we
can read. A node finds that out by echoes: messages to itself, which the broker puts behind everything that it has for
this node. Before each verdict one must have come back that was sent after the silence was long enough, and as long as
somebody is silent one is sent with each beat, so that it is noticed if the broker stands still meanwhile. One that
takes more than 0.3 s, or than twice the usual time where the broker is far away, says that we judge nobody until one
is faster. Afterwards all silence is counted from zero. And who has been late with its own beats waits three times as
much longer for others, who may be as busy. Only the clock that does not jump decides anything.

**Lives.** Whatever is said is said of one life (epoch) of a node, and a life that has died never comes back: beats of
an old epoch move nothing. A node that lives on although it was taken for dead (it was frozen, or cut off) begins a new
life when it learns that: by the verdict itself, which waited for it, or from those who watch it. They go on listening
to the dead for ten minutes, and tell them. Whoever has seen the death sees the node return; a call to the old life has
had its outcome, ``died``, and what the node did meanwhile belongs to that outcome (executed: unknown). Whoever has not
seen the death sees no gap, and its calls go on: the new epoch tells that it is the same process
(:func:`~rpcserver.group.members.is_same_process`).

**What was lost on the way.** Each beat has a digest of its sender's table. If it differs from ours for a second while
neither changes, we compare tables. So every lost message is made good, around the ring, and nothing is sent as long as
all agree. What a node is, it tells itself: a table only says whom to ask. What a table says of a death is checked with
that member first, for perhaps it was the other one who could not hear. And whose life another one does not know, that
one is watched, wherever it is in the ring, until it is heard: if that life has ended before the others heard of it,
those who have to watch it would never miss it. A newcomer gets its table from the two that watch it first, and from the
bucket of the broker (the slow truth), whose entries may be old: who is dead among them is found as any other. Of whom
only a table tells, it asks when the bucket has had its time.

**Two groups.** The living member with the smallest id announces itself every 2.5 s. So groups that were apart, or have
never heard of each other, become one, and a node that nobody knows is not alone for long.

**Load.** Members know the load of those whom they watch, by their beats; of others, as of their last announcement.
Whoever looks for the least loaded of many asks a few of them.

**Calls to many.** Whoever calls many nodes fixes the roster at the start, and each of them has exactly one outcome,
which never contradicts what the node has run (:mod:`~rpcserver.group.gathering`). A node runs each call once at the
most (:mod:`~rpcserver.group.receiving`).

**The driver.** :mod:`~rpcserver.group.node` gives :mod:`~rpcserver.group.presence` real time and real messages,
:mod:`~rpcserver.group.link` keeps the connection, :mod:`~rpcserver.group.subjects` says who may publish where,
:mod:`~rpcserver.group.bucket` writes the slow truth, :mod:`~rpcserver.group.witness` hears from an embedded broker
who is gone, and :mod:`~rpcserver.group.joining` makes all of them of the configuration.

**One node through another.** A client that is connected to one node reaches all of them. It connects once more, and has
its node (the gateway) lead this connection to another one (:mod:`~rpcserver.group.gateway`). From then on the gateway
passes whole frames on, by a circuit of datagrams (:mod:`~rpcserver.group.circuit`, :mod:`~rpcserver.group.circuits`),
and for the other node it is a connection like any other (:mod:`~rpcserver.group.circuit_link`). So there is one
protocol, from end to end. The other node's settings say which gateways may vouch for whom
(:mod:`~rpcserver.group.vouching`).

**The broker.** A server can bring its own, as a child that ends with it (:mod:`~rpcserver.group.broker`).

**Cost.** A thousand members take 70 KiB, 16 µs of processor time each second while nothing happens, besides what the
broker's client spends on eight messages, and 10 µs for each change (``benchmarks/roster.py``).
"""
