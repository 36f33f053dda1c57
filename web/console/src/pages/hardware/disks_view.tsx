/** The disks with their health, and the file systems. */

import { hardware, type Device, type Disks, type Smart } from "@remote-services/client/stubs/hardware";
import { useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry } from "../../entry.ts";
import { formatBytes, formatDuration, formatPercent } from "../../format.ts";
import { judgeDisk } from "./figures.ts";
import { describe } from "./inventory.ts";

/** Shows the disks. */
export function DisksView({ disks, figures }: { readonly disks: readonly Device[]; readonly figures: Disks | null }) {
  const { permissions } = useEntry();
  const may = permissions.has("hardware.smart");
  const filesystems = (figures?.filesystems ?? []).filter((each) => each.same_as === "" && each.total_bytes !== null && each.total_bytes > 0);
  return (
    <section class="card stack" aria-labelledby="disks-title">
      <h2 id="disks-title">Disks</h2>
      {disks.length === 0 && <p>The machine shows no disk of its own.</p>}
      {!may && disks.length > 0 && <p class="small muted">You cannot ask for their health: your role lacks the permission <code>hardware.smart</code>.</p>}
      {disks.map((each) => <DiskView key={each.id} disk={each} figures={figures} mayAsk={may} />)}
      {filesystems.length > 0 && (
        <>
          <h3>File systems</h3>
          <ul class="readings sizes">
            {filesystems.map((each) => (
              <li key={each.mountpoint}>
                <span class="mono cut" title={`${each.device}, ${each.fstype}`}>{each.mountpoint}</span>
                <meter min={0} max={100} high={90} value={each.percent ?? 0} aria-label={`In use of ${each.mountpoint}`} />
                <span class="number small">{formatBytes(each.used_bytes)} of {formatBytes(each.total_bytes)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function DiskView({ disk, figures, mayAsk }: { readonly disk: Device; readonly figures: Disks | null; readonly mayAsk: boolean }) {
  const { client } = useEntry();
  const [smart, setSmart] = useState<Smart>();
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const io = figures?.io.find((each) => each.name === disk.name);
  const ask = async (): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      setSmart(await client.service(hardware).smart({ disk: disk.name }));
    } catch (error) {
      setProblem(tell(error));
    } finally {
      setBusy(false);
    }
  };
  const size = disk.properties["size_bytes"];
  const kind = disk.properties["rotational"] === 1 ? "rotating" : disk.properties["rotational"] === 0 ? "solid state" : "";
  return (
    <article class="stack disk" aria-label={`Disk ${disk.name}`}>
      <div class="row">
        <h3 class="mono">{disk.name}</h3>
        <span class="grow cut">{describe(disk)} <span class="small muted">{[typeof size === "number" ? formatBytes(size) : "", kind].filter((each) => each !== "").join(", ")}</span></span>
        <button type="button" disabled={!mayAsk || isBusy} onClick={() => { void ask(); }}>{isBusy ? "Asking …" : "Health (SMART)"}</button>
      </div>
      {io !== undefined && (
        <p class="small muted number left">
          read {formatBytes(io.read_bytes_per_s)}/s, written {formatBytes(io.write_bytes_per_s)}/s, busy {formatPercent(io.busy_percent)}
        </p>
      )}
      {problem !== "" && <p class="note warn" role="alert">{problem}</p>}
      {smart !== undefined && problem === "" && <Health smart={smart} />}
    </article>
  );
}

function Health({ smart }: { readonly smart: Smart }) {
  const verdict = judgeDisk(smart);
  const facts = [
    smart.model_name, smart.firmware_version === null ? null : `firmware ${smart.firmware_version}`,
    smart.temperature_celsius === null ? null : `${String(smart.temperature_celsius)} °C`,
    smart.power_on_hours === null ? null : `on for ${formatDuration(smart.power_on_hours * 3600)}`,
    smart.power_cycle_count === null ? null : `switched on ${String(smart.power_cycle_count)} times`,
  ].filter((each) => each !== null);
  const log = Object.entries(smart.nvme);
  return (
    <div class="stack" role="group" aria-label="Health">
      <p class="row"><span class={`tag ${verdict.look}`}>{verdict.text}</span><span class="small grow">{facts.join(", ")}</span></p>
      {smart.reason !== "" && <p class="small muted">{smart.reason}</p>}
      {smart.attributes.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Attributes">
          <table class="small">
            <thead><tr><th>Attribute</th><th class="number">Value</th><th class="number">Worst</th><th class="number">Limit</th><th>Raw</th><th>Failed</th></tr></thead>
            <tbody>
              {smart.attributes.map((each) => (
                <tr key={each.id}>
                  <td>{each.id} {each.name.replaceAll("_", " ")}</td><td class="number">{each.value}</td><td class="number">{each.worst}</td><td class="number">{each.thresh}</td>
                  <td class="mono">{each.raw_string}</td><td>{each.when_failed === "" ? "no" : <span class="tag bad">{each.when_failed}</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {log.length > 0 && (
        <dl class="facts small">{log.map(([name, value]) => [<dt key={`${name} name`} class="muted">{name.replaceAll("_", " ")}</dt>, <dd key={name}>{value}</dd>])}</dl>
      )}
    </div>
  );
}
