/** Streams that a page follows for as long as it is shown, over as many connections as it takes. */

import { TransportError, type Client, type RpcStream } from "@remote-services/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { useEntry, useIsConnected } from "./entry.ts";

/** Follows a stream, and opens it anew whenever the connection is back. Returns the error that has ended it for good.
 * @param open - makes the stream; undefined for none.
 * @param onItem - gets each item.
 * @param inputs - what the stream depends on. */
export function useStream<T>(
  open: ((client: Client) => RpcStream<T>) | undefined, onItem: (item: T) => void, inputs: readonly unknown[],
): unknown {
  const { client } = useEntry();
  const isConnected = useIsConnected();
  const [error, setError] = useState<unknown>();
  const listener = useRef(onItem);
  listener.current = onItem;
  useEffect(() => {
    if (open === undefined || !isConnected) return undefined;
    const stream = open(client);
    let isOver = false;
    const read = async (): Promise<void> => {
      try {
        setError(undefined);
        for await (const item of stream) if (!isOver) listener.current(item);
      } catch (failure) {
        // A lost connection is no error of the stream: it is opened anew with the next one.
        if (!isOver && !(failure instanceof TransportError)) setError(failure);
      }
    };
    void read();
    return () => {
      isOver = true;
      void stream.close();
    };
  }, [client, isConnected, open === undefined, ...inputs]);
  return error;
}
