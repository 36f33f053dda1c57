// Generated from the service database. Do not edit: change the service and generate anew.

import { ServiceError, defineService, type CallOptions, type RpcStream, type ServiceStub, type Shape, type Source } from "../index.js";

/** How the database would run a statement. It prints as the database words it. */
export interface Plan {
  /** the plan, for a person */
  text: string;
  /** the plan as the database gives it */
  result: Result;
}

/** What a statement gave. It is a sequence of its rows, which are tuples with names, and prints as a table. */
export interface Result {
  /** the columns; none where the statement gives no rows */
  columns: Column[];
  /** the rows: `for row in result`, `result[0].name`, `result.to_pandas()` */
  rows: unknown[][];
  /** rows found, or changed; -1 where the database does not say */
  rowcount: number;
  /** whether there were more rows than `max_rows` or the byte limit */
  truncated: boolean;
  /** the transaction after the statement */
  tx_state: TxState;
  /** SQLite and MariaDB: the key that an INSERT was given */
  last_insert_id: number | null;
  /** whether the statement gives rows, which in PostgreSQL may have no columns: `SELECT FROM t` */
  gives_rows: boolean;
  /** what the statement asked for and did not get, though it is no error */
  notices: string[];
}

/** A column of a result. */
export interface Column {
  /** as the database names it; it may be empty, or occur twice */
  name: string;
  /** what the cells are in Python; `json` cells are the JSON text */
  type: ColumnType;
  /** the database's own name of the type; for SQLite the storage class of the cells */
  db_type: string | null;
  /** whether it may hold NULL; None where that is not known: PostgreSQL tells it in `describe` only, and SQLite never */
  nullable: boolean | null;
  /** digits in all, of a decimal number; SQLite tells it in `describe` only */
  precision: number | null;
  /** digits after the point, of a decimal number */
  scale: number | null;
  /** whether the cells are what the database holds; False for FLOAT of MariaDB and MySQL, of which it sends six digits: `x + 0e0` gives all */
  exact: boolean;
  /** of an array, what its items are; `precision` and `scale` are theirs. PostgreSQL tells it */
  item: ColumnType | null;
  /** of an array, how many dimensions it has in the first rows; 1 where there are none */
  dimensions: number | null;
  /** the time zone that times come in, where it is another than UTC: `Europe/Berlin` */
  zone: string | null;
}

/** What the cells of a column are in Python. */
export type ColumnType = "integer" | "float" | "decimal" | "boolean" | "text" | "bytes" | "date" | "time" | "datetime" | "datetime_tz" | "duration" | "uuid" | "json" | "array" | "any";

/**
 * The transaction that a statement ran in, after the statement.
 *
 *     `none`: it ran on its own, and has been committed or rolled back whole. `active`: the transaction goes on.
 *     `failed`: it can only be rolled back, to a savepoint or altogether. `ended`: there is none any more.
 */
export type TxState = "none" | "active" | "failed" | "ended";

/** What a statement takes and gives, without running it. */
export interface Description {
  /** its parameters */
  parameters: ParameterInfo[];
  /** the columns of its rows; none where it gives none */
  columns: Column[];
  /** whether it changes nothing by itself (functions that it calls aside); None where not known */
  readonly: boolean | null;
}

/** A parameter of a statement. */
export interface ParameterInfo {
  /** its place, from 1 */
  position: number;
  /** its name; None for a `?` */
  name: string | null;
  /** the type that the database expects; None where not known */
  db_type: string | null;
}

/** A table or view. */
export interface TableName {
  /** its name */
  name: string;
  /** what it is */
  kind: TableKind;
  /** its schema; None for the default one */
  schema: string | null;
}

/** What kind of table something is. */
export type TableKind = "table" | "view" | "materialized_view";

