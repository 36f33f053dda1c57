/** A table of any number of rows: only those that are seen are in the document, and only those that are near are read. */

import type { Column } from "@remote-services/client/stubs/database";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { RowStore } from "./row_store.ts";
import { Scroller } from "./scroller.ts";
import { lookOf, textOf } from "./values.ts";

const ROW_PX = 26;
const HEAD_PX = 42;
const LETTER_PX = 7.6;
const BESIDE_ROWS = 3;
/** How many rows are remembered whose widths are known. */
const MOST_KNOWN_ROWS = 200;

/** A place in the table. */
export interface CellPlace {
  readonly row: number;
  readonly column: number;
}

interface GridProps {
  readonly rows: RowStore;
  readonly columns: readonly Column[];
  readonly count: number;
  readonly label: string;
  /** Somebody wants to see a cell in full. */
  readonly onOpen: (place: CellPlace, value: unknown) => void;
}

interface Layout {
  /** Where each column begins, and where the last one ends. */
  readonly lefts: readonly number[];
  readonly widths: readonly number[];
}

/** How wide the columns are: as wide as their names and all that was seen in them need, within limits. */
class Widths {
  readonly #letters: number[];
  readonly #known = new Set<unknown>();
  #layout: Layout | undefined;

  constructor(readonly columns: readonly Column[]) {
    this.#letters = columns.map((column) => Math.max(column.name.length, typeWords(column).length * 0.9));
  }

