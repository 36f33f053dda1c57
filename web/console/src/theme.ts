/** Light, dark, or as the system has it. */

import { Store } from "./store.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "remote-services.theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export const theme = new Store<Theme>(readTheme());

function readTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return THEMES.find((each) => each === kept) ?? "system";
}

/** Shows a theme, and keeps it for the next time. */
export function showTheme(next: Theme): void {
  theme.set(next);
  if (next === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
}

/** The theme that follows. */
export function nextTheme(now: Theme): Theme {
  return THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? "system";
}
