/** Services: every method of every plugin, its documentation, and a form that calls it. */

import { useEffect, useMemo, useState } from "preact/hooks";
import type { PageProps } from "../../routes.ts";
import { hashOf } from "../../routes.ts";
import { tell } from "../../connection.ts";
import { useAnswer, useEntry, type Answer } from "../../entry.ts";
import { groupMethods, isAllowed, isStream, type Discovery, type Method } from "./document.ts";
import { MethodView, type Caller } from "./method_view.tsx";
import "./services.css";

/** The page. */
export function ServicesPage({ rest }: PageProps) {
  const found = useAnswer((client) => client.call<Discovery>("rpc.discover"), []);
  return <ServicesView rest={rest} found={found} caller={useEntry()} />;
}

interface ServicesProps extends PageProps {
  /** What the server tells of its methods, as far as that is there. */
  readonly found: Answer<Discovery>;
  /** Who may call them; undefined for whoever only reads. */
  readonly caller: Caller | undefined;
}

/** The methods, and the one that is chosen. */
export function ServicesView({ rest, found, caller }: ServicesProps) {
  const [search, setSearch] = useState("");
  const methods = found.value?.methods;
  const groups = useMemo(() => groupMethods(methods ?? [], search), [methods, search]);
  const method = methods?.find((each) => each.name === rest);
  useEffect(() => {
    document.querySelector(".methods [aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [rest, methods]);
  return (
    <div class={method === undefined ? "services" : "services has-method"}>
      <div class="methods stack">
        <h1>Services</h1>
        <label class="tools" for="search">Search methods</label>
        <input id="search" type="search" placeholder="Search methods  ( / )" value={search}
          onInput={(event) => { setSearch(event.currentTarget.value); }} />
        {found.error !== undefined && <p class="note bad" role="alert">{tell(found.error)}</p>}
        {methods === undefined && found.error === undefined && <p class="muted" role="status">Asking the server …</p>}
        {methods !== undefined && groups.length === 0 && <p class="muted">No method has these words.</p>}
        <nav aria-label="Methods">
          {groups.map((group) => (
            <section key={group.name}>
              <h2>{group.name}</h2>
              <ul>
                {group.methods.map((each) => <Entry key={each.name} method={each} isHere={each === method} isAllowed={caller === undefined || isAllowed(each, caller.permissions)} />)}
              </ul>
            </section>
          ))}
        </nav>
      </div>
      <div class="method">
        {method !== undefined && found.value !== undefined
          ? <MethodView key={method.name} method={method} schemas={found.value.components.schemas} caller={caller} />
          : methods !== undefined && <Nothing name={rest} mayCall={caller !== undefined} />}
      </div>
    </div>
  );
}

function Nothing({ name, mayCall }: { readonly name: string; readonly mayCall: boolean }) {
  const words = mayCall ? `This server has no method ${name}.` : `There is no method ${name} about which everybody may read.`;
  return <p class="muted">{name === "" ? `Choose a method to read about it${mayCall ? " and to call it" : ""}.` : words}</p>;
}

function Entry({ method, isHere, isAllowed: may }: { readonly method: Method; readonly isHere: boolean; readonly isAllowed: boolean }) {
  const short = method.name.slice(method.name.lastIndexOf(".") + 1);
  return (
    <li>
      <a href={hashOf("services", method.name)} aria-current={isHere ? "true" : undefined} class={may ? "" : "refused"} title={method.summary}>
        <span class="cut">{short}</span>
        {method["x-event"] === true ? <span class="tag">event</span> : isStream(method) && <span class="tag">stream</span>}
        {!may && <span class="tag warn">not allowed</span>}
      </a>
    </li>
  );
}
