/** The editor with what belongs to it: running, stopping, how it is run, and parameters. */

import { useEffect, useRef, useState } from "preact/hooks";
import { useEntry } from "../../entry.ts";
import { Store, useStore } from "../../store.ts";
import { namesOf, type CatalogState } from "./catalog.ts";
import type { Desk, Mode } from "./desk.ts";
import { Editor } from "./editor.ts";
import { ParameterFields } from "./parameter_fields.tsx";
import { splitStatements, statementAt, type Statement } from "./sql.ts";

const NO_CATALOG = new Store<CatalogState | undefined>(undefined);

/** What is to be run: what is selected, or the statement at the cursor, or all. */
function chooseStatements(desk: Desk, editor: Editor, all: boolean): Statement[] {
  const { dialect } = desk.state.value;
  if (all) return splitStatements(desk.text, dialect);
  const { selection } = editor;
  if (selection.trim() !== "") return splitStatements(selection, dialect);
  const here = statementAt(splitStatements(desk.text, dialect), editor.place);
  return here === undefined ? [] : [here];
}

/** Shows the editor. */
export function EditorView({ desk, editor }: { readonly desk: Desk; readonly editor: { current: Editor | undefined } }) {
  const { permissions } = useEntry();
  const { dialect, database, isBusy, mode } = useStore(desk.state);
  const names = useStore((desk.catalog?.state ?? NO_CATALOG) as Store<CatalogState | undefined>);
  const place = useRef<HTMLDivElement>(null);
  const [text, setText] = useState(desk.text);
  const mayChange = permissions.has("database.execute");
  const act = (all: boolean, kind?: "explain" | "measure"): void => {
    if (editor.current !== undefined) void desk.run(chooseStatements(desk, editor.current, all), kind);
  };
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const made = new Editor(element, desk.text, {
      onChange: (now) => {
        desk.text = now;
        clearTimeout(timer);
        timer = setTimeout(() => {
          setText(now);
          desk.catalog?.wantNamed(now);
        }, 150);
      },
      onRun: () => { latest.current(false); },
      onRunAll: () => { latest.current(true); },
    });
    editor.current = made;
    return () => {
      clearTimeout(timer);
      editor.current = undefined;
      made.close();
    };
  }, [desk]);
  useEffect(() => { editor.current?.speak(dialect, names === undefined ? {} : namesOf(names)); }, [dialect, names?.schemas, names?.details]);
  return (
    <section class="stack" aria-label="Editor">
      <div class="editor" ref={place} data-keys />
      <ParameterFields desk={desk} text={text} />
      <div class="row">
        {isBusy
          ? <button type="button" class="danger" onClick={() => { desk.stop(); }}>Cancel</button>
          : <button type="button" class="primary" disabled={database === ""} title="Ctrl+Enter" onClick={() => { act(false); }}>Run</button>}
        <button type="button" disabled={isBusy || database === ""} title="Ctrl+Shift+Enter" onClick={() => { act(true); }}>Run all</button>
        <button type="button" disabled={isBusy || database === ""} onClick={() => { act(false, "explain"); }}>Explain</button>
        {dialect !== "sqlite" && <button type="button" disabled={isBusy || database === ""} title="Run it, and show what each step has taken; what it changes belongs to the transaction" onClick={() => { act(false, "measure"); }}>Measure</button>}
        <label class="row small">As
          <select value={mode} onChange={(event) => { desk.setMode(event.currentTarget.value as Mode); }}>
            <option value="auto">its words say</option>
            <option value="read">reading</option>
            <option value="change" disabled={!mayChange}>changing</option>
          </select>
        </label>
        {!mayChange && <span class="small muted">You may only read: your role lacks <code>database.execute</code>.</span>}
      </div>
    </section>
  );
}