/** A table or view in full. */
export interface TableInfo {
  /** its name */
  name: string;
  /** what it is */
  kind: TableKind;
  /** its schema; None for the default one */
  schema: string | null;
  /** its columns, in order */
  columns: TableColumn[];
  /** the columns of the primary key */
  primary_key: string[];
  /** its references to other tables */
  foreign_keys: ForeignKey[];
  /** its indexes */
  indexes: Index[];
  /** its unique constraints */
  unique: Index[];
  /** its check constraints */
  checks: Check[];
  /** its comment */
  comment: string | null;
  /** of a view, its query */
  definition: string | null;
}

/** A column of a table. */
export interface TableColumn {
  /** its name */
  name: string;
  /** its type, as the database writes it */
  db_type: string;
  /** whether it may hold NULL */
  nullable: boolean;
  /** its default, as SQL */
  default: string | null;
  /** the expression that it is computed by */
  generated: string | null;
  /** whether the database numbers it */
  autoincrement: boolean;
  /** its comment */
  comment: string | null;
}

/** Columns that refer to another table. */
export interface ForeignKey {
  /** the constraint's name */
  name: string | null;
  /** here */
  columns: string[];
  /** the other table's schema, where it is not this one's */
  schema: string | null;
  /** the other table */
  table: string;
  /** its columns */
  references: string[];
  /** what follows a change there */
  on_update: string | null;
  /** what follows a deletion there */
  on_delete: string | null;
}

/** An index or a unique constraint. */
export interface Index {
  /** its name */
  name: string | null;
  /** its columns; None for an expression */
  columns: (string | null)[];
  /** whether no two rows may agree in them */
  unique: boolean;
}

/** A condition that each row fulfils. */
export interface Check {
  /** its name */
  name: string | null;
  /** the condition */
  sql: string;
}

/** What several changes did together. */
export interface Changed {
  /** rows changed in all; -1 where the database does not say */
  rowcount: number;
  /** how many statements ran, or how often one did */
  statements: number;
  /** the transaction afterwards */
  tx_state: TxState;
  /** of a script: what it asked for and did not get, though it is no error */
  notices: string[];
}

/** Isolation levels of the SQL standard. SQLite is always serializable. */
export type Isolation = "read uncommitted" | "read committed" | "repeatable read" | "serializable";

/** An open transaction. It belongs to the connection that began it, and is rolled back when that ends. */
export interface Transaction {
  /** give it as `transaction` to the statements that belong to it */
  id: string;
  /** the database it is open on */
  database: string;
  /** whether it refuses every change */
  readonly: boolean;
  /** its isolation; None for the database's default */
  isolation: Isolation | null;
  /** it is rolled back when unused for this many seconds */
  idle_s: number;
  /** it is rolled back after this many seconds in any case */
  total_s: number;
}

/**
 * A connection to the database kept for one client: settings, temporary tables and locks stay from statement to
 * statement. It belongs to the connection that opened it, and ends with it.
 */
export interface Session {
  /** give it as `transaction` to statements; each commits itself where none is open */
  id: string;
  /** the database */
  database: string;
  /** whether it refuses every change */
  readonly: boolean;
  /** it is closed when unused for this many seconds */
  idle_s: number;
  /** the database's kind, as `databases` tells it */
  dialect: string;
}

/** A database that may be named in calls. */
export interface DatabaseInfo {
  /** its name in calls */
  name: string;
  /** its kind: sqlite, postgresql, mysql, mariadb or another of SQLAlchemy's */
  dialect: string;
  /** the driver that the server uses */
  driver: string;
  /** whether it refuses every change */
  readonly: boolean;
  /** the most rows that one `query` or `execute` returns */
  max_rows: number;
  /** the most bytes of rows that one `query` or `execute` returns */
  max_bytes: number;
}

