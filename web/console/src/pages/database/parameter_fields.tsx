/** Fields for the placeholders of the statements: `:name` and `?`. */

import { useMemo } from "preact/hooks";
import { useStore } from "../../store.ts";
import type { Desk } from "./desk.ts";
import { findPlaceholders, splitStatements } from "./sql.ts";
import { PARAMETER_KINDS, type ParameterKind } from "./values.ts";

/** The names of all parameters of a text: those of `:name`, and the numbers of `?` in the statement that has the most. */
export function listParameters(text: string, dialect: string): string[] {
  const found = splitStatements(text, dialect).map((each) => findPlaceholders(each.text, dialect));
  const count = Math.max(0, ...found.map((each) => each.count));
  return [...new Set(found.flatMap((each) => each.names)), ...Array.from({ length: count }, (_, at) => String(at + 1))];
}

/** Asks for parameters. */
export function ParameterFields({ desk, text }: { readonly desk: Desk; readonly text: string }) {
  const { dialect, parameters } = useStore(desk.state);
  const names = useMemo(() => listParameters(text, dialect), [text, dialect]);
  if (names.length === 0) return null;
  return (
    <fieldset class="parameters">
      <legend class="small muted">Parameters</legend>
      {names.map((name) => {
        const typed = parameters[name] ?? { kind: "text", text: "" };
        const title = /^\d+$/.test(name) ? `?${name}` : `:${name}`;
        return (
          <div key={name} class="parameter">
            <label class="mono" for={`parameter-${name}`}>{title}</label>
            <select aria-label={`Type of ${title}`} value={typed.kind}
              onChange={(event) => { desk.setParameter(name, { ...typed, kind: event.currentTarget.value as ParameterKind }); }}>
              {PARAMETER_KINDS.map((kind) => <option key={kind} value={kind}>{kind === "null" ? "NULL" : kind}</option>)}
            </select>
            <input id={`parameter-${name}`} class="mono grow" autocomplete="off" spellcheck={false} value={typed.text} disabled={typed.kind === "null"}
              placeholder={typed.kind === "bytes" ? "hex, such as 00 ff" : ""}
              onInput={(event) => { desk.setParameter(name, { ...typed, text: event.currentTarget.value }); }} />
          </div>
        );
      })}
    </fieldset>
  );
}
