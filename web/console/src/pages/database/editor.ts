/** The editor: CodeMirror in a shadow root, since the policy of the page forbids the style elements that it would write into the document itself. */

import {
  acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionKeymap, type CompletionContext, type CompletionResult,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { MariaSQL, MySQL, PostgreSQL, sql, SQLite, StandardSQL, type SQLDialect, type SQLNamespace } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { listColumns, type Names } from "./catalog.ts";

/** What the editor tells. */
export interface EditorEvents {
  readonly onChange: (text: string) => void;
  readonly onRun: () => void;
  readonly onRunAll: () => void;
}

const LANGUAGES: Readonly<Record<string, SQLDialect>> = { sqlite: SQLite, postgresql: PostgreSQL, mysql: MySQL, mariadb: MariaSQL };

const look = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "13px", height: "100%" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--muted)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "color-mix(in srgb, var(--accent) 28%, transparent)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-ground)", color: "var(--accent)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "6px", color: "var(--text)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
});

const colors = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--series-4)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--accent)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--muted)", fontStyle: "italic" },
]);

/** An editor of SQL. */
export class Editor {
  readonly #view: EditorView;
  readonly #language = new Compartment();

  /** @param place - an empty element.
   * @param text - what is in it at first. */
  constructor(place: HTMLElement, text: string, events: EditorEvents) {
    // Its parts find colours by variables, which reach into a shadow root.
    const root = place.shadowRoot ?? place.attachShadow({ mode: "open" });
    root.replaceChildren();
    const run = (act: () => void) => (view: EditorView): boolean => {
      closeCompletion(view);
      act();
      return true;
    };
    const extensions: Extension[] = [
      lineNumbers(), history(), drawSelection(), bracketMatching(), closeBrackets(), highlightActiveLine(), EditorView.lineWrapping,
      autocompletion({ icons: false }), syntaxHighlighting(colors), look, placeholder("SELECT …    Ctrl+Enter runs the statement at the cursor"),
      this.#language.of(makeLanguage("", {})),
      keymap.of([
        { key: "Mod-Enter", run: run(events.onRun), preventDefault: true },
        { key: "Mod-Shift-Enter", run: run(events.onRunAll), preventDefault: true },
        // Where nothing is suggested, Tab leaves the editor.
        { key: "Tab", run: acceptCompletion },
        ...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap,
      ]),
      EditorView.domEventHandlers({ beforeinput: replaceSelection }),
      EditorView.contentAttributes.of({ "aria-label": "SQL", spellcheck: "false", autocapitalize: "off" }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) events.onChange(update.state.doc.toString());
        // What was asked for while somebody typed may come when nobody does any more.
        if (update.focusChanged && !update.view.hasFocus) closeCompletion(update.view);
      }),
    ];
    const state = EditorState.create({ doc: text, extensions });
    this.#view = new EditorView({ state, parent: root, root });
  }

  /** Takes another dialect, or other names to complete. */
  speak(dialect: string, names: Names): void {
    this.#view.dispatch({ effects: this.#language.reconfigure(makeLanguage(dialect, names)) });
  }

  /** What is selected; empty where nothing is. */
  get selection(): string {
    const { from, to } = this.#view.state.selection.main;
    return this.#view.state.sliceDoc(from, to);
  }

  /** Where the cursor is. */
  get place(): number {
    return this.#view.state.selection.main.head;
  }

  /** Writes something in the place of what is selected. */
  insert(text: string): void {
    this.#view.dispatch(this.#view.state.replaceSelection(text), { scrollIntoView: true });
    this.#view.focus();
  }

  focus(): void {
    this.#view.focus();
  }

  close(): void {
    this.#view.destroy();
  }
}

/** Finds what is selected in the document, of which the editor may not have heard yet. */
function findSelection(view: EditorView): readonly [number, number] {
  // Chromium tells it of a shadow root, and says nothing in `getTargetRanges` of events there.
  const { getSelection } = view.root as { readonly getSelection?: () => Selection | null };
  const selection = getSelection?.call(view.root);
  const range = selection?.rangeCount === 1 ? selection.getRangeAt(0) : undefined;
  if (range === undefined || !view.contentDOM.contains(range.commonAncestorContainer)) return [view.state.selection.main.from, view.state.selection.main.to];
  return [view.posAtDOM(range.startContainer, range.startOffset), view.posAtDOM(range.endContainer, range.endOffset)];
}

/** Replaces what is selected by what is typed. Browsers that do this themselves keep the colours of what was there, by a style attribute, which the policy
 * of the page forbids. Returns whether it was done. */
function replaceSelection(event: InputEvent, view: EditorView): boolean {
  const { data } = event;
  const [from, to] = findSelection(view);
  if (from === to || event.inputType !== "insertText" || data === null || view.composing) return false;
  event.preventDefault();
  const insert = () => view.state.update({
    changes: { from, to, insert: data }, selection: { anchor: from + data.length }, userEvent: "input.type", scrollIntoView: true,
  });
  if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, data, insert))) view.dispatch(insert());
  return true;
}

function makeLanguage(dialect: string, names: Names): Extension {
  const language = LANGUAGES[dialect] ?? StandardSQL;
  return [
    sql({ dialect: language, schema: names as SQLNamespace, upperCaseKeywords: true }),
    language.language.data.of({ autocomplete: (context: CompletionContext) => completeColumns(context, names) }),
  ];
}

/** Suggests the columns of the tables that the text names; the language itself suggests them behind a point only. */
function completeColumns(context: CompletionContext, names: Names): CompletionResult | null {
  const word = context.matchBefore(/[\w.]+/);
  if (word === null || word.text.includes(".")) return null;
  return { from: word.from, options: listColumns(context.state.doc.toString(), names).map((each) => ({ ...each, type: "property" })), validFor: /^\w*$/ };
}
