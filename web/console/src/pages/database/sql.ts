/** Reads SQL as databases do, as far as a page needs it: where statements end, which values they want, and whether they only read. The server and the
 * database decide what really happens. */

/** A statement in a text. */
export interface Statement {
  readonly text: string;
  /** Where it begins and ends in the whole text. */
  readonly from: number;
  readonly to: number;
}

/** The values that statements want: names of `:name`, and how many `?` there are. */
export interface Placeholders {
  readonly names: readonly string[];
  readonly count: number;
}

type PieceKind = "word" | "sign" | "quoted" | "comment" | "named" | "mark";

interface Piece {
  readonly kind: PieceKind;
  readonly text: string;
  readonly from: number;
}

const COMMENT = String.raw`--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|$)`;
const STRING = String.raw`'(?:[^']|'')*(?:'|$)`;
const ESCAPED = String.raw`'(?:[^'\\]|''|\\[\s\S])*(?:'|$)`;
const NAME = String.raw`"(?:[^"]|"")*(?:"|$)`;
const BACKTICK = "`(?:[^`]|``)*(?:`|$)";
const DOLLAR = String.raw`\$(?<tag>[A-Za-z_]\w*|)\$[\s\S]*?(?:\$\k<tag>\$|$)`;

interface Language {
  readonly comment: string;
  readonly quoted: string;
}

const STANDARD: Language = { comment: COMMENT, quoted: `${STRING}|${NAME}` };
const LANGUAGES: Readonly<Record<string, Language>> = {
  sqlite: { comment: COMMENT, quoted: String.raw`${STRING}|${NAME}|${BACKTICK}|\[[^\]]*(?:\]|$)` },
  postgresql: { comment: String.raw`--[^\n]*|/\*`, quoted: `[eE]${ESCAPED}|${STRING}|${NAME}|(?<![\\w$])${DOLLAR}` },
  mysql: { comment: String.raw`#[^\n]*|--(?=\s|$)[^\n]*|/\*(?!M?!)(?:[^*]|\*(?!/))*(?:\*/|$)`, quoted: String.raw`${ESCAPED}|"(?:[^"\\]|""|\\[\s\S])*(?:"|$)|${BACKTICK}` },
};

const REST = String.raw`(?<named>(?<![:\w\\]):[A-Za-z_]\w*(?!:(?!:)))|(?<mark>\?\?|\?\d*)|(?<word>[A-Za-z_]\w*)|(?<sign>[;\\]:?)`;

function languageOf(dialect: string): Language {
  return LANGUAGES[dialect === "mariadb" ? "mysql" : dialect] ?? STANDARD;
}

/** Yields what counts in a text: quoted text, comments, words, placeholders and semicolons. */
function* readPieces(text: string, dialect: string): Generator<Piece> {
  const { comment, quoted } = languageOf(dialect);
  const pattern = new RegExp(`(?<comment>${comment})|(?<quoted>${quoted})|${REST}`, "g");
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    const groups = found.groups ?? {};
    const kind = (Object.keys(groups).find((name) => groups[name] !== undefined) ?? "sign") as PieceKind;
    let [all] = found;
    if (kind === "comment" && dialect === "postgresql" && all === "/*") {
      const end = endOfComment(text, found.index);
      all = text.slice(found.index, end);
      pattern.lastIndex = end;
    }
    yield { kind, text: all, from: found.index };
    if (all === "") pattern.lastIndex++;
  }
}

/** Comments of PostgreSQL may hold comments. */
function endOfComment(text: string, from: number): number {
  const signs = /\/\*|\*\//g;
  signs.lastIndex = from;
  let depth = 0;
  for (let found = signs.exec(text); found !== null; found = signs.exec(text)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return signs.lastIndex;
  }
  return text.length;
}

const BODIES = /^(?:TRIGGER|PROCEDURE|FUNCTION|EVENT)$/;
const NO_CLOSING = /^(?:IF|LOOP|WHILE|REPEAT)$/;

/** Cuts a text into its statements, without the semicolons. What has a body of statements, such as a trigger, stays whole. */
export function splitStatements(text: string, dialect: string): Statement[] {
  const found: Statement[] = [];
  let start = 0;
  let words: string[] = [];
  let depth = 0;
  const end = (at: number): void => {
    const cut = trim(text, start, at);
    if (words.length > 0 || /\S/.test(withoutComments(cut.text, dialect))) found.push(cut);
    words = [];
    depth = 0;
  };
  let before = "";
  for (const piece of readPieces(text, dialect)) {
    if (piece.kind === "word") {
      const word = piece.text.toUpperCase();
      if (words.length < 8) words.push(word);
      if (words[0] === "CREATE" && words.some((each) => BODIES.test(each))) {
        if (before === "END" && NO_CLOSING.test(word)) depth++;
        else if (word === "BEGIN" || (word === "CASE" && before !== "END")) depth++;
        else if (word === "END") depth = Math.max(0, depth - 1);
      }
      before = word;
    } else if (piece.text === ";" && depth === 0) {
      end(piece.from);
      start = piece.from + 1;
    } else if (piece.kind !== "comment") before = "";
  }
  end(text.length);
  return found;
}

function trim(text: string, from: number, to: number): Statement {
  const part = text.slice(from, to);
  const lead = part.length - part.trimStart().length;
  const cut = part.trim();
  return { text: cut, from: from + lead, to: from + lead + cut.length };
}

/** Takes the comments out of a text. */
export function withoutComments(text: string, dialect: string): string {
  let rest = "";
  let place = 0;
  for (const piece of readPieces(text, dialect)) {
    if (piece.kind !== "comment") continue;
    rest += `${text.slice(place, piece.from)} `;
    place = piece.from + piece.text.length;
  }
  return rest + text.slice(place);
}

/** Finds the statement at a place: the one around it, or else the last one before it, or else the first. */
export function statementAt(statements: readonly Statement[], place: number): Statement | undefined {
  const around = statements.find((each) => each.from <= place && place <= each.to);
  return around ?? statements.findLast((each) => each.to < place) ?? statements[0];
}

/** Finds the placeholders of a text. */
export function findPlaceholders(text: string, dialect: string): Placeholders {
  const names = new Set<string>();
  let count = 0;
  let next = 0;
  for (const { kind, text: sign } of readPieces(text, dialect)) {
    if (kind === "named") names.add(sign.slice(1));
    if (kind !== "mark" || sign === "??") continue;
    next = sign === "?" ? next + 1 : Math.max(next, Number(sign.slice(1)));
    count = Math.max(count, next);
  }
  return { names: [...names], count };
}

const READING = new Set(["SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "PRAGMA"]);
const CHANGING = new Set(["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"]);

/** Tells whether a statement seems to read only, so that its rows may be streamed. */
export function seemsToRead(text: string, dialect: string): boolean {
  const words: string[] = [];
  let hasChange = false;
  let before = "";
  for (const piece of readPieces(text, dialect)) {
    if (piece.kind !== "word") continue;
    const word = piece.text.toUpperCase();
    words.push(word);
    // Also a function is called REPLACE, and locks are taken FOR UPDATE.
    if (CHANGING.has(word) && before !== "FOR" && (word !== "REPLACE" || /^\s*INTO\b/i.test(text.slice(piece.from + word.length)))) hasChange = true;
    before = word;
  }
  const [first = ""] = words;
  if (first === "PRAGMA") return !withoutComments(text, dialect).includes("=");
  if (first === "WITH" || first === "EXPLAIN") return !hasChange;
  return READING.has(first);
}
