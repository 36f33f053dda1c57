/** The methods of a service by their names, without a stub. */

import type { Calls } from "./calls.js";
import type { CallOptions } from "./options.js";
import type { Params } from "./wire/messages.js";

/** A call that is awaited, or a stream that is iterated over: it begins when one of the two is done. */
class Invocation implements PromiseLike<unknown>, AsyncIterable<unknown> {
  #answer: Promise<unknown> | undefined;

  constructor(
    readonly calls: Calls,
    readonly method: string,
    readonly params: Params,
    readonly options: CallOptions | undefined,
  ) {}

  then<A, B>(
    onValue?: ((value: unknown) => A | PromiseLike<A>) | null, onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#answer ??= this.calls.call({ name: this.method }, this.params, this.options);
    return this.#answer.then(onValue, onError);
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this.calls.stream({ name: this.method }, this.params, this.options);
  }
}

/** Makes an object whose every member is a method of a service. */
export function makeProxy(calls: Calls, service: string): object {
  return new Proxy(Object.freeze({}), {
    get(_target, name) {
      // A promise that gets the object asks for `then`: the object itself is no promise.
      if (typeof name !== "string" || name === "then") return undefined;
      return (params?: Params, options?: CallOptions) => new Invocation(calls, `${service}.${name}`, params, options);
    },
  });
}
