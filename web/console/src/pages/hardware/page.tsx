/** Hardware: the devices as they come and go, sensors, disks and their health, graphics processors, and serial ports. */

import { hardware, SectionUnavailable, type Snapshot } from "@remote-services/client/stubs/hardware";
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useAnswer } from "../../entry.ts";
import { useStream } from "../../live.ts";
import type { PageProps } from "../../routes.ts";
import { DisksView } from "./disks_view.tsx";
import { BatteryView, GpusView, SensorsView } from "./figures_view.tsx";
import "./hardware.css";
import { applyEvent, applyList, listDisks, nameSlot, type Inventory } from "./inventory.ts";
import { PortsView } from "./ports_view.tsx";
import { TreeView } from "./tree_view.tsx";

const INTERVAL_S = 2;

/** The page; with a port as the rest of its address, the console of that port. */
export function HardwarePage({ rest }: PageProps) {
  return rest === "" ? <Machine /> : <SerialPage key={rest} port={rest} />;
}

/** The console of a port, whose terminal is loaded when it is needed. */
function SerialPage({ port }: { readonly port: string }) {
  const [loaded, setLoaded] = useState<{ readonly view: ComponentType<{ readonly port: string }> }>();
  const [failure, setFailure] = useState("");
  useEffect(() => {
    import("./serial_view.tsx").then(({ SerialView }) => { setLoaded({ view: SerialView }); }, (error: unknown) => { setFailure(tell(error)); });
  }, []);
  if (failure !== "") return <p class="note bad" role="alert">The console could not be loaded: {failure}. Reload the page when the server is back.</p>;
  if (loaded === undefined) return <p class="muted" role="status">Loading …</p>;
  const View = loaded.view;
  return <View port={port} />;
}

function Machine() {
  const [inventory, setInventory] = useState<Inventory>();
  const [snapshot, setSnapshot] = useState<Snapshot>();
  const deviceError = useStream((client) => client.service(hardware).watch_devices(), (event) => { setInventory((before) => applyEvent(before, event)); }, []);
  const error = useStream(
    (client) => client.service(hardware).watch({ sections: ["sensors", "battery", "gpus", "disks"], interval_s: INTERVAL_S }), setSnapshot, [],
  );
  const isStill = deviceError instanceof SectionUnavailable;
  // Where the system reports no events, the devices can be listed all the same.
  const list = useAnswer(async (client) => (isStill ? await client.service(hardware).devices() : undefined), [isStill]);
  const known = inventory ?? (list.value === undefined ? undefined : applyList(undefined, list.value, 0));
  const trouble = [deviceError, error, list.error].filter((each) => each !== undefined && !(each instanceof SectionUnavailable));
  const ports = [...(known?.devices.values() ?? [])].filter((each) => each.subsystem === "tty").map((each) => each.id).join();
  return (
    <div class="stack">
      <h1>Hardware</h1>
      {trouble.map((each) => <p key={tell(each)} class="note bad" role="alert">{tell(each)}</p>)}
      {isStill && <p class="note warn">Arrivals and departures are not shown: {deviceError.details.reason}. The list is that of the moment when this page was opened.</p>}
      <div class="hardware">
        <div class="stack">
          {known === undefined ? <p class="muted" role="status">Asking the server …</p> : <TreeView inventory={known} />}
        </div>
        <div class="stack">
          <PortsView known={ports} />
          {snapshot !== undefined && (
            <>
              <SensorsView sensors={snapshot.sensors} reason={snapshot.reasons["sensors"] ?? ""} />
              <BatteryView battery={snapshot.battery} />
              <GpusView gpus={snapshot.gpus} reason={snapshot.reasons["gpus"] ?? ""} nameOf={(slot) => (known === undefined ? "" : nameSlot(known.devices, slot))} />
            </>
          )}
          {known !== undefined && <DisksView disks={listDisks(known.devices)} figures={snapshot?.disks ?? null} />}
        </div>
      </div>
    </div>
  );
}
