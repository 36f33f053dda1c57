/** From what somebody types to a program and its arguments. */

/** A line is no list of words. */
export class WordsProblem extends Error {}

/** Splits a line into words: spaces separate, quotes and backslashes keep together. Nothing else has a meaning: no shell reads it.
 * @throws WordsProblem: a quote is not closed. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let index = 0; index < line.length; index++) {
    const sign = line[index] ?? "";
    if (quote === "'" || (quote === '"' && sign === '"')) {
      if (sign === quote) quote = "";
      else word = (word ?? "") + sign;
    } else if (sign === "\\" && index + 1 < line.length) {
      index++;
      word = (word ?? "") + (line[index] ?? "");
    } else if (quote === "" && (sign === "'" || sign === '"')) {
      quote = sign;
      word ??= "";
    } else if (quote === "" && /\s/.test(sign)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + sign;
    }
  }
  if (quote !== "") throw new WordsProblem(`a quote ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}

/** Reads variables, one `NAME=VALUE` on each line.
 * @throws WordsProblem: a line is none. */
export function readVariables(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const found = /^([^=\s]+)=(.*)$/.exec(line);
    if (found?.[1] === undefined) throw new WordsProblem(`${line}: write NAME=VALUE`);
    variables[found[1]] = found[2] ?? "";
  }
  return variables;
}

/** Writes words so that `splitWords` reads them again. */
export function joinWords(words: readonly string[]): string {
  return words.map((word) => (/^[^\s'"\\]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
