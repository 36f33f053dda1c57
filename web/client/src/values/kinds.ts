/** Values that JavaScript has no type for, such as decimals and moments with microseconds (docs/protocol.md, "Values"). */

/** The kinds of values that are kept as text. */
export type TextKind = "decimal" | "datetime" | "date" | "time" | "uuid";

/** A value that is kept as text, so that nothing of it is lost. Where a method declares the type, its text is sent. */
export class Exact {
  constructor(
    readonly kind: TextKind,
    readonly text: string,
  ) {}

  /** Returns the text. */
  toString(): string {
    return this.text;
  }

  /** Returns the text, as `JSON.stringify` wants it. */
  toJSON(): string {
    return this.text;
  }

  /** Returns the moment of a `datetime` or `date`, to the millisecond. One without an offset counts as local time. */
  toDate(): Date {
    return new Date(this.text);
  }
}

/** A length of time, exact to the microsecond. */
export class Duration {
  constructor(
    readonly days: number,
    readonly seconds: number,
    readonly microseconds: number,
  ) {}

  /** Reads a length as ISO 8601 writes it, in days, hours, minutes and seconds.
   * @throws TypeError: the text is no such length. */
  static parse(text: string): Duration {
    const parts = /^(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?$/.exec(text);
    if (parts === null) throw new TypeError(`no length of time: ${text.slice(0, 64)}`);
    const [, sign, ...figures] = parts;
    const [days = 0, hours = 0, minutes = 0, seconds = 0] = figures.slice(0, 4).map((figure: string | undefined) => Number(figure ?? 0));
    const micro = Number((figures[4] ?? "").padEnd(6, "0"));
    const direction = sign === "-" ? -1n : 1n;
    const whole = BigInt(days * 86400 + hours * 3600 + minutes * 60 + seconds) * 1_000_000n + BigInt(micro);
    const total = whole * direction;
    const day = 86_400_000_000n;
    const rest = ((total % day) + day) % day;
    return new Duration(Number((total - rest) / day), Number(rest / 1_000_000n), Number(rest % 1_000_000n));
  }

  /** Returns the length in milliseconds. */
  toMs(): number {
    return (this.days * 86400 + this.seconds) * 1000 + this.microseconds / 1000;
  }

  /** Returns the length as ISO 8601 writes it, as typed parameters have it. */
  toString(): string {
    const micro = (this.days * 86400 + this.seconds) * 1_000_000 + this.microseconds;
    const size = Math.abs(micro);
    const fraction = (size % 1_000_000).toString().padStart(6, "0");
    return `${micro < 0 ? "-" : ""}PT${Math.floor(size / 1_000_000).toString()}.${fraction}S`;
  }

  /** Returns the same text, as `JSON.stringify` wants it. */
  toJSON(): string {
    return this.toString();
  }
}

/** A list whose length and order are part of its type: a tuple of Python. */
export class Tuple extends Array<unknown> {}

/** A set that is never changed: a frozenset of Python. */
export class FrozenSet extends Set<unknown> {}

/** The largest integer that a number of JavaScript holds exactly, with all below it. */
export const SAFE_INTEGER = BigInt(Number.MAX_SAFE_INTEGER);

/** Returns an integer as a number where that is exact, else as a bigint. */
export function toInteger(value: bigint): number | bigint {
  return value >= -SAFE_INTEGER && value <= SAFE_INTEGER ? Number(value) : value;
}
