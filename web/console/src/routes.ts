/** The pages, and which one the address names: `#/programs/ID` is the page `programs` with the rest `ID`. */

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
];

/** A place in the console. */
export interface Place {
  readonly page: string;
  readonly rest: string;
}

/** Reads a fragment of an address.
 * @param isDocs - whether the page was opened at `/docs`, where it begins with the services. */
export function readPlace(hash: string, isDocs: boolean): Place {
  const found = /^#\/([a-z]+)(?:\/(.*))?$/.exec(hash);
  const name = found?.[1];
  if (name === undefined || !PAGES.some((page) => page.name === name)) {
    return { page: isDocs ? "services" : (PAGES[0]?.name ?? ""), rest: "" };
  }
  return { page: name, rest: decode(found?.[2] ?? "") };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Writes a fragment of an address. */
export function hashOf(page: string, rest = ""): string {
  return rest === "" ? `#/${page}` : `#/${page}/${encodeURIComponent(rest)}`;
}

export const place = new Store<Place>({ page: "", rest: "" });

/** Follows the address. */
export function followAddress(): void {
  const read = (): void => {
    place.set(readPlace(location.hash, location.pathname.endsWith("/docs")));
  };
  addEventListener("hashchange", read);
  read();
}