/** Some rows of a stream, bounded in number and in bytes. */
export interface Page {
  /** the columns, the same on each page */
  columns: Column[];
  /** the rows, in order */
  rows: unknown[][];
  /** how many rows came before this page */
  offset: number;
  /** on the last page: rows found, or changed; -1 where not known */
  rowcount: number;
  /** on the last page: the key that an INSERT was given */
  last_insert_id: number | null;
  /** on the last page: the transaction after the statement */
  tx_state: TxState;
  /** whether the statement gives rows, which in PostgreSQL may have no columns: `SELECT FROM t` */
  gives_rows: boolean;
  /** on the last page: what the statement asked for and did not get, though it is no error */
  notices: string[];
}

/** One statement of a batch. */
export interface StepInput {
  /** one statement */
  sql: string;
  /** values for `:name` (a dictionary) or `?` (a list) */
  params?: Readonly<Record<string, unknown>> | readonly unknown[] | null;
  /** it is skipped unless all of these hold */
  when?: readonly ConditionInput[];
}

/** What an earlier step must have come to. */
export interface ConditionInput {
  /** which step, from 0; an earlier one */
  step: number | bigint;
  /** what must be true of it */
  outcome?: Outcome;
}

/**
 * What became of a step, or what a condition asks about one.
 *
 *     `ok`, `error` and `skipped` say how it went; `rows` and `no_rows` whether it found any; `changed` and
 *     `unchanged` whether it changed any.
 */
export type Outcome = "ok" | "error" | "skipped" | "rows" | "no_rows" | "changed" | "unchanged";

/** What became of a step. */
export interface StepResult {
  /** ok, error or skipped */
  outcome: Outcome;
  /** what it gave, where it went well */
  result: Result | null;
  /** why it failed, where it did */
  error: StepError | null;
}

/** Why a step failed, where the batch went on. */
export interface StepError {
  /** the class of the error, such as DatabaseIntegrityError */
  type: string;
  /** what the database said */
  message: string;
  /** the SQL standard's code */
  sqlstate: string | null;
  /** the database's own code */
  driver_code: string | null;
  /** whether the same may succeed later */
  retryable: boolean;
}

/** The database refused a statement. */
export class DatabaseError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** A value does not fit: out of range, of the wrong form, too long. */
export class DatabaseDataError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** The database could not do it: locked, gone, out of space, cancelled, or timed out. */
export class DatabaseOperationalError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** A constraint does not allow it. */
export class DatabaseIntegrityError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** The database met an error of its own. */
export class DatabaseInternalError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** The statement is wrong: its syntax, a name in it, or that it changes something where only reading is allowed. */
export class DatabaseProgrammingError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** The caller's role in the server's configuration does not allow it. */
export class DatabaseRefused extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; database: string; right: string; rule: string; };
}

/** This database, or this way of calling it, does not offer that. */
export class DatabaseNotSupportedError extends ServiceError {
  declare readonly details: { sqlstate: string | null; driver_code: string | null; step: number | null; tx_state: "none" | "active" | "failed" | "ended"; connection_lost: boolean; };
}

/** No database has this name. */
export class UnknownDatabase extends ServiceError {
  declare readonly details: { database: string; };
}

/** The transaction is no more: it was rolled back, or never was. */
export class TransactionLost extends ServiceError {
  declare readonly details: { transaction: string; reason: string; };
}

const shapeOfPlan: Shape = () => ({ text: "plain", result: shapeOfResult });

const shapeOfDescription: Shape = () => ({ parameters: ["list", shapeOfParameterInfo], columns: ["list", shapeOfColumn], readonly: "plain" });

const shapeOfChanged: Shape = () => ({ rowcount: "int", statements: "int", tx_state: "plain", notices: "plain" });

const shapeOfTransaction: Shape = () => ({ id: "plain", database: "plain", readonly: "plain", isolation: "plain", idle_s: "float", total_s: "float" });

const shapeOfSession: Shape = () => ({ id: "plain", database: "plain", readonly: "plain", idle_s: "float", dialect: "plain" });

const shapeOfDatabaseInfo: Shape = () => ({ name: "plain", dialect: "plain", driver: "plain", readonly: "plain", max_rows: "int", max_bytes: "int" });

