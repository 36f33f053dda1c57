/** The frame of the console: head, navigation, the state of the connection, and the page. */

import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { leave, link, publicDocument, signIn, tell, type Entry, type Link } from "./connection.ts";
import { EntryContext, useEntry } from "./entry.ts";
import { formatDuration } from "./format.ts";
import { HelpDialog } from "./help.tsx";
import { NodePicker, RosterWatch } from "./node_picker.tsx";
import { useNode, type NodeAnswer } from "./nodes.ts";
import { findNode, isThere, roster } from "./roster.ts";
import { hashOf, isAtDocs, PAGES, place, type Page, type PageProps } from "./routes.ts";
import { listenForKeys, type Shortcut } from "./shortcuts.ts";
import { SignInPage } from "./sign_in_page.tsx";
import { Store, useStore } from "./store.ts";
import { nextTheme, showTheme, theme } from "./theme.ts";

/** The whole console. */
export function App() {
  const state = useStore(signIn);
  if (state.kind === "in") return <Shell entry={state.entry} />;
  const isReader = state.kind === "out" && state.reason === "" && isAtDocs() && publicDocument() !== undefined;
  return isReader ? <ReaderShell /> : <SignInPage state={state} />;
}

/** What whoever is not signed in sees at `/docs`, where everybody may read about methods. */
function ReaderShell() {
  const here = useStore(place);
  const [loaded, setLoaded] = useState<{ readonly view: ComponentType<PageProps> }>();
  const [failure, setFailure] = useState("");
  useEffect(() => {
    import("./pages/services/public_page.tsx").then(
      (module) => { setLoaded({ view: module.PublicServicesPage }); },
      (error: unknown) => { setFailure(tell(error)); },
    );
  }, []);
  const View = loaded?.view;
  return (
    <div class="reader">
      <header class="head">
        <a class="brand" href="./" aria-label="remote-services"><img src="./icon.svg" alt="" /><span>remote-services</span></a>
        <span class="grow" />
        <ThemeButton />
        <a class="button" href="./">Sign in</a>
      </header>
      <main>
        {failure !== "" && <p class="note bad" role="alert">This page could not be loaded: {failure}</p>}
        {View !== undefined && <View rest={here.page === "services" ? here.rest : ""} />}
      </main>
    </div>
  );
}

