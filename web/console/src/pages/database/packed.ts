/** The methods of the database service that give rows, with the rows left packed: most of them are never looked at. */

import { defineService, type CallOptions, type RpcStream, type ServiceStub, type Shape } from "@remote-services/client";
import { database, type Column, type TxState } from "@remote-services/client/stubs/database";

/** The values of a statement's placeholders. */
export type Params = Readonly<Record<string, unknown>> | readonly unknown[] | null;

/** A statement to run. */
export interface Request {
  readonly database: string;
  readonly sql: string;
  readonly params: Params;
  readonly transaction: string | null;
}

/** What both a page and a result have. */
export interface PackedRows {
  readonly columns: Column[];
  readonly rows: Uint8Array;
  readonly rowcount: number;
  readonly tx_state: TxState;
  readonly last_insert_id: number | bigint | null;
  readonly gives_rows: boolean;
  readonly notices: string[];
  /** Of a result: whether there were more rows. */
  readonly truncated?: boolean;
}

interface PackedDatabase {
  execute(params: Request, options?: CallOptions): Promise<PackedRows>;
  stream(params: Request, options?: CallOptions): RpcStream<PackedRows>;
}

const shapeOfPacked: Shape = () => ({ columns: ["packed", "plain"], rowcount: "int", last_insert_id: "int" });
const params = { params: ["union", ["record", "value"], ["list", "value"]] } as const satisfies Record<string, Shape>;

function errorsOf(method: string) {
  const errors = database.methods.get(method)?.errors;
  return errors === undefined ? {} : { errors };
}

export const packedDatabase: ServiceStub<PackedDatabase> = defineService<PackedDatabase>("database", {
  execute: { params, returns: shapeOfPacked, ...errorsOf("execute") },
  stream: { params, returns: shapeOfPacked, isStream: true, ...errorsOf("stream") },
});
