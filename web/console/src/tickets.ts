/** What signs a tab in: a ticket in the address, and the session that it was exchanged for. */

const KEY = "remote-services.session";

/** A session as the tab keeps it. */
export interface KeptSession {
  readonly id: string;
  readonly secret: string;
}

/** Takes the ticket out of the address: of the page, and of the history of the browser.
 * @returns the ticket; undefined if there is none. */
export function takeTicket(place: Location, history: History): string | undefined {
  const found = /^#ticket=([\w.~-]+)$/.exec(place.hash);
  if (found === null) return undefined;
  history.replaceState(null, "", place.pathname + place.search);
  return found[1];
}

/** Returns the session of this tab. */
export function readSession(storage: Storage): KeptSession | undefined {
  try {
    const kept: unknown = JSON.parse(storage.getItem(KEY) ?? "null");
    if (typeof kept !== "object" || kept === null) return undefined;
    const { id, secret } = kept as Record<string, unknown>;
    return typeof id === "string" && typeof secret === "string" ? { id, secret } : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the session in this tab alone; undefined forgets it. */
export function keepSession(storage: Storage, session: KeptSession | undefined): void {
  if (session === undefined) storage.removeItem(KEY);
  else storage.setItem(KEY, JSON.stringify(session));
}
