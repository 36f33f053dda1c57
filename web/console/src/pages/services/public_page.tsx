/** Services for whoever is not signed in: what everybody may read about methods. It is a file of the server's, so no connection is needed. */

import { useEffect, useState } from "preact/hooks";
import { publicDocument } from "../../connection.ts";
import type { Answer } from "../../entry.ts";
import type { PageProps } from "../../routes.ts";
import type { Discovery } from "./document.ts";
import { ServicesView } from "./page.tsx";

/** The page. */
export function PublicServicesPage({ rest }: PageProps) {
  const [found, setFound] = useState<Answer<Discovery>>({});
  useEffect(() => {
    const abort = new AbortController();
    fetchDocument(abort.signal).then(
      (value) => { setFound({ value }); },
      (error: unknown) => { if (!abort.signal.aborted) setFound({ error }); },
    );
    return () => { abort.abort(); };
  }, []);
  return <ServicesView rest={rest} found={found} caller={undefined} />;
}

async function fetchDocument(signal: AbortSignal): Promise<Discovery> {
  const answer = await fetch(publicDocument() ?? "", { signal });
  if (!answer.ok) throw new Error("the server does not let everybody read about its methods any more: sign in");
  return (await answer.json()) as Discovery;
}
