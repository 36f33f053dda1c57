/** What the stubs that `rpcserver stubs --language typescript` writes are made of. */

import type { Calls, Method } from "./calls.js";
import type { ErrorClass } from "./errors.js";
import type { CallOptions } from "./options.js";
import { dump, load, type Shape } from "./shapes.js";
import type { Params } from "./wire/messages.js";

/** What a stub knows of a method. */
export interface StubMethod {
  /** The types of the parameters that are not plain, by name. */
  readonly params?: Readonly<Record<string, Shape>>;
  /** The type of the result, or of the items of the answered stream, if it is not plain. */
  readonly returns?: Shape;
  /** Whether the answer is a stream. */
  readonly isStream?: boolean;
  /** Whether only the newest item of that stream counts. */
  readonly isLatest?: boolean;
  /** The types of the items of the parameters that are streams, by name. */
  readonly uploads?: Readonly<Record<string, Shape>>;
  /** The deadline where the caller gives none, in seconds. */
  readonly deadlineS?: number;
  /** The classes of the errors that it declares. */
  readonly errors?: Readonly<Record<string, ErrorClass>>;
}

/** A service as its stub describes it. `T` has its methods. */
export interface ServiceStub<T> {
  readonly name: string;
  /** Returns the methods, which then make their calls by `calls`. */
  bind(calls: Calls): T;
  /** Its methods, by their short names. */
  readonly methods: ReadonlyMap<string, Method>;
}

/** Makes the stub of a service. */
export function defineService<T>(name: string, methods: Readonly<Record<string, StubMethod>>): ServiceStub<T> {
  const all = new Map(Object.entries(methods).map(([short, each]) => [short, methodOf(`${name}.${short}`, each)]));
  return {
    name,
    methods: all,
    bind(calls) {
      const bound = [...all].map(([short, method]) => {
        const act = method.isStream === true
          ? (params?: Params, options?: CallOptions): unknown => calls.stream(method, params, options)
          : (params?: Params, options?: CallOptions): unknown => calls.call(method, params, options);
        return [short, act];
      });
      return Object.fromEntries(bound) as T;
    },
  };
}

function methodOf(name: string, described: StubMethod): Method {
  const { params, returns, uploads, deadlineS, errors, isStream, isLatest } = described;
  return {
    name,
    ...(deadlineS === undefined ? {} : { deadlineMs: deadlineS * 1000 }),
    ...(isStream === undefined ? {} : { isStream }),
    ...(isLatest === undefined ? {} : { isLatest }),
    ...(errors === undefined ? {} : { errors }),
    ...(params === undefined
      ? {}
      : { dump: (given: Params, isPacked: boolean) => dump(() => params, given, isPacked) as Params }),
    ...(returns === undefined ? {} : { load: (value: unknown, isPacked: boolean) => load(returns, value, isPacked) }),
    ...(uploads === undefined
      ? {}
      : {
          uploads: Object.fromEntries(
            Object.entries(uploads).map(([parameter, shape]) => [
              parameter, (item: unknown, isPacked: boolean): unknown => dump(shape, item, isPacked),
            ]),
          ),
        }),
  };
}
