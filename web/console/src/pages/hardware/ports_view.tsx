/** The serial ports, and the way to their consoles. */

import { hardware } from "@remote-services/client/stubs/hardware";
import { Refusal } from "../../app.tsx";
import { tell } from "../../connection.ts";
import { useAnswer, useEntry } from "../../entry.ts";
import { hashOf } from "../../routes.ts";

/** Shows the ports.
 * @param known - grows or differs whenever ports may have come or gone. */
export function PortsView({ known }: { readonly known: string }) {
  const { permissions, principal } = useEntry();
  const may = permissions.has("hardware.serial");
  const { value: ports, error } = useAnswer((client) => client.service(hardware).serial_ports(), [known]);
  const open = (event: Event): void => {
    event.preventDefault();
    const port = new FormData(event.currentTarget as HTMLFormElement).get("port");
    if (typeof port === "string" && port.trim() !== "") location.hash = hashOf("hardware", port.trim());
  };
  return (
    <section class="card stack" aria-labelledby="ports-title">
      <h2 id="ports-title">Serial ports</h2>
      {!may && <Refusal permission="hardware.serial" role={principal.role} />}
      {error !== undefined && <p class="note bad" role="alert">{tell(error)}</p>}
      {ports?.length === 0 && <p>The machine shows none.</p>}
      {ports !== undefined && ports.length > 0 && (
        <ul class="ports">
          {ports.map((each) => (
            <li key={each.id}>
              <span class="mono">{each.node}</span>
              <span class="grow small muted cut">{[each.vendor, each.model, each.serial, each.driver].filter((text) => text !== null).join(", ")}</span>
              {each.in_use && <span class="tag warn">in use</span>}
              {may && <a class="button" href={hashOf("hardware", each.id)} aria-label={`Console of ${each.node}`}>Console</a>}
            </li>
          ))}
        </ul>
      )}
      {may && (
        <form class="row" onSubmit={open}>
          <input name="port" class="grow mono" required autocomplete="off" spellcheck={false} aria-label="File of another port" placeholder="Another file, such as /dev/ttyUSB0" />
          <button type="submit">Console</button>
        </form>
      )}
    </section>
  );
}