  /** Notes what is seen in a row. */
  look(row: readonly unknown[] | undefined): void {
    if (row === undefined || this.#known.has(row)) return;
    if (this.#known.size > MOST_KNOWN_ROWS) this.#known.clear();
    this.#known.add(row);
    for (const [at, column] of this.columns.entries()) {
      const { length } = lookOf(row[at], column).text;
      if (length <= (this.#letters[at] ?? 0)) continue;
      this.#letters[at] = length;
      this.#layout = undefined;
    }
  }

  get layout(): Layout {
    if (this.#layout !== undefined) return this.#layout;
    const widths = this.#letters.map((letters) => Math.round(Math.min(360, Math.max(64, letters * LETTER_PX + 22))));
    const lefts = [0];
    for (const width of widths) lefts.push((lefts.at(-1) ?? 0) + width);
    this.#layout = { lefts, widths };
    return this.#layout;
  }
}

function typeWords(column: Column): string {
  const { precision, scale } = column;
  const name = (column.db_type ?? column.type).toLowerCase();
  return precision === null || name.includes("(") ? name : `${name}(${String(precision)}, ${String(scale ?? 0)})`;
}

/** What the keys do: the place that follows. */
function placeAfter(key: string, isFar: boolean, { row, column }: CellPlace, pageRows: number): CellPlace | undefined {
  switch (key) {
    case "ArrowDown": return { row: row + 1, column };
    case "ArrowUp": return { row: row - 1, column };
    case "ArrowLeft": return { row, column: isFar ? 0 : column - 1 };
    case "ArrowRight": return { row, column: isFar ? Infinity : column + 1 };
    case "PageDown": return { row: row + pageRows, column };
    case "PageUp": return { row: row - pageRows, column };
    case "Home": return isFar ? { row: 0, column } : { row, column: 0 };
    case "End": return isFar ? { row: Infinity, column } : { row, column: Infinity };
    default: return undefined;
  }
}

/** Shows rows. */
export function Grid({ rows, columns, count, label, onOpen }: GridProps) {
  const place = useRef<HTMLDivElement>(null);
  const scroller = useMemo(() => new Scroller(ROW_PX), [rows]);
  const [, draw] = useState(0);
  const redraw = (): void => { draw((drawn) => drawn + 1); };
  const [here, setHere] = useState<CellPlace>({ row: 0, column: 0 });
  const allWidths = useMemo(() => new Widths(columns), [columns]);
  const element = place.current;
  scroller.resize(count, Math.max(0, (element?.clientHeight ?? 0) - HEAD_PX));
  const [first, last] = scroller.range();
  const from = Math.max(0, first - BESIDE_ROWS);
  const to = Math.min(count - 1, last + BESIDE_ROWS);
  const shownRows = Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
  for (const row of shownRows) allWidths.look(rows.row(row));
  const { lefts, widths } = allWidths.layout;
  const numberPx = Math.max(40, String(count).length * LETTER_PX + 18);
  const totalPx = numberPx + (lefts.at(-1) ?? 0);

  useLayoutEffect(() => {
    const box = place.current;
    if (box === null) return undefined;
    const measure = (): void => {
      scroller.resize(count, Math.max(0, box.clientHeight - HEAD_PX));
      if (scroller.isScaled) box.scrollTop = scroller.settle();
      redraw();
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    return () => { observer.disconnect(); };
  }, [scroller, count]);

  useEffect(() => {
    let isOver = false;
    rows.prepare(from, to).then((wasRead) => { if (wasRead && !isOver) redraw(); }, () => undefined);
    return () => { isOver = true; };
  }, [rows, from, to, count]);
  useEffect(() => {
    const box = place.current;
    if (box === null) return undefined;
    const settle = (): void => { if (scroller.isScaled) box.scrollTop = scroller.settle(); };
    box.addEventListener("scrollend", settle);
    return () => { box.removeEventListener("scrollend", settle); };
  }, [scroller]);

  const go = ({ row, column }: CellPlace): void => {
    const next = { row: Math.min(Math.max(0, row), count - 1), column: Math.min(Math.max(0, column), columns.length - 1) };
    setHere(next);
    const box = place.current;
    if (box === null) return;
    box.scrollTop = scroller.reveal(next.row);
    const left = lefts[next.column] ?? 0;
    const right = left + (widths[next.column] ?? 0);
    if (left < box.scrollLeft) box.scrollLeft = left;
    else if (right + numberPx > box.scrollLeft + box.clientWidth) box.scrollLeft = right + numberPx - box.clientWidth;
    redraw();
  };
  const open = (at: CellPlace): void => {
    const row = rows.row(at.row);
    if (row !== undefined) onOpen(at, row[at.column]);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.altKey) return;
    if (event.key === "Enter") {
      event.preventDefault();
      open(here);
      return;
    }
    const next = placeAfter(event.key, event.ctrlKey || event.metaKey, here, scroller.pageRows);
    if (next === undefined) return;
    event.preventDefault();
    go(next);
  };
  const onCopy = (event: ClipboardEvent): void => {
    const row = rows.row(here.row);
    if (row === undefined || document.getSelection()?.isCollapsed === false) return;
    event.preventDefault();
    event.clipboardData?.setData("text/plain", textOf(row[here.column], columns[here.column]));
  };

  const leftPx = element?.scrollLeft ?? 0;
  const widthPx = element?.clientWidth ?? 0;
  const seen = columns.map((_, at) => at).filter((at) => (lefts[at + 1] ?? 0) + numberPx >= leftPx - 200 && (lefts[at] ?? 0) <= leftPx + widthPx + 200);
  const idOf = ({ row, column }: CellPlace): string => `cell-${String(row)}-${String(column)}`;
  return (
    <div class="grid" ref={place} role="grid" tabIndex={0} aria-label={label} aria-rowcount={count + 1} aria-colcount={columns.length + 1}
      aria-activedescendant={here.row >= from && here.row <= to && seen.includes(here.column) ? idOf(here) : undefined}
      onScroll={(event) => {
        scroller.scroll(event.currentTarget.scrollTop);
        redraw();
      }}
      onKeyDown={onKey} onCopy={onCopy}>
      <div class="grid-head" role="rowgroup" style={{ width: `${String(totalPx)}px`, height: `${String(HEAD_PX)}px` }}>
        <div role="row" aria-rowindex={1} class="grid-row">
          <div role="columnheader" aria-colindex={1} class="grid-number" style={{ width: `${String(numberPx)}px` }}><span class="tools">Row</span></div>
          {seen.map((at) => (
            <div key={at} role="columnheader" aria-colindex={at + 2} class={`grid-cell ${at === here.column ? "here" : ""}`} title={columns[at]?.name}
              style={{ left: `${String(numberPx + (lefts[at] ?? 0))}px`, width: `${String(widths[at] ?? 0)}px` }}>
              <b class="cut">{columns[at]?.name === "" ? "(no name)" : columns[at]?.name}</b>
              <span class="cut muted">{columns[at] === undefined ? "" : typeWords(columns[at])}</span>
            </div>
          ))}
        </div>
      </div>
      <div class="grid-body" role="rowgroup" style={{ width: `${String(totalPx)}px`, height: `${String(scroller.spacerPx)}px` }}>
        {shownRows.map((row) => {
          const cells = rows.row(row);
          return (
            <div key={row} role="row" aria-rowindex={row + 2} aria-busy={cells === undefined ? true : undefined} class={`grid-row ${row % 2 === 1 ? "odd" : ""} ${row === here.row ? "here" : ""}`}
              style={{ height: `${String(ROW_PX)}px`, transform: `translateY(${String(scroller.yOf(row))}px)`, width: `${String(totalPx)}px` }}>
              <div role="rowheader" aria-colindex={1} class="grid-number" style={{ width: `${String(numberPx)}px` }}>{row + 1}</div>
              {seen.map((at) => {
                const { text, look } = cells === undefined ? { text: "…", look: "null" } : lookOf(cells[at], columns[at]);
                return (
                  <div key={at} id={idOf({ row, column: at })} role="gridcell" aria-colindex={at + 2}
                    aria-selected={row === here.row && at === here.column ? true : undefined} class={`grid-cell cut ${look}`}
                    style={{ left: `${String(numberPx + (lefts[at] ?? 0))}px`, width: `${String(widths[at] ?? 0)}px` }}
                    onClick={() => { setHere({ row, column: at }); }} onDblClick={() => { open({ row, column: at }); }}>{text}</div>
                );
              })}
            </div>
          );
        })}
      </div>
    </div>
  );
}