function Shell({ entry: server }: { readonly entry: Entry }) {
  const here = useStore(place);
  const connection = useNode(server, here.node);
  const answer = useStore(connection?.answer ?? NOT_YET);
  const known = useStore(roster);
  const [isHelping, setHelping] = useState(false);
  const main = useRef<HTMLElement>(null);
  const entry = here.node === "" ? server : answer.kind === "in" ? answer.entry : undefined;
  const pages = PAGES.filter((page) => page.isOfGroup !== true || server.hasGroup);
  const shortcuts: Shortcut[] = [
    { keys: "?", text: "show these keys", act: () => { setHelping(true); } },
    ...pages.map((page) => ({
      keys: `g ${page.key}`, text: `go to ${page.title}`, act: () => { location.hash = hashOf(page.name); },
    })),
    ...(server.hasGroup ? [{ keys: "n", text: "choose a node", act: () => { document.getElementById("node")?.focus(); } }] : []),
    { keys: "/", text: "search on this page", act: () => { main.current?.querySelector<HTMLElement>("[type=search]")?.focus(); } },
    { keys: "t", text: "light, dark, or as the system has it", act: () => { showTheme(nextTheme(theme.value)); } },
  ];
  const list = useRef(shortcuts);
  list.current = shortcuts;
  useEffect(() => listenForKeys(() => list.current), []);
  const page = PAGES.find((each) => each.name === here.page);
  useEffect(() => {
    document.title = [page?.title, here.node, "remote-services"].filter((each) => each !== undefined && each !== "").join(" · ");
  }, [page, here.node]);
  // On a phone the pages stand in one line, which may be longer than the screen.
  useEffect(() => { document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }); }, [page]);
  const node = here.node === "" ? undefined : findNode(known, here.node);
  useEffect(() => { connection?.hurry(); }, [connection, node?.epoch, node?.state]);
  const followed = here.node === "" ? link : entry === undefined ? NOT_CONNECTED : entry.link;
  return (
    <div class="shell">
      <a class="skip" href={location.hash} onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the page</a>
      <header class="head">
        <a class="brand" href={hashOf(PAGES[0]?.name ?? "")} aria-label="remote-services"><img src="./icon.svg" alt="" /><span>remote-services</span></a>
        {(server.hasGroup || here.node !== "") && <NodePicker server={server} here={here} />}
        <ConnectionState store={followed} />
        <span class="grow" />
        <Who entry={entry ?? server} />
        <ThemeButton />
        <button type="button" class="quiet" aria-label="Keys" title="Keys (?)" onClick={() => { setHelping(true); }}>?</button>
        <button type="button" onClick={() => { void leave(); }}>Sign out</button>
      </header>
      <Banner store={followed} node={here.node} explanation={node === undefined || isThere(node) ? "" : node.explanation} />
      <nav class="side" aria-label="Pages">
        <ul>{pages.map((each) => (
          <li key={each.name}><PageLink page={each} entry={each.isOfGroup === true ? server : entry} isHere={each === page} /></li>
        ))}</ul>
      </nav>
      <main ref={main} tabIndex={-1}>
        {page !== undefined && (
          <Guard key={page.isOfGroup === true ? page.name : `${page.name} ${here.node}`}>
            {page.isOfGroup === true || entry !== undefined
              ? <EntryContext.Provider value={page.isOfGroup === true ? server : entry}><PageOf page={page} rest={here.rest} /></EntryContext.Provider>
              : <NoAnswer answer={answer} node={here.node} page={page} />}
          </Guard>
        )}
      </main>
      {server.hasGroup && server.permissions.has("rpc.nodes") && <EntryContext.Provider value={server}><RosterWatch /></EntryContext.Provider>}
      {isHelping && <HelpDialog shortcuts={shortcuts} onClose={() => { setHelping(false); }} />}
    </div>
  );
}

const NOT_YET = new Store<NodeAnswer>({ kind: "waiting", reason: "" });
const NOT_CONNECTED = new Store<Link>({ state: "idle", since: 0, reason: "" });

function Who({ entry }: { readonly entry: Entry }) {
  const { name, role } = entry.principal;
  return <span class="who small muted cut" title={`${name} · ${role ?? "no role"}, at ${entry.server}`}>{name} · {role ?? "no role"}</span>;
}

/** What stands in the place of a page whose node does not answer. */
function NoAnswer({ answer, node, page }: { readonly answer: NodeAnswer; readonly node: string; readonly page: Page }) {
  const isRefused = answer.kind === "refused";
  const reason = answer.kind === "in" ? "" : answer.reason;
  return (
    <div class="stack"><h1>{page.title}</h1>
      <p class={isRefused ? "muted" : ""} role="status">
        {isRefused ? <>The node <b>{node}</b> cannot be shown:</> : <>Waiting for the node <b>{node}</b>{reason === "" ? " …" : "; it is called again and again."}</>}
      </p>
      {reason !== "" && <p class={isRefused ? "note bad" : "note warn"} role="alert">{reason}</p>}
      <p><a href={hashOf(page.name, "", "")}>Show {page.title} of this server</a></p>
    </div>
  );
}

function PageLink({ page, entry, isHere }: { readonly page: Page; readonly entry: Entry | undefined; readonly isHere: boolean }) {
  const isRefused = entry !== undefined && page.permission !== undefined && !entry.permissions.has(page.permission);
  return (
    <a href={hashOf(page.name)} class={isRefused ? "refused" : ""} aria-current={isHere ? "page" : undefined}>
      {page.title}{isRefused && <span class="tag">not allowed</span>}
    </a>
  );
}

