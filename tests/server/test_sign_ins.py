"""What the metrics and the audit log tell of tickets and sessions: who, and never a secret."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rpcserver.server import Server
from tests.server.test_audit import events, raw_lines, whole
from tests.server.test_metrics import of, read, scrape
from tests.server.test_sessions import ROLES, Keys, closing, ticket_of, type_of
from tests.server.test_sessions import keys as keys

COUNTED = {
    ("ticket", "created"): 2, ("ticket", "exchanged"): 1, ("ticket", "refused"): 2,
    ("session", "revoked"): 1, ("session", "refused"): 3,
}  # fmt: skip


async def live(tools: Any, server: Server) -> float:
    return of(read(await scrape(tools, server)), "rpcserver_sessions")


def test_what_becomes_of_tickets_and_sessions_is_counted_and_written_down_without_secrets(
    tools: Any, keys: Keys
) -> None:
    async def main() -> None:
        token = keys.create()
        async with tools.serve(roles=ROLES, audit={"enabled": True, "parameters": "redacted"}) as server:
            samples = read(await scrape(tools, server))
            assert all(of(samples, "rpcserver_sign_ins_total", what=w, event=e) == 0 for w, e in COUNTED)
            ticket = await ticket_of(tools, server, token)
            unused = await ticket_of(tools, server, token)
            async with tools.connect(server, token=None) as page, tools.connect(server, token=None) as thief:
                found = (await tools.call(page, "rpc.authenticate", {"ticket": ticket}))["result"]["session"]
                assert (await live(tools, server)) == 1
                samples = read(await scrape(tools, server))
                assert of(samples, "rpcserver_connections", authenticated_by="session") == 1
                assert await type_of(tools, thief, {"ticket": ticket}) == "TicketUsed"
                assert await type_of(tools, thief, {"ticket": f"{unused}x"}) == "TicketUnknown"
                assert await type_of(tools, thief, {"session": "rpcsession_wrong"}) == "SessionUnknown"
                async with tools.connect(server, token=token) as maker:
                    revoked = await tools.call(maker, "rpc.revoke_session", {"session_id": found["id"]})
                    assert revoked["result"] is True
                assert (await closing(page, tools)).rcvd is not None
                assert await type_of(tools, thief, {"session": found["secret"]}) == "SessionEnded"
            page_by_header = (
                f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {found['secret']}\r\n\r\n"
            )
            assert (await tools.http(server, page_by_header))[0] == 401
            samples = read(await scrape(tools, server))
            counted = {
                (what, event): of(samples, "rpcserver_sign_ins_total", what=what, event=event)
                for what, event in COUNTED
            }
            assert counted == COUNTED
            assert await live(tools, server) == 0
            secrets = [ticket, unused, found["secret"], token]
            text = await scrape(tools, server)
            assert not [each for each in secrets if each in text]
        folder = tools.folder
        await asyncio.to_thread(whole, folder)
        made = events(folder, "completed", method="rpc.create_ticket")
        assert [(each["client"]["principal"], each["outcome"]) for each in made] == [("ci", "ok")] * 2
        (exchanged,) = [
            each for each in events(folder, "completed", method="rpc.authenticate") if each["outcome"] == "ok"
        ]
        assert (exchanged["client"]["principal"], exchanged["client"]["by"]) == ("ci", "session")
        assert [
            each["client"]["principal"] for each in events(folder, "connected") if each["client"]["by"] == "session"
        ] == ["ci"]
        (revoked,) = events(folder, "completed", method="rpc.revoke_session")
        assert (revoked["client"]["principal"], revoked["outcome"]) == ("ci", "ok")
        # Under load the parameters stand in a line of their own, when the call has arrived.
        lines = [revoked, *events(folder, "received", method="rpc.revoke_session")]
        assert [json.loads(each["params"]) for each in lines if "params" in each] == [{"session_id": found["id"]}]
        (ended,) = [each for each in events(folder, "disconnected") if each["client"]["by"] == "session"]
        assert ended["client"]["principal"] == "ci" and "the session of ci has ended" in ended["reason"]
        refused = [
            each["outcome"] for each in events(folder, "completed", method="rpc.authenticate") if each is not exchanged
        ]
        assert {"TicketUsed", "TicketUnknown", "SessionUnknown", "SessionEnded"} <= set(refused)
        everything = b"\n".join(raw_lines(folder))
        assert not [each for each in secrets if each.encode() in everything]

    tools.run(main())