const shapeOfResult: Shape = () => ({ columns: ["packed", ["list", shapeOfColumn]], rows: "rows", rowcount: "int", truncated: "plain", tx_state: "plain", last_insert_id: "int", gives_rows: "plain", notices: "plain" });

const shapeOfPage: Shape = () => ({ columns: ["packed", ["list", shapeOfColumn]], rows: "rows", offset: "int", rowcount: "int", last_insert_id: "int", tx_state: "plain", gives_rows: "plain", notices: "plain" });

const shapeOfStep: Shape = () => ({ sql: "plain", params: ["union", ["record", "value"], ["list", "value"]], when: ["list", shapeOfCondition] });

const shapeOfStepResult: Shape = () => ({ outcome: "plain", result: shapeOfResult, error: "plain" });

const shapeOfParameterInfo: Shape = () => ({ position: "int", name: "plain", db_type: "plain" });

const shapeOfColumn: Shape = () => ({ name: "plain", type: "plain", db_type: "plain", nullable: "plain", precision: "int", scale: "int", exact: "plain", item: "plain", dimensions: "int", zone: "plain" });

const shapeOfCondition: Shape = () => ({ step: "int", outcome: "plain" });

const errors1 = { DatabaseError, DatabaseDataError, DatabaseOperationalError, DatabaseIntegrityError, DatabaseInternalError, DatabaseProgrammingError, DatabaseRefused, DatabaseNotSupportedError, UnknownDatabase, TransactionLost };

/**
 * Queries and changes databases: SQLite, PostgreSQL, MariaDB and MySQL, and others that SQLAlchemy knows.
 *
 * Clients name a database, never a URL. Parameters in SQL are `:name` with a dictionary, or `?` with a list.
 * Each statement outside a transaction commits itself. `query` and `stream` read only, and the database itself
 * sees to that; `execute` may change.
 */
export interface Database {
  /**
   * How the database would run a statement. Outside a transaction this changes nothing.
   * @param params.database - as of `query`.
   * @param params.sql - as of `query`.
   * @param params.params - as of `query`.
   * @param params.transaction - as of `query`.
   * @param params.analyze - run it, and measure; not in SQLite. In a transaction, what it changes belongs to that.
   * @returns The plan, as text and as the database's rows.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  explain(params: {
    database: string;
    sql: string;
    params?: Readonly<Record<string, unknown>> | readonly unknown[] | null;
    analyze?: boolean;
    transaction?: string | null;
  }, options?: CallOptions): Promise<Plan>;

  /**
   * What a statement takes and gives, without running it.
   * @param params.database - as of `query`.
   * @param params.sql - as of `query`.
   * @param params.transaction - as of `query`.
   * @returns Its parameters, its columns, and whether it only reads. SQLite and MariaDB tell the columns of `RETURNING`
   *   only while it runs.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  describe(params: {
    database: string;
    sql: string;
    transaction?: string | null;
  }, options?: CallOptions): Promise<Description>;

  /**
   * The schemas of a database.
   * @param params.database - its name.
   * @returns Their names.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   */
  schemas(params: {
    database: string;
  }, options?: CallOptions): Promise<string[]>;

  /**
   * The tables and views of a schema.
   * @param params.database - its name.
   * @param params.schema - the schema; the default one where not given.
   * @returns Their names and kinds, in the order of their names.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   */
  tables(params: {
    database: string;
    schema?: string | null;
  }, options?: CallOptions): Promise<TableName[]>;

  /**
   * Everything about one table or view: columns, keys, indexes, constraints.
   * @param params.database - its name.
   * @param params.name - the table's.
   * @param params.schema - the schema; the default one where not given.
   * @returns The table.
   * @throws DatabaseProgrammingError: there is no such table.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   */
  table(params: {
    database: string;
    name: string;
    schema?: string | null;
  }, options?: CallOptions): Promise<TableInfo>;

