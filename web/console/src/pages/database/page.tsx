/** Databases: what they have, an editor, and results of any size. */

import { database } from "@remote-services/client/stubs/database";
import { useEffect, useRef } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useAnswer, useEntry } from "../../entry.ts";
import { hashOf, type PageProps } from "../../routes.ts";
import { useStore } from "../../store.ts";
import "./database.css";
import { deskOf } from "./desk.ts";
import type { Editor } from "./editor.ts";
import { EditorView } from "./editor_view.tsx";
import { Results } from "./result_view.tsx";
import { SchemaTree } from "./schema_tree.tsx";
import { TransactionBar } from "./transaction_bar.tsx";

/** The page. */
export function DatabasePage({ rest }: PageProps) {
  const { client, permissions } = useEntry();
  const desk = deskOf(client);
  const state = useStore(desk.state);
  const editor = useRef<Editor>(undefined);
  const found = useAnswer((each) => each.service(database).databases(), []);
  const list = found.value;
  const maySee = permissions.has("database.schema");
  const here = list?.find((each) => each.name === rest) ?? list?.find((each) => each.name === state.database) ?? list?.[0];
  const isLocked = state.transaction !== undefined || state.isBusy;
  useEffect(() => {
    if (here !== undefined && !isLocked) desk.choose(here.name, here.dialect, maySee);
  }, [desk, here?.name, isLocked, maySee]);
  useEffect(() => {
    if (!state.isBusy) return undefined;
    // Wherever the focus is: the button that has started it may have lost it.
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null) desk.stop();
    };
    addEventListener("keydown", onKey);
    return () => { removeEventListener("keydown", onKey); };
  }, [desk, state.isBusy]);
  const info = list?.find((each) => each.name === state.database);
  return (
    <div class="database">
      <aside class="stack catalog" aria-label="Databases">
        <div class="row">
          <h1>Database</h1>
          {list !== undefined && list.length > 0 && (
            <select class="grow" aria-label="Database" value={state.database} disabled={isLocked} title={isLocked ? "What runs or is open belongs to this database" : undefined}
              onChange={(event) => { location.hash = hashOf("database", event.currentTarget.value); }}>
              {list.map((each) => <option key={each.name} value={each.name}>{each.name} · {each.dialect}{each.readonly ? " · only reading" : ""}</option>)}
            </select>
          )}
        </div>
        {found.error !== undefined && <p class="note bad" role="alert">{tell(found.error)}</p>}
        {list === undefined && found.error === undefined && <p class="muted" role="status">Asking the server …</p>}
        {list?.length === 0 && <p class="muted">There is no database that you may use.</p>}
        {!maySee && <p class="small muted">Your role does not show you tables: it lacks the permission <code>database.schema</code>.</p>}
        {desk.catalog !== undefined && state.database !== "" && (
          <SchemaTree key={state.database} catalog={desk.catalog} dialect={state.dialect} onInsert={(text) => { editor.current?.insert(text); }} />
        )}
      </aside>
      <div class="stack">
        {info?.readonly === true && <p class="note small">This database refuses every change.</p>}
        <EditorView desk={desk} editor={editor} />
        <TransactionBar desk={desk} />
        {state.problem !== "" && <p class="note bad" role="alert">{state.problem}</p>}
        <Results desk={desk} />
      </div>
    </div>
  );
}
