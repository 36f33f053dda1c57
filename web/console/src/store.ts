/** A value that tells its watchers when it changes, and the hook that reads it. */

import { useEffect, useState } from "preact/hooks";

/** A value that can be watched. */
export class Store<T> {
  #value: T;
  readonly #watchers = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /** Sets the value, and tells the watchers unless it is the same. */
  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher(value);
  }

  /** Calls a function with each new value. Returns what ends it. */
  watch(watcher: (value: T) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

/** Calls a function with each value after one that was seen: at once, if there is another one by now. Returns what ends it. */
export function follow<T>(store: Store<T>, seen: T, watcher: (value: T) => void): () => void {
  const end = store.watch(watcher);
  if (!Object.is(seen, store.value)) watcher(store.value);
  return end;
}

/** Returns the value of a store, and renders again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, render] = useState(0);
  const { value } = store;
  // The value may have changed between what is rendered here and the effect.
  useEffect(() => follow(store, value, () => { render((count) => count + 1); }), [store]);
  return value;
}
