/** Where the rows of a long table stand. Browsers make no element higher than some 10 million pixels, so that a table beyond that has a scroll bar whose
 * steps are larger than the table's; small steps still move by as much as they say. */

/** The height in pixels that an element has at most. */
export const MOST_PX = 8_000_000;

/** Translates between the place of the scroll bar and the rows. */
export class Scroller {
  #count = 0;
  #viewPx = 0;
  #topPx = 0;
  #seenPx = 0;

  /** @param rowPx - the height of a row. */
  constructor(readonly rowPx: number) {}

  /** How high the element is that makes the scroll bar. */
  get spacerPx(): number {
    return Math.min(this.#count * this.rowPx, MOST_PX);
  }

  /** The distance from the start of the first row to the upper edge of what is seen, in the table's own pixels. */
  get topPx(): number {
    return this.#topPx;
  }

  /** Whether the scroll bar has larger steps than the table. */
  get isScaled(): boolean {
    return this.#count * this.rowPx > MOST_PX;
  }

  /** Where a row stands within the element that makes the scroll bar. */
  yOf(row: number): number {
    return row * this.rowPx - this.#topPx + this.#seenPx;
  }

  get #mostTopPx(): number {
    return Math.max(0, this.#count * this.rowPx - this.#viewPx);
  }

  get #mostScrollPx(): number {
    return Math.max(0, this.spacerPx - this.#viewPx);
  }

  /** Notes how many rows there are, and how much of them is seen. */
  resize(count: number, viewPx: number): void {
    this.#count = count;
    this.#viewPx = viewPx;
    this.#topPx = Math.min(this.#topPx, this.#mostTopPx);
  }

  /** Notes that the scroll bar is at another place. */
  scroll(scrollPx: number): void {
    const step = scrollPx - this.#seenPx;
    this.#seenPx = scrollPx;
    if (!this.isScaled || scrollPx <= 0) this.#topPx = Math.max(0, scrollPx);
    else if (scrollPx >= this.#mostScrollPx - 1) this.#topPx = this.#mostTopPx;
    else if (Math.abs(step) <= 2 * this.#viewPx) this.#topPx += step;
    else this.#topPx = scrollPx * (this.#mostTopPx / this.#mostScrollPx);
    this.#topPx = Math.min(Math.max(0, this.#topPx), this.#mostTopPx);
  }

  /** Returns where the scroll bar belongs for what is seen, and takes it for having been put there. */
  settle(): number {
    const scrollPx = this.#mostTopPx === 0 ? 0 : Math.round(this.#topPx * (this.#mostScrollPx / this.#mostTopPx));
    this.#seenPx = scrollPx;
    return scrollPx;
  }

  /** Moves so that a row is seen. Returns where the scroll bar belongs then. */
  reveal(row: number): number {
    const top = row * this.rowPx;
    if (top < this.#topPx) this.#topPx = top;
    else if (top + this.rowPx > this.#topPx + this.#viewPx) this.#topPx = top + this.rowPx - this.#viewPx;
    this.#topPx = Math.min(Math.max(0, this.#topPx), this.#mostTopPx);
    return this.settle();
  }

  /** The rows that are seen, from the first to the last. */
  range(): readonly [number, number] {
    const first = Math.floor(this.#topPx / this.rowPx);
    const last = Math.ceil((this.#topPx + this.#viewPx) / this.rowPx) - 1;
    return [Math.max(0, first), Math.min(this.#count - 1, last)];
  }

  /** How many whole rows are seen at once. */
  get pageRows(): number {
    return Math.max(1, Math.floor(this.#viewPx / this.rowPx));
  }
}
