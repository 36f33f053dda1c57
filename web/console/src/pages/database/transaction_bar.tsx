/** Opens and ends a transaction, and shows its lease. */

import type { Isolation } from "@remote-services/client/stubs/database";
import { useEffect, useState } from "preact/hooks";
import { useEntry } from "../../entry.ts";
import { formatDuration } from "../../format.ts";
import { useStore } from "../../store.ts";
import type { Desk } from "./desk.ts";
import { leftOf, type OpenTransaction } from "./transaction.ts";

const ISOLATIONS: readonly Isolation[] = ["read uncommitted", "read committed", "repeatable read", "serializable"];

/** Shows the transaction, or offers one. */
export function TransactionBar({ desk }: { readonly desk: Desk }) {
  const { permissions } = useEntry();
  const { transaction, news, database, isBusy } = useStore(desk.state);
  if (!permissions.has("database.transaction")) {
    return <p class="small muted">Each statement stands for itself: your role lacks <code>database.transaction</code>.</p>;
  }
  return transaction === undefined
    ? <Offer desk={desk} isReady={database !== "" && !isBusy} news={news} />
    : <Lease desk={desk} transaction={transaction} isBusy={isBusy} />;
}

function Offer({ desk, isReady, news }: { readonly desk: Desk; readonly isReady: boolean; readonly news: string }) {
  const { permissions } = useEntry();
  const mayChange = permissions.has("database.execute") || permissions.has("database.script");
  const [isolation, setIsolation] = useState<Isolation | "">("");
  const [readonly, setReadonly] = useState(!mayChange);
  const { dialect } = useStore(desk.state);
  return (
    <div class="row">
      <button type="button" disabled={!isReady} onClick={() => { void desk.begin({ readonly, isolation: isolation === "" ? null : isolation }); }}>Begin a transaction</button>
      {dialect !== "sqlite" && (
        <label class="row small">Isolation
          <select value={isolation} onChange={(event) => { setIsolation(event.currentTarget.value as Isolation | ""); }}>
            <option value="">as the database has it</option>
            {ISOLATIONS.map((each) => <option key={each}>{each}</option>)}
          </select>
        </label>
      )}
      <label class="row small"><input type="checkbox" checked={readonly} disabled={!mayChange} onChange={(event) => { setReadonly(event.currentTarget.checked); }} /> only reading</label>
      <span class="small muted" role="status">{news === "" ? "Each statement commits by itself." : news}</span>
    </div>
  );
}

function Lease({ desk, transaction, isBusy }: { readonly desk: Desk; readonly transaction: OpenTransaction; readonly isBusy: boolean }) {
  const { isKept } = useStore(desk.state);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => { tick((count) => count + 1); }, 500);
    return () => { clearInterval(timer); };
  }, []);
  const { idleS, totalS } = leftOf(transaction, performance.now());
  const { info, state } = transaction;
  return (
    <div class={`lease note ${state === "failed" ? "bad" : ""}`}>
      <div class="row">
        <span class={`tag ${state === "failed" ? "bad" : "accent"}`} role="status">{state === "failed" ? "transaction failed" : "transaction open"}</span>
        <span class="small mono">{info.database}{info.readonly ? ", only reading" : ""}{info.isolation === null ? "" : `, ${info.isolation}`}</span>
        <span class="grow" />
        <button type="button" class="primary" disabled={isBusy || state === "failed"} onClick={() => { void desk.end("commit"); }}>Commit</button>
        <button type="button" disabled={isBusy} onClick={() => { void desk.end("rollback"); }}>Roll back</button>
      </div>
      <div class="row small">
        <meter aria-label="Seconds until the unused transaction is rolled back" min={0} max={info.idle_s} low={info.idle_s / 4} value={isBusy ? info.idle_s : idleS} />
        <span class="grow">
          {isBusy ? "In use" : `Rolled back in ${formatDuration(idleS)} if it stays unused`}; in {formatDuration(totalS)} in any case.
          {state === "failed" && " It can only be rolled back."}
        </span>
        <label class="row"><input type="checkbox" checked={isKept} onChange={(event) => { desk.setKept(event.currentTarget.checked); }} /> keep it in use</label>
        <button type="button" disabled={isBusy} onClick={() => { void desk.renew(); }}>Renew</button>
      </div>
    </div>
  );
}
