/** The documentation of a method: paragraphs, and sections such as `Parameters:` with a list. */

/** A part of a text. */
export interface Part {
  readonly title: string;
  readonly text: string;
}

/** Cuts a docstring into its parts; the first one has no title. */
export function splitProse(text: string): Part[] {
  const parts: { title: string; lines: string[] }[] = [{ title: "", lines: [] }];
  for (const line of text.split("\n")) {
    const head = /^(Parameters|Returns|Raises|Yields|Note):\s*$/.exec(line);
    if (head?.[1] !== undefined) parts.push({ title: head[1], lines: [] });
    else parts[parts.length - 1]?.lines.push(line);
  }
  return parts
    .map(({ title, lines }) => ({ title, text: lines.map((line) => (title === "" ? line : line.replace(/^ {4}/, ""))).join("\n").trim() }))
    .filter((part) => part.text !== "");
}

/** Shows a docstring. */
export function Prose({ text }: { readonly text: string }) {
  return (
    <div class="prose stack">
      {splitProse(text).map((part) => (
        <section key={part.title}>
          {part.title !== "" && <h3>{part.title}</h3>}
          {part.title === "" ? part.text.split(/\n\s*\n/).map((each) => <p key={each}>{inline(each)}</p>) : <p class="lines">{inline(part.text)}</p>}
        </section>
      ))}
    </div>
  );
}

function inline(text: string) {
  return text.split(/(``?[^`]+``?|:meth:`[^`]+`)/).map((piece, index) => {
    const code = /^(?::meth:)?``?([^`]+)``?$/.exec(piece);
    return code?.[1] === undefined ? piece : <code key={index}>{code[1]}</code>;
  });
}
