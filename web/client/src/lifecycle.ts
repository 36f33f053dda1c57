/** Tells when a page or a worker has reason to look at its connection: the network is back, or the page is. */

interface Target {
  addEventListener(name: string, listener: () => void): void;
  removeEventListener(name: string, listener: () => void): void;
}

interface Surroundings extends Partial<Target> {
  readonly document?: Target & { readonly visibilityState: string };
}

/** Calls a function whenever the network or the page is back. Outside of browsers that never happens.
 * @returns what ends it. */
export function watchWaking(onWake: () => void): () => void {
  const scope = globalThis as unknown as Surroundings;
  const { document } = scope;
  const onVisible = (): void => {
    if (document?.visibilityState === "visible") onWake();
  };
  scope.addEventListener?.("online", onWake);
  scope.addEventListener?.("pageshow", onWake);
  document?.addEventListener("visibilitychange", onVisible);
  document?.addEventListener("resume", onWake);
  return () => {
    scope.removeEventListener?.("online", onWake);
    scope.removeEventListener?.("pageshow", onWake);
    document?.removeEventListener("visibilitychange", onVisible);
    document?.removeEventListener("resume", onWake);
  };
}
