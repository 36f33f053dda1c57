/** What a database has: schemas, tables and their columns. Columns are asked for when they are first wanted. */

import type { Client } from "@remote-services/client";
import { database, type TableInfo, type TableName } from "@remote-services/client/stubs/database";
import { tell } from "../../connection.ts";
import { Store } from "../../store.ts";

/** A schema with its tables. */
export interface SchemaEntry {
  readonly name: string;
  /** Whether names without a schema mean this one. */
  readonly isDefault: boolean;
  readonly tables: readonly TableName[];
}

/** What is known of a database so far. */
export interface CatalogState {
  readonly isLoading: boolean;
  readonly problem: string;
  readonly schemas: readonly SchemaEntry[];
  /** Tables in full, by `keyOf`. */
  readonly details: ReadonlyMap<string, TableInfo>;
  /** Why a table could not be read. */
  readonly problems: ReadonlyMap<string, string>;
}

/** Names a table within a database. */
export function keyOf(schema: string, table: string): string {
  return JSON.stringify([schema, table]);
}

const NONE: CatalogState = { isLoading: true, problem: "", schemas: [], details: new Map(), problems: new Map() };
/** Of how many tables the columns are asked for at once, for completion; those of others when somebody looks at them or writes their names. */
const EAGER_TABLES = 60;
const AT_ONCE = 3;

/** The catalog of one database. */
export class Catalog {
  readonly state = new Store<CatalogState>(NONE);
  readonly #asked = new Set<string>();
  readonly #queue: (readonly [SchemaEntry, string])[] = [];
  #running = 0;

  constructor(readonly client: Client, readonly database: string) {}

  /** Asks for schemas and tables, and for the columns of the first tables. */
  async load(): Promise<void> {
    this.#asked.clear();
    this.state.set(NONE);
    const stub = this.client.service(database);
    try {
      const [names, own] = await Promise.all([stub.schemas({ database: this.database }), stub.tables({ database: this.database })]);
      const others = await Promise.all(names.map(async (schema) => ({ schema, tables: await stub.tables({ database: this.database, schema }) })));
      const schemas = arrange(own, others);
      this.state.set({ ...this.state.value, isLoading: false, schemas });
      for (const schema of schemas.filter((each) => each.isDefault)) {
        for (const table of schema.tables.slice(0, EAGER_TABLES)) this.want(schema, table.name);
      }
    } catch (error) {
      this.state.set({ ...this.state.value, isLoading: false, problem: tell(error) });
    }
  }

  /** Asks for the columns of a table, unless that was done. */
  want(schema: SchemaEntry, table: string): void {
    const key = keyOf(schema.name, table);
    if (this.#asked.has(key)) return;
    this.#asked.add(key);
    this.#queue.push([schema, table]);
    void this.#work();
  }

  /** Asks for the columns of the tables that a text names. */
  wantNamed(text: string): void {
    const words = new Set(text.toLowerCase().match(/\w+/g) ?? []);
    for (const schema of this.state.value.schemas) {
      for (const table of schema.tables) if (words.has(table.name.toLowerCase())) this.want(schema, table.name);
    }
  }

  async #work(): Promise<void> {
    if (this.#running >= AT_ONCE) return;
    this.#running++;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const [schema, name] = next;
      const key = keyOf(schema.name, name);
      try {
        const info = await this.client.service(database).table({ database: this.database, name, schema: schema.isDefault ? null : schema.name });
        this.state.set({ ...this.state.value, details: new Map(this.state.value.details).set(key, info) });
      } catch (error) {
        this.#asked.delete(key);
        this.state.set({ ...this.state.value, problems: new Map(this.state.value.problems).set(key, tell(error)) });
      }
    }
    this.#running--;
  }
}

/** Puts the schemas in order: the default one first. It is the one whose tables are those of no schema. */
export function arrange(own: readonly TableName[], others: readonly { readonly schema: string; readonly tables: readonly TableName[] }[]): SchemaEntry[] {
  const namesOf = (tables: readonly TableName[]): string => JSON.stringify(tables.map((each) => each.name));
  const wanted = namesOf(own);
  // Of several that have the same tables, the well-known name is the right one.
  const same = others.filter((each) => namesOf(each.tables) === wanted);
  const standard = same.find((each) => /^(?:main|public)$/.test(each.schema)) ?? same[0];
  const rest = others.filter((each) => each !== standard);
  return [
    { name: standard?.schema ?? "", isDefault: true, tables: own },
    ...rest.map((each) => ({ name: each.schema, isDefault: false, tables: each.tables })),
  ];
}

/** The names that an editor completes: of tables of the default schema, and of schemas with theirs. */
export type Names = Readonly<Record<string, readonly string[] | Readonly<Record<string, readonly string[]>>>>;

/** Makes the names that an editor completes. */
export function namesOf({ schemas, details }: CatalogState): Names {
  const columnsOf = (schema: SchemaEntry): Record<string, readonly string[]> => Object.fromEntries(
    schema.tables.map((table) => [table.name, details.get(keyOf(schema.name, table.name))?.columns.map((each) => each.name) ?? []]),
  );
  const names: Record<string, readonly string[] | Readonly<Record<string, readonly string[]>>> = {};
  for (const schema of schemas) {
    if (schema.isDefault) Object.assign(names, columnsOf(schema));
    else names[schema.name] = columnsOf(schema);
  }
  return names;
}

const PLAIN = /^[a-z_][a-z0-9_]*$/;

/** Writes a name in SQL, in quotes where it needs them. */
export function quoteName(name: string, dialect: string): string {
  if (PLAIN.test(name)) return name;
  return dialect === "mysql" || dialect === "mariadb" ? `\`${name.replaceAll("`", "``")}\`` : `"${name.replaceAll('"', '""')}"`;
}

/** Lists the columns of the tables that a text names, for an editor to suggest. */
export function listColumns(text: string, names: Names): { readonly label: string; readonly detail: string }[] {
  const words = new Set(text.toLowerCase().match(/\w+/g) ?? []);
  const columnsOf = ([table, columns]: [string, readonly string[]]): { label: string; detail: string }[] =>
    (words.has(table.toLowerCase()) ? columns.map((label) => ({ label, detail: table })) : []);
  return Object.entries(names).flatMap(([name, columns]) => (
    Array.isArray(columns) ? columnsOf([name, columns as readonly string[]]) : Object.entries(columns as Readonly<Record<string, readonly string[]>>).flatMap(columnsOf)
  ));
}
