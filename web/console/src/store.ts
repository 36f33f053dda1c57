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

/** Returns the value of a store, and renders again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, render] = useState(0);
  useEffect(() => {
    const seen = store.value;
    const end = store.watch(() => {
      render((count) => count + 1);
    });
    if (!Object.is(seen, store.value)) render((count) => count + 1);
    return end;
  }, [store]);
  return store.value;
}
