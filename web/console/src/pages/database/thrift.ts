/** Bytes, and the compact protocol of Thrift, in which Parquet writes what is in a file
 * (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md). */

const encoder = new TextEncoder();

/** Gathers bytes. */
export class ByteWriter {
  #content = new Uint8Array(1024);
  #view = new DataView(this.#content.buffer);
  #length = 0;

  #reserve(bytes: number): number {
    const place = this.#length;
    this.#length += bytes;
    if (this.#length > this.#content.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#content.length * 2));
      larger.set(this.#content);
      this.#content = larger;
      this.#view = new DataView(larger.buffer);
    }
    return place;
  }

  byte(value: number): void {
    const place = this.#reserve(1);
    this.#content[place] = value;
  }

  bytes(value: Uint8Array): void {
    const place = this.#reserve(value.length);
    this.#content.set(value, place);
  }

  uint32(value: number): void {
    const place = this.#reserve(4);
    this.#view.setUint32(place, value, true);
  }

  int32(value: number): void {
    const place = this.#reserve(4);
    this.#view.setInt32(place, value, true);
  }

  int64(value: bigint): void {
    const place = this.#reserve(8);
    this.#view.setBigInt64(place, value, true);
  }

  double(value: number): void {
    const place = this.#reserve(8);
    this.#view.setFloat64(place, value, true);
  }

  /** Writes bits, the first one lowest in its byte. */
  bits(values: readonly boolean[]): void {
    for (let at = 0; at < values.length; at += 8) {
      let byte = 0;
      for (let bit = 0; bit < 8; bit++) if (values[at + bit] === true) byte |= 1 << bit;
      this.byte(byte);
    }
  }

  /** Writes a number of any length, seven bits in each byte. */
  varint(value: number | bigint): void {
    let rest = BigInt(value);
    while (rest >= 0x80n) {
      this.byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.byte(Number(rest));
  }

  end(): Uint8Array {
    return this.#content.subarray(0, this.#length);
  }
}

const I32 = 5;
const I64 = 6;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;

/** Writes structures. Fields of one are written in the order of their numbers. */
export class CompactWriter {
  readonly #out = new ByteWriter();
  #last = 0;

  #field(number: number, type: number): void {
    this.#out.byte(((number - this.#last) << 4) | type);
    this.#last = number;
  }

  #signed(value: number): void {
    const whole = BigInt(value);
    this.#out.varint(whole >= 0n ? whole << 1n : (-whole << 1n) - 1n);
  }

  /** Writes a structure, whose fields are written by a function. */
  struct(write: () => void): void {
    const before = this.#last;
    this.#last = 0;
    write();
    this.#out.byte(0);
    this.#last = before;
  }

  structField(number: number, write: () => void): void {
    this.#field(number, STRUCT);
    this.struct(write);
  }

  bool(number: number, value: boolean): void {
    this.#field(number, value ? 1 : 2);
  }

  i32(number: number, value: number): void {
    this.#field(number, I32);
    this.#signed(value);
  }

  i64(number: number, value: number): void {
    this.#field(number, I64);
    this.#signed(value);
  }

  text(number: number, value: string): void {
    this.#field(number, BINARY);
    this.#text(value);
  }

  #text(value: string): void {
    const bytes = encoder.encode(value);
    this.#out.varint(bytes.length);
    this.#out.bytes(bytes);
  }

  #list(number: number, type: number, count: number): void {
    this.#field(number, LIST);
    if (count < 15) this.#out.byte((count << 4) | type);
    else {
      this.#out.byte(0xf0 | type);
      this.#out.varint(count);
    }
  }

  structList<T>(number: number, items: readonly T[], write: (item: T) => void): void {
    this.#list(number, STRUCT, items.length);
    for (const item of items) this.struct(() => { write(item); });
  }

  i32List(number: number, values: readonly number[]): void {
    this.#list(number, I32, values.length);
    for (const value of values) this.#signed(value);
  }

  textList(number: number, values: readonly string[]): void {
    this.#list(number, BINARY, values.length);
    for (const value of values) this.#text(value);
  }

  end(): Uint8Array {
    return this.#out.end();
  }
}