  /**
   * PostgreSQL: run `COPY … FROM STDIN`, and have it read what the client sends. All rows go in, or none.
   * @param params.database - as of `execute`.
   * @param params.transaction - as of `execute`.
   * @param params.sql - the statement, which says the format: text, csv or binary.
   * @param params.data - the rows in that format, in pieces of any length; text in UTF-8. Whoever sends nothing for the
   *   configured `stream_idle_s` ends it.
   * @returns How many rows were copied.
   * @throws DatabaseNotSupportedError: the database is not PostgreSQL.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  copy_in(params: {
    database: string;
    sql: string;
    data: Source<Uint8Array>;
    transaction?: string | null;
  }, options?: CallOptions): Promise<Changed>;

  /**
   * PostgreSQL: run `COPY … TO STDOUT`, and give what it writes. Closing the stream stops the database's work,
   * and so does reading nothing for the configured `stream_idle_s`.
   * @param params.database - as of `query`.
   * @param params.transaction - as of `query`.
   * @param params.sql - the statement, which says the format: text, csv or binary.
   * @returns The rows in that format, in pieces of any length; text in UTF-8.
   * @throws DatabaseNotSupportedError: the database is not PostgreSQL.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  copy_out(params: {
    database: string;
    sql: string;
    transaction?: string | null;
  }, options?: CallOptions): RpcStream<Uint8Array>;

  /**
   * Open a transaction. It belongs to this connection: it is rolled back when the connection ends, when it is
   * unused for too long, or open for too long.
   * @param params.database - its name.
   * @param params.isolation - the isolation level; the configured one, or else the database's own, where not given.
   * @param params.readonly - have the database refuse every change in it.
   * @param params.session - the id of a session to begin it in; the transaction has the same id.
   * @returns The transaction; its `id` goes with each statement that belongs to it, and each renews its lease.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   */
  begin(params: {
    database: string;
    isolation?: Isolation | null;
    readonly?: boolean;
    session?: string | null;
  }, options?: CallOptions): Promise<Transaction>;