/** Shows a page when its code is there, or says that the role does not allow it. */
function PageOf({ page, rest }: { readonly page: Page; readonly rest: string }) {
  const entry = useEntry();
  const [loaded, setLoaded] = useState<{ readonly view: ComponentType<PageProps> }>();
  const [failure, setFailure] = useState("");
  const isRefused = page.permission !== undefined && !entry.permissions.has(page.permission);
  useEffect(() => {
    if (isRefused) return;
    page.load().then((view) => { setLoaded({ view }); }, (error: unknown) => { setFailure(tell(error)); });
  }, [page, isRefused]);
  if (isRefused) {
    return (
      <div class="stack"><h1>{page.title}</h1>
        <Refusal permission={page.permission ?? ""} role={entry.principal.role} /></div>
    );
  }
  if (failure !== "") {
    return <p class="note bad" role="alert">This page could not be loaded: {failure}. Reload it when the server is back.</p>;
  }
  if (loaded === undefined) return <p class="muted" role="status">Loading …</p>;
  const View = loaded.view;
  return <View rest={rest} />;
}

/** Says that the role lacks a permission. */
export function Refusal({ permission, role }: { readonly permission: string; readonly role: string | null }) {
  return (
    <p class="note warn">
      {role === null ? "You have no role" : <>Your role <b>{role}</b> does not give you this</>}: it needs the permission <code>{permission}</code>.
      Whoever looks after the server can give it to you in the roles of its configuration, unless the server lacks that service.
    </p>
  );
}

/** Keeps a bug in one page from the rest. */
class Guard extends Component<{ readonly children: ComponentChildren }, { readonly failure: string }> {
  override state = { failure: "" };

  static override getDerivedStateFromError(error: unknown): { failure: string } {
    return { failure: tell(error) };
  }

  override render() {
    if (this.state.failure === "") return this.props.children;
    return <p class="note bad" role="alert">This page has failed: {this.state.failure}</p>;
  }
}

/** Returns a number that grows each second while something is under way, so that times shown are right. */
export function useSeconds(isActive: boolean): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    if (!isActive) return undefined;
    const timer = setInterval(() => { setCount((before) => before + 1); }, 1000);
    return () => { clearInterval(timer); };
  }, [isActive]);
  return count;
}

/** The words for what the connection does. */
export function wordsOf({ state, since }: Link, now: number): string {
  if (state === "connected") return "connected";
  if (state === "lost" || state === "connecting") return `reconnecting since ${formatDuration((now - since) / 1000)}`;
  return state === "closed" ? "closed" : "waiting";
}

function ConnectionState({ store }: { readonly store: Store<Link> }) {
  const now = useStore(store);
  useSeconds(now.state !== "connected");
  const isTrouble = isLost(now);
  return (
    <span class={`state ${isTrouble ? "lost" : now.state}`} role="status">
      <span class={`dot ${isTrouble ? "pulse" : ""}`} aria-hidden="true" />{wordsOf(now, Date.now())}
    </span>
  );
}

function isLost({ state }: Link): boolean {
  return state === "lost" || state === "connecting";
}

interface BannerProps {
  readonly store: Store<Link>;
  /** The node that is chosen; empty for the server itself. */
  readonly node: string;
  /** What has become of that node, if it is not there. */
  readonly explanation: string;
}

function Banner({ store, node, explanation }: BannerProps) {
  const own = useStore(link);
  const now = useStore(store);
  if (!isLost(now) && !isLost(own)) return null;
  return (
    <div class="banner small" role="alert">
      {isLost(own) || node === ""
        ? "The connection is lost. Programs that were started here go on; this page continues by itself when the server is back."
        : <>The node <b>{node}</b> cannot be reached{explanation === "" ? "." : `: ${explanation}`} This page continues by itself when it is back.</>}
    </div>
  );
}

function ThemeButton() {
  const now = useStore(theme);
  const words = { system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" }[now];
  const sign = { system: "◐", light: "☀", dark: "☾" }[now];
  return (
    <button type="button" class="quiet" aria-label={words} title={`${words} (t)`} onClick={() => { showTheme(nextTheme(now)); }}>
      {sign}
    </button>
  );
}
