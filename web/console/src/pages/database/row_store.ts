/** Keeps the rows of a result as they came, packed, and reads the few that are looked at. What is complete goes into blobs, which the browser keeps
 * outside of the tab's memory, so that a million rows make the tab hardly larger. */

/** Reads the rows of a page. */
export type PageReader = (packed: Uint8Array) => unknown[][];

interface PagePlace {
  /** The number of its first row. */
  readonly offset: number;
  readonly count: number;
  readonly pack: number;
  readonly start: number;
  readonly bytes: number;
}

/** How many bytes of packed rows one result may have. */
export const MOST_BYTES = 512 * 1024 * 1024;
const PACK_BYTES = 4 * 1024 * 1024;
/** How many pages are kept ready to be looked at. */
const READY_PAGES = 12;

/** The rows of one result. */
export class RowStore {
  readonly #pages: PagePlace[] = [];
  readonly #packs: Blob[] = [];
  #open: Uint8Array[] = [];
  #openBytes = 0;
  readonly #ready = new Map<number, unknown[][]>();
  readonly #coming = new Map<number, Promise<unknown[][]>>();
  #count = 0;
  #bytes = 0;

  /** @param read - reads a page.
   * @param mostBytes - how many bytes it may keep. */
  constructor(readonly read: PageReader, readonly mostBytes = MOST_BYTES) {}

  /** How many rows there are. */
  get count(): number {
    return this.#count;
  }

  /** How many bytes they have, packed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a page. Returns false where there is no room for it. */
  add(packed: Uint8Array): boolean {
    if (this.#bytes + packed.length > this.mostBytes) return false;
    const rows = this.read(packed);
    if (rows.length === 0) return true;
    const page = this.#pages.length;
    this.#pages.push({ offset: this.#count, count: rows.length, pack: this.#packs.length, start: this.#openBytes, bytes: packed.length });
    // A copy: what comes from the wire is a part of a larger message.
    this.#open.push(packed.slice());
    this.#openBytes += packed.length;
    this.#bytes += packed.length;
    this.#count += rows.length;
    if (this.#openBytes >= PACK_BYTES) this.#seal();
    if (page < READY_PAGES / 2) this.#keep(page, rows);
    return true;
  }

  #seal(): void {
    this.#packs.push(new Blob(this.#open as BlobPart[]));
    this.#open = [];
    this.#openBytes = 0;
  }

  #keep(page: number, rows: unknown[][]): void {
    this.#ready.delete(page);
    this.#ready.set(page, rows);
    for (const old of this.#ready.keys()) {
      if (this.#ready.size <= READY_PAGES) break;
      this.#ready.delete(old);
    }
  }

  #pageOf(row: number): number {
    let low = 0;
    let high = this.#pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pages[middle]?.offset ?? 0) <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Returns a row if it is ready to be looked at; undefined where it has to be read first. */
  row(row: number): unknown[] | undefined {
    if (row < 0 || row >= this.#count) return undefined;
    const page = this.#pageOf(row);
    const rows = this.#ready.get(page);
    if (rows === undefined) return undefined;
    this.#keep(page, rows);
    return rows[row - (this.#pages[page]?.offset ?? 0)];
  }

  /** Makes rows ready. Returns whether something had to be read for it.
   * @param from - the first row.
   * @param to - the last one. */
  async prepare(from: number, to: number): Promise<boolean> {
    if (this.#count === 0) return false;
    const last = this.#pageOf(Math.min(to, this.#count - 1));
    const missing: Promise<unknown[][]>[] = [];
    for (let page = this.#pageOf(Math.max(0, from)); page <= last; page++) if (!this.#ready.has(page)) missing.push(this.#fetch(page));
    await Promise.all(missing);
    return missing.length > 0;
  }

  #fetch(page: number): Promise<unknown[][]> {
    const known = this.#coming.get(page);
    if (known !== undefined) return known;
    const coming = this.#load(page).then((rows) => {
      this.#keep(page, rows);
      return rows;
    }).finally(() => this.#coming.delete(page));
    this.#coming.set(page, coming);
    return coming;
  }

  async #load(page: number): Promise<unknown[][]> {
    const place = this.#pages[page];
    if (place === undefined) return [];
    const pack = this.#packs[place.pack];
    const part = pack === undefined ? undefined : pack.slice(place.start, place.start + place.bytes);
    const packed = part === undefined ? this.#openPart(place.start) : new Uint8Array(await part.arrayBuffer());
    return this.read(packed);
  }

  /** Finds a page that is in no blob yet. */
  #openPart(start: number): Uint8Array {
    let at = 0;
    for (const part of this.#open) {
      if (at === start) return part;
      at += part.length;
    }
    throw new Error("a page of rows is lost");
  }

  /** Reads all rows, page by page, and keeps none of them. */
  async *all(): AsyncGenerator<unknown[][]> {
    for (let page = 0; page < this.#pages.length; page++) yield this.#ready.get(page) ?? await this.#load(page);
  }
}