  /**
   * Commit a transaction. Where that fails, it has been rolled back.
   * @param params.transaction - its id.
   * @throws DatabaseError: the database refused.
   * @throws TransactionLost: it is no more.
   */
  commit(params: {
    transaction: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Roll a transaction back.
   * @param params.transaction - its id.
   * @throws DatabaseError: the database refused; the connection to it is closed, which rolls back.
   * @throws TransactionLost: it is no more.
   */
  rollback(params: {
    transaction: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Keep one connection to the database for this client: what it sets stays from statement to statement. For
   * drivers that look like a connection of their own; a mere transaction costs less.
   * @param params.database - its name.
   * @param params.readonly - have the database refuse every change.
   * @returns The session; its `id` is given as `transaction` to statements.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   */
  connect(params: {
    database: string;
    readonly?: boolean;
  }, options?: CallOptions): Promise<Session>;

  /**
   * End a session; what is open in it is rolled back.
   * @param params.session - its id.
   * @throws TransactionLost: it is no more.
   */
  disconnect(params: {
    session: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Keep a transaction from being rolled back as unused: its idle time starts anew, its total time goes on.
   * @param params.transaction - its id.
   * @returns Its state; after a statement that was cancelled, this is the way to learn it.
   * @throws TransactionLost: it is no more.
   */
  renew(params: {
    transaction: string;
  }, options?: CallOptions): Promise<TxState>;

  /**
   * Set a savepoint in a transaction.
   * @param params.transaction - its id.
   * @param params.name - letters, digits and underscores.
   * @throws DatabaseError: the database refused.
   * @throws TransactionLost: it is no more.
   */
  savepoint(params: {
    transaction: string;
    name: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Undo everything since a savepoint, which stays. A failed transaction is active again afterwards.
   *
   * Parameters and errors are those of `savepoint`.
   */
  rollback_to(params: {
    transaction: string;
    name: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Forget a savepoint; what was done since stays.
   *
   * Parameters and errors are those of `savepoint`.
   */
  release(params: {
    transaction: string;
    name: string;
  }, options?: CallOptions): Promise<null>;

  /** The databases that the caller may use in some way. */
  databases(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<DatabaseInfo[]>;

  /**
   * Read rows with one statement. Outside a transaction the database refuses any change; in one, the
   * transaction's own mode decides.
   * @param params.database - its name, as `databases` lists it.
   * @param params.sql - one statement.
   * @param params.params - values for `:name` (a dictionary) or `?` (a list) in it.
   * @param params.transaction - the id of an open transaction to run it in.
   * @param params.max_rows - rows to return at most; the database's own limit where not given, or where it is lower.
   * @returns The rows and their columns; `truncated` where there were more.
   * @throws DatabaseError: the database refused; its subclasses say why.
   * @throws UnknownDatabase: no database has this name.
   * @throws TransactionLost: the transaction is no more.
   */
  query(params: {
    database: string;
    sql: string;
    params?: Readonly<Record<string, unknown>> | readonly unknown[] | null;
    transaction?: string | null;
    max_rows?: number | bigint | null;
  }, options?: CallOptions): Promise<Result>;

  /**
   * Run one statement that may change the database, and return the rows it gives, if any (`RETURNING`).
   *
   * Parameters, result and errors are those of `query`.
   */
  execute(params: {
    database: string;
    sql: string;
    params?: Readonly<Record<string, unknown>> | readonly unknown[] | null;
    transaction?: string | null;
    max_rows?: number | bigint | null;
  }, options?: CallOptions): Promise<Result>;

  /**
   * Read any number of rows, page by page; neither side ever holds them all. Closing the stream stops the
   * database's work, and so does reading nothing for the configured `stream_idle_s`.
   * @param params.database - as of `query`. A transaction runs nothing else meanwhile.
   * @param params.sql - as of `query`. A transaction runs nothing else meanwhile.
   * @param params.params - as of `query`. A transaction runs nothing else meanwhile.
   * @param params.transaction - as of `query`. A transaction runs nothing else meanwhile.
   * @param params.page_rows - rows in one page at most; the database's own limit where not given, or where it is lower.
   * @returns Pages of rows, at least one.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  stream(params: {
    database: string;
    sql: string;
    params?: Readonly<Record<string, unknown>> | readonly unknown[] | null;
    transaction?: string | null;
    page_rows?: number | bigint | null;
  }, options?: CallOptions): RpcStream<Page>;

  /**
   * Run one statement once for each set of parameters: all of them, or none.
   * @param params.database - as of `execute`.
   * @param params.sql - as of `execute`.
   * @param params.transaction - as of `execute`.
   * @param params.params - a list of dictionaries (`:name`) or of lists (`?`).
   * @param params.first_row - the number of the first set in errors, where the sets of one statement go in several calls.
   * @returns How many rows were changed.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  executemany(params: {
    database: string;
    sql: string;
    params: readonly (Readonly<Record<string, unknown>>)[] | readonly (readonly unknown[])[];
    transaction?: string | null;
    first_row?: number | bigint;
  }, options?: CallOptions): Promise<Changed>;

  /**
   * Run one statement once for each set of parameters, of which there may be any number: all of them, or none.
   * @param params.database - as of `execute`.
   * @param params.sql - as of `execute`.
   * @param params.params - the sets, in parts, each of which is as the parameter of `executemany`. Whoever sends nothing
   *   for the configured `stream_idle_s` ends it, and nothing is changed.
   * @returns How many rows were changed.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws InvalidParams: a set does not fit.
   */
  executemany_parts(params: {
    database: string;
    sql: string;
    params: Source<readonly (Readonly<Record<string, unknown>>)[] | readonly (readonly unknown[])[]>;
  }, options?: CallOptions): Promise<Changed>;

  /**
   * Run several statements in one call. A step is skipped unless all its conditions on earlier steps hold.
   * @param params.database - as of `execute`.
   * @param params.transaction - as of `execute`.
   * @param params.steps - the statements, their parameters and conditions.
   * @param params.atomic - run all in one transaction; the first error undoes all and is raised, with its `step`. Otherwise
   *   each commits itself, an error becomes the step's result, and the batch goes on.
   * @param params.max_rows - rows to return at most, for each step.
   * @returns What became of each step.
   * @throws DatabaseError: a step of an atomic batch, or of one in a transaction, failed.
   * @throws InvalidParams: a condition names a step that is not earlier, or parameters of a step do not fit: nothing
   *   has run.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  batch(params: {
    database: string;
    steps: readonly StepInput[];
    atomic?: boolean;
    transaction?: string | null;
    max_rows?: number | bigint | null;
  }, options?: CallOptions): Promise<StepResult[]>;

  /**
   * Run several statements, one after another, without parameters; their rows are dropped.
   * @param params.database - as of `execute`.
   * @param params.transaction - as of `execute`.
   * @param params.sql - the statements, separated by semicolons.
   * @param params.atomic - run all in one transaction, which a script that says COMMIT or ROLLBACK cannot be (in MariaDB and
   *   MySQL, statements that define tables, and COMMIT, commit anyway).
   * @returns How many statements ran, and how many rows they changed.
   * @throws DatabaseNotSupportedError: the database, or the transaction, only reads.
   * @throws DatabaseError: as of `query`.
   * @throws UnknownDatabase: as of `query`.
   * @throws TransactionLost: as of `query`.
   */
  script(params: {
    database: string;
    sql: string;
    atomic?: boolean;
    transaction?: string | null;
  }, options?: CallOptions): Promise<Changed>;
}

/** The stub of the service `database`, for `client.service`. */
export const database: ServiceStub<Database> = defineService<Database>("database", {
  explain: { params: { params: ["union", ["record", "value"], ["list", "value"]] }, returns: shapeOfPlan, errors: errors1 },
  describe: { returns: shapeOfDescription, errors: errors1 },
  schemas: { errors: errors1 },
  tables: { errors: errors1 },
  table: { errors: errors1 },
  copy_in: { returns: shapeOfChanged, uploads: { data: "bytes" }, errors: errors1 },
  copy_out: { returns: "bytes", isStream: true, errors: errors1 },
  begin: { returns: shapeOfTransaction, errors: errors1 },
  commit: { errors: errors1 },
  rollback: { errors: errors1 },
  connect: { returns: shapeOfSession, errors: errors1 },
  disconnect: { errors: errors1 },
  renew: { errors: errors1 },
  savepoint: { errors: errors1 },
  rollback_to: { errors: errors1 },
  release: { errors: errors1 },
  databases: { returns: ["list", shapeOfDatabaseInfo], errors: errors1 },
  query: { params: { params: ["union", ["record", "value"], ["list", "value"]] }, returns: shapeOfResult, errors: errors1 },
  execute: { params: { params: ["union", ["record", "value"], ["list", "value"]] }, returns: shapeOfResult, errors: errors1 },
  stream: { params: { params: ["union", ["record", "value"], ["list", "value"]] }, returns: shapeOfPage, isStream: true, errors: errors1 },
  executemany: { params: { params: ["union", ["list", ["record", "value"]], ["list", ["list", "value"]]] }, returns: shapeOfChanged, errors: errors1 },
  executemany_parts: { returns: shapeOfChanged, uploads: { params: ["union", ["list", ["record", "value"]], ["list", ["list", "value"]]] }, deadlineS: 3600, errors: errors1 },
  batch: { params: { steps: ["list", shapeOfStep] }, returns: ["list", shapeOfStepResult], errors: errors1 },
  script: { returns: shapeOfChanged, errors: errors1 },
});
