/** The bytes of a serial line, in hexadecimal numbers and in signs. Only the lines that are seen are on the page. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { writeHex, writeOffset, writeSigns, type ByteLog } from "./bytes.ts";

/** As in hardware.css. */
const ROW_HEIGHT = 20;

/** From which width on a line has 16 bytes. */
const WIDE = 640;

/** Shows what has gone through a line, both ways.
 * @param version - differs whenever the log does.
 * @param onWidth - is told how many bytes a line has. */
export function BytesView({ log, version, onWidth }: { readonly log: ByteLog; readonly version: number; readonly onWidth: (width: number) => void }) {
  const place = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState({ width: 16, top: 0, height: 400 });
  const isAtEnd = useRef(true);
  const count = log.countRows(room.width);
  const first = Math.max(0, Math.floor(room.top / ROW_HEIGHT) - 5);
  const rows = log.rows(room.width, first, Math.ceil(room.height / ROW_HEIGHT) + 10);
  const measure = (): void => {
    const element = place.current;
    if (element === null || element.clientHeight === 0) return;
    isAtEnd.current = element.scrollTop + element.clientHeight >= element.scrollHeight - ROW_HEIGHT;
    setRoom({ width: element.clientWidth >= WIDE ? 16 : 8, top: element.scrollTop, height: element.clientHeight });
  };
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => { observer.disconnect(); };
  }, []);
  useEffect(() => { onWidth(room.width); }, [room.width]);
  const inner = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    // The policy of the page lets scripts set styles, and attributes not.
    if (inner.current === null) return;
    inner.current.style.height = `${String(count * ROW_HEIGHT)}px`;
    inner.current.style.paddingTop = `${String(first * ROW_HEIGHT)}px`;
  });
  // Whoever looks at the end goes on to see the end.
  useLayoutEffect(() => {
    const element = place.current;
    if (element === null || !isAtEnd.current) return;
    element.scrollTop = element.scrollHeight;
  }, [version, count, room.width, room.height]);
  return (
    <div class="bytes" ref={place} tabIndex={0} role="region" aria-label="Bytes" data-keys onScroll={measure}>
      <div ref={inner}>
        {rows.map((row, index) => (row.way === "mark"
          ? <div key={first + index} class="byte-row note-row">{row.text}</div>
          : (
            <div key={first + index} class={`byte-row ${row.way}`}>
              <span aria-label={row.way === "in" ? "received" : "sent"} role="img">{row.way === "in" ? "◂" : "▸"}</span>
              <span class="muted">{writeOffset(row.offset)}</span>
              <span class="hex">{writeHex(row.bytes).padEnd(room.width * 3 - 1)}</span>
              <span class="signs">{writeSigns(row.bytes)}</span>
            </div>
          )))}
      </div>
      {count === 0 && <p class="muted">Nothing has gone through yet.</p>}
    </div>
  );
}
