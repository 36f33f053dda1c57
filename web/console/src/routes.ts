/** The pages, and which one the address names: `#/programs/ID` is the page `programs` with the rest `ID`, and `#/@db-1/programs/ID` that of the node
 * `db-1`. */

import type { ComponentType } from "preact";
import { Store } from "./store.ts";

/** What a page gets. */
export interface PageProps {
  /** What follows the name of the page in the address, decoded. */
  readonly rest: string;
}

/** A page of the console. */
export interface Page {
  readonly name: string;
  readonly title: string;
  /** The key that opens it, after `g`. */
  readonly key: string;
  /** A permission that it cannot do without; none where not given. */
  readonly permission?: string;
  /** Whether it shows the group, as the server sees it: it is there only where there is a group, and the same whichever node is chosen. */
  readonly isOfGroup?: boolean;
  /** Loads its code. */
  readonly load: () => Promise<ComponentType<PageProps>>;
}

export const PAGES: readonly Page[] = [
  {
    name: "overview", title: "Overview", key: "o", permission: "hardware.read",
    load: async () => (await import("./pages/overview/page.tsx")).OverviewPage,
  },
  {
    name: "programs", title: "Programs", key: "p", permission: "programs.view",
    load: async () => (await import("./pages/programs/page.tsx")).ProgramsPage,
  },
  {
    name: "database", title: "Database", key: "d", permission: "database.query",
    load: async () => (await import("./pages/database/page.tsx")).DatabasePage,
  },
  {
    name: "hardware", title: "Hardware", key: "h", permission: "hardware.read",
    load: async () => (await import("./pages/hardware/page.tsx")).HardwarePage,
  },
  {
    name: "services", title: "Services", key: "s",
    load: async () => (await import("./pages/services/page.tsx")).ServicesPage,
  },
  {
    name: "machines", title: "Machines", key: "m", permission: "rpc.nodes", isOfGroup: true,
    load: async () => (await import("./pages/machines/page.tsx")).MachinesPage,
  },
];

/** A place in the console. */
export interface Place {
  /** The name or id of the node whose pages are shown; empty for the server itself. */
  readonly node: string;
  readonly page: string;
  readonly rest: string;
}

/** Reads a fragment of an address.
 * @param isDocs - whether the page was opened at `/docs`, where it begins with the services. */
export function readPlace(hash: string, isDocs: boolean): Place {
  const found = /^#\/(?:@([^/]*)\/)?([a-z]+)(?:\/(.*))?$/.exec(hash);
  const node = decode(found?.[1] ?? "");
  const name = found?.[2];
  if (name === undefined || !PAGES.some((page) => page.name === name)) {
    return { node, page: isDocs ? "services" : (PAGES[0]?.name ?? ""), rest: "" };
  }
  return { node, page: name, rest: decode(found?.[3] ?? "") };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = new Store<Place>({ node: "", page: "", rest: "" });

/** Writes a fragment of an address.
 * @param node - the name or id of the node whose page it is; the one that is chosen where not given, and empty for the server itself. */
export function hashOf(page: string, rest = "", node = place.value.node): string {
  const at = node === "" ? "" : `@${encodeURIComponent(node)}/`;
  return rest === "" ? `#/${at}${page}` : `#/${at}${page}/${encodeURIComponent(rest)}`;
}

/** Tells whether the page was opened at `/docs`. */
export function isAtDocs(): boolean {
  return location.pathname.endsWith("/docs");
}

/** Follows the address. */
export function followAddress(): void {
  const read = (): void => {
    place.set(readPlace(location.hash, isAtDocs()));
  };
  addEventListener("hashchange", read);
  read();
}
