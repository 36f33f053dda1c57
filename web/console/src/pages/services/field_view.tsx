/** One parameter in a form. */

import type { Field } from "./values.ts";

interface FieldProps {
  readonly field: Field;
  readonly text: string;
  readonly problem: string;
  readonly onInput: (text: string) => void;
}

/** Asks for a parameter. */
export function FieldView({ field, text, problem, onInput }: FieldProps) {
  const id = `field-${field.name}`;
  return (
    <div class="field">
      <label for={id}><span class="mono">{field.name}</span>{field.isRequired && <span class="needed" title="required"> *</span>}</label>
      <span class="small muted type">{field.type}{field.default !== "" && field.default !== "null" && <>, {field.default} where not given</>}</span>
      <Control field={field} id={id} text={text} problem={problem} onInput={onInput} />
      {field.description !== "" && <span class="small muted" id={`${id}-about`}>{field.description}</span>}
      {problem !== "" && <span class="problem" role="alert">{problem}</span>}
    </div>
  );
}

function Control({ field, id, text, problem, onInput }: FieldProps & { readonly id: string }) {
  const common = {
    id, value: text, spellcheck: false, autocomplete: "off" as const,
    "aria-required": field.isRequired, "aria-invalid": problem !== "",
    onInput: (event: { currentTarget: { value: string } }) => { onInput(event.currentTarget.value); },
  };
  switch (field.widget) {
    case "boolean":
    case "choice": {
      const choices = field.widget === "boolean" ? ["true", "false"] : field.choices;
      return (
        <select {...common}>
          <option value="">{field.isRequired ? "choose …" : "not given"}</option>
          {choices.map((each) => <option key={each} value={each}>{each}</option>)}
        </select>
      );
    }
    case "lines": return <textarea {...common} rows={3} placeholder="one on each line" />;
    case "json": return <textarea {...common} rows={3} placeholder={field.isStream ? "a list of the items, as JSON" : "JSON"} />;
    case "bytes": return <textarea {...common} rows={2} placeholder="text, sent as UTF-8" />;
    case "integer":
    case "number": return <input {...common} inputMode={field.widget === "integer" ? "numeric" : "decimal"} />;
    case "text": return field.isSecret ? <input {...common} type="password" /> : <input {...common} />;
  }
}
