/** Keys that work everywhere but where somebody types. */

/** What a key does. */
export interface Shortcut {
  /** The keys, one after the other, such as `g s`. */
  readonly keys: string;
  readonly text: string;
  readonly act: () => void;
}

const WAIT_MS = 1500;

/** Tells whether keys belong to what has the focus. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.closest("[data-keys]") !== null;
}

/** Finds the shortcut that two keys mean, the newest last; and whether more may follow. */
export function matchKeys(
  before: string, key: string, shortcuts: readonly Shortcut[],
): { readonly found: Shortcut | undefined; readonly open: string } {
  const both = before === "" ? key : `${before} ${key}`;
  const found = shortcuts.find((each) => each.keys === both) ?? shortcuts.find((each) => each.keys === key);
  if (found !== undefined) return { found, open: "" };
  return { found: undefined, open: shortcuts.some((each) => each.keys.startsWith(`${key} `)) ? key : "" };
}

/** Listens for shortcuts. Returns what ends it. */
export function listenForKeys(list: () => readonly Shortcut[]): () => void {
  let open = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const match = matchKeys(open, event.key, list());
    clearTimeout(timer);
    open = match.open;
    timer = setTimeout(() => {
      open = "";
    }, WAIT_MS);
    if (match.found === undefined) return;
    event.preventDefault();
    match.found.act();
  };
  addEventListener("keydown", onKey);
  return () => {
    removeEventListener("keydown", onKey);
    clearTimeout(timer);
  };
}
