/** A transaction that is open on this page's connection, and its lease. */

import type { Client } from "@remote-services/client";
import { database, type Isolation, type Transaction, type TxState } from "@remote-services/client/stubs/database";

/** How a transaction was asked for. */
export interface TransactionWish {
  readonly database: string;
  readonly readonly: boolean;
  readonly isolation: Isolation | null;
}

/** An open transaction, as the page knows it. */
export interface OpenTransaction {
  readonly info: Transaction;
  readonly state: TxState;
  /** When it is rolled back if it is not used until then, by the clock of `performance.now`. */
  readonly idleEndMs: number;
  /** When it is rolled back in any case. */
  readonly totalEndMs: number;
}

/** Opens a transaction. */
export async function openTransaction(client: Client, wish: TransactionWish): Promise<OpenTransaction> {
  const sentMs = performance.now();
  const info = await client.service(database).begin(wish);
  return { info, state: "active", idleEndMs: sentMs + info.idle_s * 1000, totalEndMs: sentMs + info.total_s * 1000 };
}

/** Begins the time anew after which it is rolled back as unused. */
export function renewLease(transaction: OpenTransaction, state: TxState, sinceMs: number): OpenTransaction {
  return { ...transaction, state, idleEndMs: sinceMs + transaction.info.idle_s * 1000 };
}

/** How many seconds are left, until it is rolled back as unused, and in any case. */
export function leftOf({ idleEndMs, totalEndMs }: OpenTransaction, nowMs: number): { readonly idleS: number; readonly totalS: number } {
  const totalS = Math.max(0, (totalEndMs - nowMs) / 1000);
  return { idleS: Math.min(Math.max(0, (idleEndMs - nowMs) / 1000), totalS), totalS };
}
