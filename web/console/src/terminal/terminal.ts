/** What all terminals on pages have in common: how they look, how they fit their places, how their text is copied. */

import { Terminal, type ITerminalOptions } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { allowStyles } from "./quiet_document.ts";
import "./terminal.css";

/** A terminal, and what takes it off the page. */
export interface OpenTerminal {
  readonly terminal: Terminal;
  readonly close: () => void;
}

/** Makes a terminal.
 * @param options - what is particular to it. */
export function makeTerminal(options: ITerminalOptions): OpenTerminal {
  const forbidStyles = allowStyles();
  const terminal = new Terminal({
    scrollback: 10_000, // Each line takes 12 bytes for each column.
    fontSize: 13,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    screenReaderMode: true,
    allowProposedApi: true,
    theme: { background: "#10141b", foreground: "#e4e8ef", cursor: "#7fb0ff", selectionBackground: "#365a96", brightRed: "#ff9b93" },
    ...options,
  });
  return {
    terminal,
    close: () => {
      terminal.dispose();
      forbidStyles();
    },
  };
}

/** Returns how many signs fit into a place; undefined as long as it is not shown. */
export function measureRoom(terminal: Terminal, place: HTMLElement): { readonly columns: number; readonly rows: number } | undefined {
  const screen = place.querySelector<HTMLElement>(".xterm-screen");
  if (screen === null) return undefined;
  const width = screen.clientWidth / terminal.cols;
  const height = screen.clientHeight / terminal.rows;
  if (!(width > 0) || !(height > 0)) return undefined;
  return {
    columns: Math.max(20, Math.floor((place.clientWidth - 22) / width)),
    rows: Math.max(5, Math.floor((place.clientHeight - 12) / height)),
  };
}

/** Returns the selected text of a terminal, or all of it, without the empty lines at its end. */
export function textOf(terminal: Terminal): string {
  const hasSelection = terminal.hasSelection();
  if (!hasSelection) terminal.selectAll();
  const text = terminal.getSelection();
  if (!hasSelection) terminal.clearSelection();
  return text.trimEnd();
}

/** Puts text into the clipboard. Returns what is to be said about it. */
export async function copyText(text: string, what: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(text);
    return `${what} is copied.`;
  } catch {
    return "The browser does not allow that here: select the text, and copy it with its own keys.";
  }
}
