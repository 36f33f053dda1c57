/** The schemas of a database, their tables, and their columns. */

import type { TableName } from "@remote-services/client/stubs/database";
import { useState } from "preact/hooks";
import { useStore } from "../../store.ts";
import { keyOf, quoteName, type Catalog, type SchemaEntry } from "./catalog.ts";

interface TreeProps {
  readonly catalog: Catalog;
  readonly dialect: string;
  /** Gets SQL for the editor. */
  readonly onInsert: (text: string) => void;
}

/** How many tables of a schema are shown at once. */
const SHOWN_TABLES = 400;

/** Shows what the database has. */
export function SchemaTree({ catalog, dialect, onInsert }: TreeProps) {
  const { schemas, isLoading, problem } = useStore(catalog.state);
  const [search, setSearch] = useState("");
  const words = search.trim().toLowerCase();
  const isShown = (table: TableName): boolean => table.name.toLowerCase().includes(words);
  const shown = schemas.map((schema) => ({ schema, tables: schema.tables.filter(isShown) })).filter(({ tables, schema }) => tables.length > 0 || (words === "" && schema.isDefault));
  return (
    <div class="stack">
      <div class="row">
        <input class="grow" type="search" aria-label="Find a table" placeholder="Find a table  ( / )" value={search} onInput={(event) => { setSearch(event.currentTarget.value); }} />
        <button type="button" class="quiet" aria-label="Read the schema again" title="Read the schema again" onClick={() => { void catalog.load(); }}>↻</button>
      </div>
      {isLoading && <p class="small muted" role="status">Asking the server …</p>}
      {problem !== "" && <p class="note bad small" role="alert">{problem}</p>}
      {!isLoading && problem === "" && shown.length === 0 && <p class="small muted">No table has this in its name.</p>}
      {shown.map(({ schema, tables }) => (
        <details key={schema.name} class="schema" open={schema.isDefault || words !== ""}>
          <summary><span class="mono cut">{schema.name === "" ? "tables" : schema.name}</span> <span class="small muted">{tables.length}</span></summary>
          {tables.length === 0 && <p class="small muted">It has no tables.</p>}
          <ul>{tables.slice(0, SHOWN_TABLES).map((table) => <Table key={table.name} catalog={catalog} schema={schema} table={table} dialect={dialect} onInsert={onInsert} />)}</ul>
          {tables.length > SHOWN_TABLES && <p class="small muted">and {tables.length - SHOWN_TABLES} more: write a part of the name</p>}
        </details>
      ))}
    </div>
  );
}

function Table({ catalog, schema, table, dialect, onInsert }: TreeProps & { readonly schema: SchemaEntry; readonly table: TableName }) {
  const { details, problems } = useStore(catalog.state);
  const key = keyOf(schema.name, table.name);
  const info = details.get(key);
  const problem = problems.get(key);
  const quoted = quoteName(table.name, dialect);
  const name = schema.isDefault ? quoted : `${quoteName(schema.name, dialect)}.${quoted}`;
  return (
    <li>
      <details class="table" onToggle={(event) => { if (event.currentTarget.open) catalog.want(schema, table.name); }}>
        <summary><span class="mono cut" title={table.name}>{table.name}</span>{table.kind !== "table" && <span class="tag">{table.kind === "view" ? "view" : "stored view"}</span>}</summary>
        <div class="table-parts">
          <button type="button" class="small" onClick={() => { onInsert(`SELECT * FROM ${name};\n`); }}>SELECT * FROM …</button>
          {info === undefined && problem === undefined && <p class="small muted">Asking the server …</p>}
          {problem !== undefined && <p class="small muted">{problem}</p>}
          <ul>
            {info?.columns.map((column) => (
              <li key={column.name} class="column">
                <button type="button" class="quiet mono cut" title={`Write ${column.name}${column.comment === null ? "" : `: ${column.comment}`}`} onClick={() => { onInsert(quoteName(column.name, dialect)); }}>{column.name}</button>
                <span class="small muted cut">{column.db_type.toLowerCase()}{info.primary_key.includes(column.name) ? " · key" : ""}{column.nullable ? "" : " · not null"}</span>
              </li>
            ))}
          </ul>
          {info?.foreign_keys.map((each) => (
            <p key={each.name ?? each.columns.join()} class="small muted">{each.columns.join(", ")} → {each.table}({each.references.join(", ")})</p>
          ))}
          {info?.indexes.map((each) => <p key={each.name} class="small muted">{each.unique ? "unique index" : "index"} on {each.columns.map((column) => column ?? "an expression").join(", ")}</p>)}
        </div>
      </details>
    </li>
  );
}
